"""Specifies the house: imports go down only, every room has a map, the base imports without torch.

Run: python -m pytest tests/test_architecture.py
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "preceptor"
FLOORS = [
    {"errors", "usage", "trace", "judgement", "generation", "progress"},
    {"store", "grade", "segment"},
    {"worlds"},
    {"policy"},
    {"annotate"},
    {"reward", "search", "credit"},
    {"learn", "bench"},
    {"recipes", "serve", "view"},
    {"cli"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
ROOMS = sorted(p.name for p in ROOT.iterdir() if (p / "__init__.py").is_file())


def imported_rooms(path: Path):
    """Rooms of this package that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "preceptor":
                names = [f"preceptor.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "preceptor" and len(parts) > 1:
                yield parts[1], node.lineno


def files():
    return [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT or p.stem in FLOOR]


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for room, line in imported_rooms(path):
        if room.startswith("__"):
            continue
        assert room in FLOOR, f"{path}:{line} imports unknown room {room}"
        # Nouns may use each other; the rooms of one floor do not know each other.
        allowed = room == own or FLOOR[room] < FLOOR[own] or FLOOR[own] == 0 == FLOOR[room]
        assert allowed, f"{path}:{line}: {own} (floor {FLOOR[own]}) imports {room} (floor {FLOOR[room]})"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_map_and_a_sorted_list_of_public_names(room):
    module = importlib.import_module(f"preceptor.{room}")
    assert module.__doc__, f"{room}/__init__.py has no map"
    assert len(module.__doc__) > 80, f"the map of {room} says too little"
    names = list(module.__all__)
    assert len(names) == len(set(names))
    # The order ruff keeps: constants, classes, the rest, each by name.
    order = sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert names == order, f"__all__ of {room} is not sorted"
    for name in names:
        assert getattr(module, name) is not None


def test_the_nouns_and_the_lower_rooms_import_without_torch():
    code = (
        "import sys, preceptor\n"
        "import preceptor.trace, preceptor.judgement, preceptor.usage, preceptor.generation\n"
        "import preceptor.store, preceptor.grade, preceptor.segment, preceptor.worlds, preceptor.credit\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_file_is_too_long_to_read():
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in ROOT.rglob("*.py")}
    assert max(lengths.values()) <= 600, max(lengths, key=lengths.get)
