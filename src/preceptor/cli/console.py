"""How the command line speaks: progress and words on stderr, results on stdout.

With `--json` stdout carries exactly one JSON object and nothing else. On a terminal the progress line is
redrawn in place; elsewhere (a log, a pipe) one line is written every ten seconds and one at the end.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import CheckFailed, PreceptorError

EVERY = 10.0
"""Seconds between progress lines where the line cannot be redrawn."""


def clock(seconds: float) -> str:
    """`75` -> `1:15`."""
    whole = max(0, int(seconds + 0.5))
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else (f"{whole // 60}:{whole % 60:02d}")
    )


@dataclass
class Line:
    """The progress line of one stage: done/total, rate, ETA and the number that matters."""

    stage: str
    unit: str = "items"
    started: float = field(default_factory=time.monotonic)
    _written: float = field(default_factory=time.monotonic)
    _last: tuple[int, int, str] = (0, 0, "")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self._last = (done, total, note or self._last[2])
        now = time.monotonic()
        tty = sys.stderr.isatty()
        if now - self._written < (0.1 if tty else EVERY):
            return
        self._written = now
        self._write(end="" if tty else "\n", tty=tty)

    def text(self) -> str:
        done, total, note = self._last
        spent = time.monotonic() - self.started
        rate = done / spent if spent > 0 else 0.0
        eta = clock((total - done) / rate) if rate and total else "-"
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
        tail = f" | {note}" if note else ""
        when = f"{clock(spent)} spent" if done >= total else f"eta {eta}"
        return f"{self.stage:<10} {done:>6,}/{total:,} {self.unit} | {shown:>6}/s | {when}{tail}"

    def _write(self, end: str, tty: bool) -> None:
        start = "\r\x1b[2K" if tty else ""
        sys.stderr.write(start + self.text() + end)
        sys.stderr.flush()

    def close(self) -> None:
        if self._last[1]:
            self._write(end="\n", tty=sys.stderr.isatty())


@contextmanager
def stage(name: str, unit: str = "items") -> Iterator[Line]:
    """A progress line for the length of a block; its last state stays on the screen, also after Ctrl-C."""
    line = Line(name, unit)
    try:
        yield line
    finally:
        line.close()


def say(text: str) -> None:
    """Words for people."""
    sys.stderr.write(text + "\n")


def table(rows: Sequence[Sequence[Any]], head: Sequence[str]) -> str:
    """Aligned columns: the first flush left, the rest flush right."""
    cells = [list(map(str, head)), *[["-" if c is None else str(c) for c in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def rate(estimate: dict[str, Any]) -> str:
    """`0.512 [0.461, 0.563]`, or `-` where there is no figure."""
    if estimate.get("value") is None:
        return "-"
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def emit(result: dict[str, Any], as_json: bool, words: str) -> None:
    """The result of a verb: one object for machines, or words for people."""
    sys.stdout.write((json.dumps(result, ensure_ascii=True, allow_nan=False) if as_json else words) + "\n")


def run(verb: Callable[[], None]) -> int:
    """Run a verb and turn what it raises into a message and an exit status: 0, 1 (a check failed), 2
    (unusable input: a file, a model, a server or a store that cannot be used), 130 (interrupted)."""
    try:
        verb()
    except CheckFailed as failed:
        say(f"check failed: {failed}")
        return 1
    except PreceptorError as error:
        say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        say("interrupted; what was finished is stored, and the same command continues")
        return 130
    return 0
