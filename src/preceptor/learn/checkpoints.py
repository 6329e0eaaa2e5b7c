"""Checkpoints that are whole or absent, and small files that are replaced at once.

`checkpoint-N` holds what the trainer saves (weights, optimizer, scheduler, random states, its position) and
`session-R.pt`, what process R of the run knows beside it. The file `complete` is written last, after all
of that is on the disk: a directory without it was being written when the run was killed, and is ignored.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preceptor.errors import StoreError

_MARK = "complete"


class Checkpoints:
    """The checkpoints of one run, under `directory`. `rank`: this process's number."""

    def __init__(self, directory: Path, rank: int = 0):
        self.directory, self.rank = directory, rank

    def path(self, step: int) -> Path:
        return self.directory / f"checkpoint-{step}"

    def save_session(self, step: int, state: Mapping[str, Any]) -> None:
        import torch

        torch.save(dict(state), self.path(step) / f"session-{self.rank}.pt")

    def commit(self, step: int) -> None:
        """By one process, when all have saved theirs: marks this one complete, then drops the older."""
        for file in self.path(step).iterdir():
            _sync(file)
        write_json(self.path(step) / _MARK, {"step": step})
        for other in self.directory.glob("checkpoint-*"):
            if other != self.path(step):
                shutil.rmtree(other, ignore_errors=True)

    def latest(self) -> Path | None:
        whole = [p for p in self.directory.glob("checkpoint-*") if (p / _MARK).is_file()]
        return max(whole, key=lambda p: int(p.name.rpartition("-")[2]), default=None)

    def session(self, checkpoint: Path) -> dict[str, Any]:
        import torch

        file = checkpoint / f"session-{self.rank}.pt"
        try:
            found: dict[str, Any] = torch.load(file, weights_only=True)
        except (OSError, RuntimeError, EOFError) as error:
            raise StoreError(
                f"{file}: cannot be read ({error}). Start the run anew without `resume`."
            ) from error
        return found

    def clear(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Replaces the file at once: a reader sees the old content or the new, nothing between."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _sync(part)
    os.replace(part, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """None when there is no such file."""
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path}: not JSON ({error}). Start the run anew without `resume`.") from error
    return found


def replace_directory(part: Path, path: Path) -> None:
    """`part` becomes `path`, whose old content is dropped."""
    for file in part.rglob("*"):
        if file.is_file():
            _sync(file)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(part, path)


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
