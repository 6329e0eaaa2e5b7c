"""How long work tells that it is alive.

Library code calls a `Progress` with how much is done; what becomes of it (a line on a terminal, a log
line, nothing) is the caller's business.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told after every unit of work. `note` holds the number that matters, e.g. `"F1 0.81"`."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def silent(done: int, total: int, note: str = "") -> None:
    """The default: say nothing."""
