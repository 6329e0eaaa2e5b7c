"""`partial.jsonl`: the solutions and trees of a run that is not finished, a chunk at a time.

The first line says which run it is. A chunk is a line for each of its problems and a line that closes it, written and
synced as one; where a problem stands twice, the later line counts. What stands behind the last closing line (half a
chunk, a torn line) is cut off by the next start. Usages are kept without their seconds: those are summed in the closing
lines, so that the rest does not depend on a clock. The file is locked while it is open.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from preceptor.errors import InputError
from preceptor.search.result import Solution
from preceptor.search.tree import Tree
from preceptor.store.jsonl import dumps
from preceptor.usage import Ledger

LOG = "partial.jsonl"


@dataclass
class RunLog:
    """Where the last word on each problem stands."""

    file: BinaryIO
    lines: dict[int, int] = field(default_factory=dict)
    """Index of the problem -> offset of its line."""
    good: set[int] = field(default_factory=set)
    """Problems that need not be searched again."""
    rounds: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"policy": 0.0, "scorer": 0.0, "wall": 0.0})

    def scan(self) -> dict[str, Any] | None:
        """Read to the last closed chunk and cut off the rest. The first line's record; None: no whole line."""
        self.file.seek(0)
        first, at, whole, open_ = None, 0, 0, dict[int, int]()
        for raw in self.file:
            try:
                record = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                if not at and raw.endswith(b"\n"):
                    return {}  # no log of ours: leave it as it is
                break
            if not at:
                first, whole = record, len(raw)
            elif "solution" in record:
                open_[record["at"]] = at
            elif "closed" in record:
                self._close(record, open_)
                open_, whole = {}, at + len(raw)
            at += len(raw)
        self.file.truncate(whole)
        return first

    def _close(self, record: Mapping[str, Any], lines: Mapping[int, int]) -> None:
        self.lines |= lines
        self.good |= set(record["closed"]) - set(record["failed"])
        self.rounds += record["rounds"]
        for name, value in record["seconds"].items():
            self.seconds[name] += value

    def add(self, block: Sequence[int], solutions: Sequence[Solution], rounds: int, wall: float) -> None:
        """Append a chunk: the solutions of the problems with these indices, in `rounds` calls of the policy."""
        at, lines, parts = self.file.seek(0, os.SEEK_END), dict[int, int](), list[bytes]()
        for i, s in zip(block, solutions, strict=True):
            lines[i] = at
            parts.append(_line({"at": i, "solution": _solution(s), "tree": _tree(s.tree)}))
            at += len(parts[-1])
        spent = sum((s.ledger for s in solutions), start=Ledger())
        seconds = {"policy": spent.policy.seconds, "scorer": spent.scorer.seconds, "wall": wall}
        failed = [i for i, s in zip(block, solutions, strict=True) if s.error is not None]
        end = {"closed": list(block), "failed": failed, "rounds": rounds, "seconds": seconds}
        self.append(b"".join([*parts, _line(end)]))
        self._close(end, lines)

    def append(self, raw: bytes) -> None:
        """Returns when it is on the disk."""
        self.file.write(raw)
        self.file.flush()
        os.fsync(self.file.fileno())

    def record(self, i: int) -> dict[str, Any]:
        """The line of a problem."""
        self.file.seek(self.lines[i])
        found: dict[str, Any] = json.loads(self.file.readline())
        return found


@contextmanager
def run_log(out: Path, run: Mapping[str, Any]) -> Iterator[RunLog]:
    """The log of this run; `InputError` where it is another's, or open elsewhere."""
    with (out / LOG).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{out}: another process is writing there. Wait for it, or give another directory."
            ) from error
        log = RunLog(file)
        before = log.scan()
        if before is not None and (log.lines or "run" not in before):
            same_run(out, before.get("run"), run)
        else:  # nothing is lost with a run that has not closed a chunk
            file.truncate(0)
            log.append(_line({"run": dict(run)}))
        yield log


def same_run(out: Path, before: Any, run: Mapping[str, Any]) -> None:
    """`InputError` unless both say the same."""
    do = f"Give another directory, or remove {out} to start afresh."
    if not isinstance(before, dict):
        raise InputError(f"{out}: holds files that do not say which run they are of. {do}")
    differ = [k for k in run if before.get(k) != run[k]]
    if differ:
        said = "; ".join(f"{k} was {before.get(k)!r}, now {run[k]!r}" for k in differ)
        raise InputError(f"{out}: holds another run: {said}. {do}")


def _solution(s: Solution) -> dict[str, Any]:
    record = s.to_record()
    for usage in (*record["ledger"].values(), (record["chosen"] or {}).get("usage", {})):
        usage.pop("seconds", None)
    return record


def _tree(tree: Tree) -> dict[str, Any]:
    record = tree.to_record()
    for node in record["nodes"]:
        for name in ("usage", "judged"):
            node.get(name, {}).pop("seconds", None)
    return record


def _line(record: Mapping[str, Any]) -> bytes:
    try:
        text = dumps(record)
    except InputError:  # a strategy's note of infinity is no reason to lose the chunk
        text = dumps(_finite(record))
    return text.encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    """The value with null for every number that JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
