"""Every labelling method on the same traces, against the exact truth, by what it costs.

    OMP_NUM_THREADS=1 python benchmarks/labels.py run [--cells arithmetic,error-0.05,...]   # resumes; rows as they come
    python benchmarks/labels.py goals     # the lines that the project measures itself by
    python benchmarks/labels.py table     # labels.jsonl as markdown
    python benchmarks/labels.py plot      # labels_frontier.svg

A cell is a world and a policy. Traces: test split, 8 per problem, temperature 1, from the cell's policy, which also
writes the rollouts (temperature 0.7 where the method does not fix it, another seed). Truth: the first step after which
right steps no longer lead to the right answer. A label that is unknown counts as a mistake. Tokens of a method are all
that it asked for, though the methods of a cell share one store; `distinct` counts each rollout once. Scripted policies
count a character as a token. Methods that state no first error: step-confidence is read at a threshold tuned for F1 on
50 dev problems with the truth; "lowest if wrong" takes the lowest score of a trace with a wrong answer (ties: the
first), and no error in one with the right answer; copied outcomes are read as 0-1 labels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from labels_cells import BUDGETS, CELLS, KEPT, Cell, Row

from preceptor.annotate import adaptive
from preceptor.bench.calibration import calibration_figures, reliability_bins
from preceptor.bench.first_error import f1_of_sums, first_error_rows, mean_offset
from preceptor.bench.statistics import bootstrap_sums, cluster_sums
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.policy.load import WORLD_POLICIES
from preceptor.trace import Trace, content_id

HERE = Path(__file__).parent
ROWS = HERE / "labels.jsonl"
SEARCH = content_id(*(p.read_text() for p in sorted(Path(adaptive.__file__).parent.glob("*.py"))))[:8]
"""Which first-error-search was measured: a hash of its source."""


def forget(names: Sequence[str], only: str) -> None:
    """Take these rows out of what is kept, so that they are measured again."""
    for name in names:
        path = KEPT / f"{name}.jsonl"
        rest = [r for r in read(path) if only not in r["name"] or r["name"] == "cell"]
        path.write_text("".join(json.dumps(r) + "\n" for r in rest))
    gone = [
        r
        for r in read(ROWS)
        if r["kind"] == "row" and r["cell"] in names and only in f"{r['method']} {r['setting']}"
    ]
    ROWS.write_text("".join(json.dumps(r) + "\n" for r in read(ROWS) if r not in gone))


def run(names: Sequence[str], problems: int, few: int, only: str, budgets: Sequence[int] = BUDGETS) -> None:
    for name in names:
        if name == "game24" and not WORLD_POLICIES["game24"].is_dir():
            print("game24: no shipped policy, left out")
            continue
        cell = Cell(name, problems, few, budgets)
        done = {r["name"] for r in read(KEPT / f"{name}.jsonl")}
        if "cell" not in done:
            append(ROWS, about(cell))
            append(KEPT / f"{name}.jsonl", {"name": "cell", "ids": [t.id for t in cell.traces],
                   "problems": [t.problem.id for t in cell.traces], "truth": cell.truth})  # fmt: skip
        for row in cell.plan():
            if row.name not in done and only in row.name and not cell.sated(row):
                measure(cell, row)
        cell.store.close()


def about(cell: Cell) -> dict[str, Any]:
    right = [t.grade is not None and t.grade.correct for t in cell.traces]
    return {
        "kind": "cell", "cell": cell.name, "world": cell.world, "traces": len(right),
        "problems": len({t.problem.id for t in cell.traces}), "right": sum(right) / len(right),
        "errors": sum(e != NO_ERROR for e in cell.truth) / len(right),
        "steps": float(np.mean([len(t.steps) for t in cell.traces])),
        "right_with_error": sum(ok and e != NO_ERROR for ok, e in zip(right, cell.truth, strict=True)),
        "wrong_without_error": sum(not ok and e == NO_ERROR for ok, e in zip(right, cell.truth, strict=True)),
        "validity_differs": sum(a != b for a, b in zip(cell.truth, cell.valid, strict=True)), **stamp(),
    }  # fmt: skip


def measure(cell: Cell, row: Row) -> None:
    traces = cell.part(row.few)
    cell.store.forget()
    began = time.monotonic()
    try:
        judged = row.score(traces)
    except Exception as error:  # noqa: BLE001 - one method that fails must not stop the others
        print(f"{cell.name}: {row.name}: FAILED {type(error).__name__}: {error}", flush=True)
        return
    wall = time.monotonic() - began - cell.store.fresh_seconds + cell.store.seconds
    found = [row.read(t, j) for t, j in zip(traces, judged, strict=True)]
    tokens = [_asked(j) for j in judged]
    append(KEPT / f"{cell.name}.jsonl", {"name": row.name, "first": found, "tokens": tokens})
    if row.method == "first-error-search" and sum(tokens) < 0.9 * float(row.setting.split()[1]) * len(tokens):
        cell.unspent = float(row.setting.split()[1])
    record = {
        "kind": "row", "cell": cell.name, "method": row.method, "setting": row.setting,
        "question": judged[0].question.value, "problems": len({t.problem.id for t in traces}),
        "traces": len(traces), **costs(cell, judged, tokens, wall),
        **figures(cell, row, traces, judged, found), **stamp(),
    }  # fmt: skip
    append(ROWS, record)
    f1 = record["f1"]["value"]
    print(
        f"{cell.name}: {row.name}: {record['tokens_per_trace']:.1f} tok, acc {record['accuracy']:.3f}, "
        f"f1 {f1 if f1 is None else round(f1, 3)}, ece {record['ece']}, {wall:.0f} s",
        flush=True,
    )


def _asked(j: Judgement) -> int:
    return sum(side.generated + side.reused for side in (j.usage.policy, j.usage.scorer))


def costs(cell: Cell, judged: Sequence[Judgement], tokens: list[int], wall: float) -> dict[str, Any]:
    labels = sum(s is not None for j in judged for s in j.scores or ())
    judge_calls = sum(j.usage.scorer.calls for j in judged)
    return {
        "labels": labels,
        "tokens_per_trace": sum(tokens) / len(tokens),
        "distinct_per_trace": (cell.store.tokens + sum(j.usage.scorer.generated for j in judged))
        / len(tokens),
        "scored_per_trace": sum(j.usage.policy.scored + j.usage.scorer.scored for j in judged) / len(tokens),
        "tokens_per_label": sum(tokens) / max(labels, 1),
        "calls_per_label": (len(cell.store.asked) + judge_calls) / max(labels, 1),
        "seconds_per_label": wall / max(labels, 1),
    }


def figures(
    cell: Cell, row: Row, traces: Sequence[Trace], judged: Sequence[Judgement], found: Sequence[int | None]
) -> dict[str, Any]:
    at = {t.id: i for i, t in enumerate(cell.traces)}
    truth = [cell.truth[at[t.id]] for t in traces]
    valid = [cell.valid[at[t.id]] for t in traces]
    owners = [t.problem.id for t in traces]
    rows = first_error_rows(found, truth)
    hits, wrong, kept, clean = rows.sum(axis=0)
    f1 = bootstrap_sums(cluster_sums(owners, rows), f1_of_sums)
    accuracy = [p == a for p, a in zip(found, truth, strict=True)]
    told = [
        (s, float(e == NO_ERROR or t < e))
        for j, e in zip(judged, truth, strict=True)
        for t, s in enumerate(j.scores or ())
        if s is not None
    ]
    usable = bool(told) and judged[0].question.value in ("value", "validity")
    usable = usable and all(0 <= s <= 1 for s, _ in told)
    scores, good = ([s for s, _ in told], [g for _, g in told]) if usable else ([], [])
    return {
        "accuracy": float(np.mean(accuracy)),
        "error_accuracy": hits / wrong if wrong else None,
        "clean_accuracy": kept / clean if clean else None,
        "f1": f1.to_record(),
        "unknown": sum(p is None for p in found),
        "known_accuracy": float(np.mean([a for p, a in zip(found, accuracy, strict=True) if p is not None]))
        if any(p is not None for p in found)
        else None,
        "failed": dict(Counter(j.error.kind for j in judged if j.error is not None)),
        "flags": dict(Counter(flag for j in judged for flag in j.flags)),
        "validity_accuracy": float(np.mean([p == a for p, a in zip(found, valid, strict=True)])),
        "probability": row.probability,
        "ece": calibration_figures(scores, good).ece if usable else None,
        "bins": [[b.n, b.mean_score, b.mean_target] for b in reliability_bins(scores, good)],
        "bias": [bias(traces, found, truth, part) for part in (None, 0, 1, 2)],
    }


def bias(
    traces: Sequence[Trace], found: Sequence[int | None], truth: Sequence[int], third: int | None
) -> dict[str, Any]:
    """Of traces with an error (in this third of their steps): where it was looked for."""
    pairs = [
        (p, e)
        for t, p, e in zip(traces, found, truth, strict=True)
        if e != NO_ERROR and third in (None, 3 * e // len(t.steps))
    ]
    n = max(len(pairs), 1)
    return {
        "third": third,
        "n": len(pairs),
        "exact": sum(p == e for p, e in pairs) / n,
        "early": sum(p is not None and NO_ERROR < p < e for p, e in pairs) / n,
        "late": sum(p is not None and p > e for p, e in pairs) / n,
        "missed": sum(p == NO_ERROR for p, _ in pairs) / n,
        "unknown": sum(p is None for p, _ in pairs) / n,
        "offset": mean_offset([p for p, _ in pairs], [e for _, e in pairs]),
    }


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, record: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def stamp() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return {"commit": commit.stdout.strip(), "date": time.strftime("%Y-%m-%d"), "search": SEARCH}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "goals", "table", "plot"])
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--few", type=int, default=50)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--again", action="store_true", help="measure the rows chosen by --only anew")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="tokens per trace, rising")
    args = parser.parse_args()
    if args.what == "run":
        if args.again:
            forget(args.cells.split(","), args.only)
        run(
            args.cells.split(","),
            args.problems,
            args.few,
            args.only,
            [int(b) for b in args.budgets.split(",")],
        )
    else:
        import labels_summary

        getattr(labels_summary, args.what)()
