"""One JSON object a line, written as soon as it is known."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

FROM_TRAINER = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "kl": "kl",
    "entropy": "entropy",
    "observation_loss": "observation_loss",
}
"""Names in the trainer's log -> names in ours."""


class MetricsLog:
    """Appends rows to `path`; a row is whole or absent. NaN and infinity are written as null.

    `keep`: bytes of an earlier run that stay, 0 for a new log. `writes` False: another process does it.
    """

    def __init__(self, path: Path, keep: int = 0, writes: bool = True):
        self.path, self.writes = path, writes
        if writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.truncate(path, keep)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def write(self, row: dict[str, Any]) -> None:
        if self.writes:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({k: _plain(v) for k, v in row.items()}, ensure_ascii=False) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
