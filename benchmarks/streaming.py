"""Import, filter and export a file of step labels as a stream: labels a second, and the most memory it takes.

    python benchmarks/streaming.py --labels 1000000

Each way runs in a process of its own. The file is plain JSON lines: problems of 60 characters, 4 traces each, 10
steps of 60 characters a trace, a mark per step, a grade. The filter keeps traces whose answer is known to be right
or wrong (three of four). `memory` is the peak resident size of the process, `growth` how much of it came after the
first tenth of the items.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

STEPS = 10
WAYS = ("jsonl to trl-stepwise", "jsonl to parquet", "jsonl to store", "store to trl-stepwise")


def synthetic(path: Path, labels: int) -> None:
    from preceptor.store import write_jsonl

    def records() -> Iterator[dict[str, Any]]:
        for i in range(labels // STEPS):
            wrong = i % (STEPS + 3)
            steps = [
                f"Step {t}: trace {i} takes {i * t} and adds {t} to get {i * t + t}.".ljust(60)
                for t in range(STEPS)
            ]
            yield {
                "problem": f"Problem {i // 4}: what comes after {i // 4} steps of this sum?".ljust(60),
                "steps": steps,
                "labels": [t < wrong for t in range(STEPS)],
                "answer": str(i),
                "verdict": "undecided" if i % 4 == 0 else "correct" if wrong >= STEPS else "incorrect",
            }

    write_jsonl(path, records())


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def watched(items: Iterable[Any], early: list[float], at: int) -> Iterator[Any]:
    for n, (trace, judgement) in enumerate(items):
        if n == at:
            early.append(peak())
        if trace.grade is not None and trace.grade.decided:
            yield trace, judgement


def one(way: str, folder: Path, labels: int) -> dict[str, Any]:
    from preceptor.annotate import formats
    from preceptor.cli.stores import _items
    from preceptor.store import Store

    source, target = way.split(" to ")
    early: list[float] = []
    base, start = peak(), time.perf_counter()
    kept = Store(folder / "labels.db") if "store" in way else None
    found: Any = (
        formats.read(folder / "in.jsonl") if source == "jsonl" else _items(kept, "import/jsonl@1", False)
    )
    items = watched(found, early, labels // STEPS // 10)
    if target == "store":
        assert kept is not None
        while unit := list(islice(items, 1000)):
            kept.put_traces([trace for trace, _ in unit])
            kept.put_judgements([judgement for _, judgement in unit])
        written = kept.stats()["traces"]
    else:
        written = formats.write(items, folder / "out", target).records
    spent = time.perf_counter() - start
    return {
        "way": way, "labels": labels, "written": written, "seconds": round(spent, 1),
        "labels_per_second": round(labels / spent), "memory_mib": round(peak()), "start_mib": round(base),
        "growth_mib": round(peak() - early[0]) if early else None,
    }  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--labels", type=int, default=1_000_000)
    options.add_argument("--folder", type=Path, help="Where the files go; a temporary folder by default.")
    options.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.way is not None:
        print(json.dumps(one(given.way, given.folder, given.labels)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        synthetic(folder / "in.jsonl", given.labels)
        print(f"{(folder / 'in.jsonl').stat().st_size / 2**20:.0f} MiB of JSON lines", file=sys.stderr)
        for way in WAYS:
            command = [
                sys.executable,
                __file__,
                "--folder",
                str(folder),
                "--labels",
                str(given.labels),
                "--way",
                way,
            ]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
