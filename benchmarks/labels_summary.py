"""What the rows of labels.py add up to: goal lines, tables, the frontier."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from labels import HERE, ROWS, read
from labels_cells import CELLS, KEPT
from numpy.typing import NDArray

from preceptor.bench.first_error import f1_of_sums, first_error_rows
from preceptor.bench.statistics import Estimate, bootstrap_mean, cluster_sums, paired_bootstrap

SEARCH = "first-error-search"
FREE = {SEARCH, "outcome-copy", "freeprm", "step-confidence", "weak-supervision", "consensus", "dyve"}
JUDGES = {"step-judge", "critique", "spare", "spark", "natural-program", "rubric", "opv"}


class Kept(NamedTuple):
    """One row's answers, trace by trace."""

    name: str
    sums: NDArray[np.float64]
    """Per trace: error hit, is error, clean hit, is clean."""
    tokens: NDArray[np.float64]
    owners: Sequence[str]

    @property
    def hits(self) -> NDArray[np.float64]:
        return self.sums[:, 0] + self.sums[:, 2]

    @property
    def cost(self) -> float:
        return float(self.tokens.mean())

    def first(self, n: int) -> Kept:
        return Kept(self.name, self.sums[:n], self.tokens[:n], self.owners[:n])

    def by_problem(self) -> NDArray[np.float64]:
        return cluster_sums(self.owners, self.sums)


def kept(cell: str) -> dict[str, Kept]:
    about, *rows = read(KEPT / f"{cell}.jsonl")
    found = {}
    for row in rows:
        n = len(row["first"])
        sums = first_error_rows(row["first"], about["truth"][:n])
        found[row["name"]] = Kept(row["name"], sums, np.array(row["tokens"], float), about["problems"][:n])
    return found


def curve(rows: dict[str, Kept], n: int) -> list[Kept]:
    """The search at each budget, on the first n traces, cheapest first."""
    return sorted((r.first(n) for name, r in rows.items() if name.startswith(SEARCH)), key=lambda r: r.cost)


def tokens_at(points: Sequence[Kept], hits: float) -> float | None:
    """Tokens per trace at which the search first reaches this share of hits, by straight lines."""
    before: Kept | None = None
    for point in points:
        now = float(point.hits.mean())
        if now >= hits:
            if before is None:
                return point.cost
            was = float(before.hits.mean())
            return before.cost + (point.cost - before.cost) * (hits - was) / max(now - was, 1e-12)
        before = point
    return None


def goals_of(cell: str) -> Iterator[dict[str, Any]]:
    rows, records = (
        kept(cell),
        {r["method"] + " " + r["setting"]: r for r in read(ROWS) if r["kind"] == "row" and r["cell"] == cell},
    )
    for name, aim in (("math-shepherd K=8", 0.1), ("omega-bisection K=8", 1 / 3), ("omegaprm K=8", 1 / 3)):
        if name in rows:
            yield _equal(cell, rows, rows[name], aim, records[name])
    if "omega-bisection K=8" in rows:
        other = rows["omega-bisection K=8"]
        points = curve(rows, len(other.hits))
        missed = float(np.interp(other.cost, [p.cost for p in points], [1 - p.hits.mean() for p in points]))
        theirs = 1 - float(other.hits.mean())
        ratio = missed / theirs if theirs else None if missed else 0.0
        note = f"{missed:.3f} against {theirs:.3f} of all traces at {other.cost:.1f} tokens"
        yield _goal(cell, "mistakes at the tokens of omega-bisection K=8, ratio", ratio, 1 / 3, note)
    ece = {n: r["ece"] for n, r in records.items() if n.startswith(SEARCH)}
    worst = max(ece.values())
    yield _goal(cell, "ECE of the search, worst budget", worst, 0.03, f"best {min(ece.values()):.3f}")
    yield from _compared(cell, rows)


def _equal(
    cell: str, rows: dict[str, Kept], other: Kept, aim: float, record: dict[str, Any]
) -> dict[str, Any]:
    points = curve(rows, len(other.hits))
    needed = tokens_at(points, float(other.hits.mean()))
    share = None if needed is None else needed / other.cost
    distinct = (
        "" if needed is None else f"; {needed / record['distinct_per_trace']:.3f} of its distinct tokens"
    )
    reached = "not reached" if needed is None else f"{needed:.1f}"
    said = f"{reached} against {other.cost:.1f} tokens{distinct}"
    return _goal(cell, f"tokens at equal accuracy, over {other.name}", share, aim, said)


def _compared(cell: str, rows: dict[str, Kept]) -> Iterator[dict[str, Any]]:
    """Each Monte Carlo method against the search at the largest budget that costs no more."""
    better: dict[str, list[str]] = {"accuracy": [], "F1": []}
    n = 0
    for name, row in rows.items():
        if name.split()[0] in FREE | JUDGES:
            continue
        n += 1
        points = curve(rows, len(row.hits))
        ours = [p for p in points if p.cost <= row.cost][-1]
        a, b = ours.by_problem(), row.by_problem()
        size = (a[:, 1] + a[:, 3]).mean()
        gaps = {
            "accuracy": bootstrap_mean(((a - b)[:, 0] + (a - b)[:, 2]) / size),
            "F1": paired_bootstrap(a, b, lambda drawn: float(f1_of_sums(drawn.sum(axis=0)))),
        }
        for what, gap in gaps.items():
            if gap.high is not None and gap.high < 0:
                better[what].append(f"{name} ({_shown(gap)} against {ours.name.removeprefix(SEARCH + ' ')})")
    for what, names in better.items():
        said = "; ".join(names) or "none"
        yield _goal(cell, f"Monte Carlo rows of {n} better in {what} at equal cost", len(names), 0, said)


def _shown(gap: Estimate) -> str:
    return f"{gap.value:.3f} [{gap.low:.3f}, {gap.high:.3f}]"


def _goal(cell: str, goal: str, value: float | None, aim: float, note: str) -> dict[str, Any]:
    met = value is not None and (value <= aim if aim == 0 or aim >= 0.1 else value < aim)
    return {"kind": "goal", "cell": cell, "goal": goal, "value": value, "aim": aim, "met": met, "note": note}


GOAL_HEAD = "| cell | goal | measured | aim | met | note |"


def goals(write: bool = True) -> None:
    order = list(CELLS)
    records = [r for r in read(ROWS) if r["kind"] != "goal"]
    records.sort(key=lambda r: (order.index(r["cell"]), r["kind"]))
    cells = [r["cell"] for r in records if r["kind"] == "cell"]
    found = [goal for cell in cells for goal in goals_of(cell)]
    print(f"{GOAL_HEAD}\n" + "|---" * 6 + "|")
    for g in found:
        value = "never" if g["value"] is None else f"{g['value']:.3f}"
        print(
            f"| {g['cell']} | {g['goal']} | {value} | {g['aim']:.3f} | {'yes' if g['met'] else 'no'} | {g['note']} |"
        )
    if write:
        ROWS.write_text("".join(json.dumps(r) + "\n" for r in [*records, *found]))


HEAD = ("method", "setting", "asks", "problems", "tokens/trace", "distinct", "tokens/label",
        "calls/label", "ms/label", "exact", "F1", "unknown", "exact where known", "first invalid", "ECE", "early",
        "late", "missed", "offset")  # fmt: skip


THIRDS = {"budget 0", "budget 40", "K=8", "lowest if wrong", "K=48", "N=128"}
"""Settings whose bias is told by thirds."""


def table() -> None:
    records = read(ROWS)
    for about in (r for r in records if r["kind"] == "cell"):
        print(
            f"\n### {about['cell']}\n\n{about['problems']} problems, {about['traces']} traces of "
            f"{about['steps']:.1f} steps, {about['right']:.3f} right, {about['errors']:.3f} with an error; "
            f"{about['right_with_error']} right ones have one, {about['wrong_without_error']} wrong ones have none; "
            f"the first invalid step differs in {about['validity_differs']}.\n"
        )
        print(f"| {' | '.join(HEAD)} |\n" + "|---" * len(HEAD) + "|")
        rows = sorted((r for r in records if r["kind"] == "row" and r["cell"] == about["cell"]), key=_order)
        for r in rows:
            print(f"| {' | '.join(_cells(r))} |")
        _thirds([r for r in rows if r["setting"] in THIRDS])


def _thirds(rows: Sequence[dict[str, Any]]) -> None:
    """Where the error is looked for, by the third of the trace that it is in."""
    print("\n| errors in the third | first | second | last |\n|---|---|---|---|")
    for r in rows:
        cells = []
        for b in r["bias"][1:]:
            off = "-" if b["offset"] is None else f"{b['offset']:+.2f}"
            cells.append(f"{b['early']:.2f} {b['late']:.2f} {b['missed']:.2f} {off} (n={b['n']})")
        print(f"| {r['method']} {r['setting']} | {' | '.join(cells)} |")


def _order(r: dict[str, Any]) -> tuple[Any, ...]:
    return (r["method"] != SEARCH, r["method"], r["tokens_per_trace"])


def _cells(r: dict[str, Any]) -> list[str]:
    f, b = r["f1"], r["bias"][0]
    f1 = "-" if f["value"] is None else f"{f['value']:.3f} ({f['low']:.3f}, {f['high']:.3f})"
    known, ece, off = r["known_accuracy"], r["ece"], b["offset"]
    return [
        r["method"], r["setting"] or "-", r["question"], str(r["problems"]), f"{r['tokens_per_trace']:.1f}",
        f"{r['distinct_per_trace']:.1f}", f"{r['tokens_per_label']:.1f}" if r["labels"] else "-",
        f"{r['calls_per_label']:.2f}",
        f"{1000 * r['seconds_per_label']:.1f}", f"{r['accuracy']:.3f}", f1, str(r["unknown"]),
        "-" if known is None else f"{known:.3f}", f"{r['validity_accuracy']:.3f}",
        "-" if ece is None else f"{ece:.3f}" if r["probability"] else f"({ece:.3f})",
        f"{b['early']:.3f}", f"{b['late']:.3f}", f"{b['missed']:.3f}", "-" if off is None else f"{off:+.2f}",
    ]  # fmt: skip


def plot() -> None:
    from labels_plot import frontier

    frontier([r for r in read(ROWS) if r["kind"] == "row"], HERE / "labels_frontier.svg")
