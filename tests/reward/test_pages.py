"""docs/training.md and docs/pitfalls.md say what the code has: all objectives, and only names that exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from preceptor.bench.doctor import CHECKS
from preceptor.bench.doctor.attack_texts import ATTACKS
from preceptor.bench.doctor.bias import NAMES
from preceptor.bench.doctor.finding import TELLING
from preceptor.reward import objectives
from preceptor.reward.objectives import OBJECTIVES
from preceptor.reward.objectives.language import LANGUAGE_OBJECTIVES
from preceptor.reward.training import TrainConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
PITFALLS = (ROOT / "docs" / "pitfalls.md").read_text(encoding="utf-8")


def test_the_table_is_that_of_the_code():
    (table,) = re.findall(r"<!-- objectives -->\n(.*?)\n<!-- /objectives -->", PAGE, re.DOTALL)
    script = runpy.run_path(str(ROOT / "scripts" / "training_page.py"))
    assert table == script["table"](), "the objectives have changed: python scripts/training_page.py"
    named = re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)
    assert named == sorted({**OBJECTIVES, **LANGUAGE_OBJECTIVES})
    assert set(script["LEARNS"]) <= set(named)


def test_the_factories_and_settings_that_the_page_names_exist():
    (line,) = re.findall(r"Many take settings: (.*?)\. Their", PAGE, re.DOTALL)
    for name in re.findall(r"`(\w+)\(", line):
        assert callable(getattr(objectives, name)), name
    (fields,) = re.findall(r"`TrainConfig` is Python: (.*?)\.\n", PAGE, re.DOTALL)
    for name in re.findall(r"`(\w+)`", fields):
        assert hasattr(TrainConfig(), name), name


def test_the_example_is_python_and_its_imports_are_there():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    compile(code, "docs/training.md", "exec")
    imports = [line for line in code.splitlines() if line.startswith(("from preceptor", "import"))]
    exec("\n".join(imports), {})


def test_the_pitfalls_name_checks_of_the_doctor_and_tests_that_exist():
    shown = [" ".join(text.split()) for text in re.findall(r"\*(Doctor: [^*]*|Bugs: [^*]*)\*", PITFALLS)]
    checks = [*CHECKS, *TELLING, *(f"bias: {n}" for n in NAMES), *(f"attack: {n}" for n in ATTACKS)]
    doctor = [re.sub(r"Bugs:.*", "", text) for text in shown if text.startswith("Doctor: ")]
    for named in doctor:
        names = re.split(r"[.;]", named.removeprefix("Doctor: "))[0].split(", ")
        plain = [name for name in names if not name.startswith(('"', "the seven", "each with"))]
        assert [name for name in plain if name not in checks] == [], named
    assert len(ATTACKS) == 7
    tests = (ROOT / "tests" / "reward" / "test_peers_bugs.py").read_text(encoding="utf-8")
    wanted = [name for text in shown for name in re.findall(r"`([a-z_0-9]+)`", text.partition("Bugs:")[2])]
    assert len(wanted) > 10
    assert [name for name in wanted if f"def test_{name}" not in tests] == []


def test_the_decay_with_length_is_what_the_table_says():
    rows = re.findall(r"^\| (0\.\d+) \| (.+) \|$", PITFALLS, re.MULTILINE)
    assert len(rows) == 4
    for f, cells in rows:
        for steps, cell in zip((5, 10, 20, 40), cells.split(" | "), strict=True):
            assert abs((1 - float(f)) ** steps - float(cell)) <= 0.005
