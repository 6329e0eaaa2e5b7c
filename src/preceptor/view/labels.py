"""The page of a comparison of labelling methods, from the lines that `benchmarks/labels.py` writes.

A line is a cell (a world and a policy), a row (one method on that cell) or a goal. Per cell: what was asked for, cost
and exactness of every method, the frontier, calibration, and where methods look for the error when they are wrong.
Left out: measuring; a token axis with a place for 0 (free methods are drawn at 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.bench.statistics import Estimate
from preceptor.errors import InputError
from preceptor.store import read_jsonl
from preceptor.view.charts import Bar, Line
from preceptor.view.report import Report

NEEDED = {
    "cell": ("world", "problems", "traces", "right", "errors", "steps"),
    "row": ("method", "setting", "problems", "tokens_per_trace", "tokens_per_label", "accuracy", "f1", "unknown",
            "bins", "bias", "ece", "probability"),
    "goal": ("goal", "value", "aim", "met"),
}  # fmt: skip
SHOWN = 5
"""Series in a chart of reliability, at most."""


@dataclass(frozen=True)
class _Bin:
    n: int
    mean_score: float
    mean_target: float


def write_labels(path: str | Path, out: str | Path) -> Path:
    """The page of the JSON lines in `path`, written to `out`; InputError where a line is not of a comparison."""
    return labels_page([record for _, record in read_labels(path)]).write(out)


def read_labels(path: str | Path) -> list[tuple[int, dict[str, Any]]]:
    """Line number and record of each line; every line names its kind and cell and has what that kind needs."""
    found = []
    for number, record in read_jsonl(path, {"kind": str, "cell": str}):
        needed = NEEDED.get(record["kind"])
        missing = [] if needed is None else [name for name in needed if name not in record]
        if needed is None or missing:
            what = (
                f"kind {record['kind']!r}" if needed is None else f"a {record['kind']} without {missing[0]!r}"
            )
            raise InputError(
                f"{path}, line {number}: got {what}, expected a cell, row or goal as benchmarks/labels.py writes it."
            )
        found.append((number, record))
    return found


def labels_page(records: Sequence[dict[str, Any]]) -> Report:
    """A section per cell, in the order of the records."""
    cells = list(dict.fromkeys(r["cell"] for r in records))
    rows = [r for r in records if r["kind"] == "row"]
    page = Report(
        "Labelling methods compared", f"{len(rows)} rows on {len(cells)} cells, against the exact truth"
    )
    page.text(
        "Exact is the share of traces whose first error, or lack of one, was named exactly; unknown counts as a "
        "mistake. F1 is the harmonic mean of that share among traces with and without an error. Intervals are 95 %, "
        "over problems. Tokens are all that a method asked for, whether or not another had paid for them before."
    )
    for cell in cells:
        _cell(page, cell, [r for r in records if r["cell"] == cell])
    stamps = [f"{r.get('date', '')} {r.get('commit', '')}".strip() for r in rows]
    page.section("How these figures came about")
    page.provenance({"command": "benchmarks/labels.py", "date and commit": ", ".join(dict.fromkeys(stamps))})
    return page


def _cell(page: Report, cell: str, records: Sequence[dict[str, Any]]) -> None:
    page.section(cell)
    for about in (r for r in records if r["kind"] == "cell"):
        shown = {k: about[k] for k in ("world", "problems", "traces", "steps")}
        page.facts({**shown, "right answers": about["right"], "traces with an error": about["errors"]})
    goals = [r for r in records if r["kind"] == "goal"]
    if goals:
        page.table(
            ["goal", "measured", "aim at most", "met", "note"],
            [
                [g["goal"], g["value"], g["aim"], "yes" if g["met"] else "no", g.get("note", "")]
                for g in goals
            ],
            caption="Goals",
        )
    rows = sorted((r for r in records if r["kind"] == "row"), key=_order)
    if not rows:
        return
    _table(page, rows)
    _frontier(page, rows)
    _reliability(page, rows)
    _bias(page, rows)


def _order(row: dict[str, Any]) -> tuple[str, float]:
    return row["method"], row["tokens_per_trace"]


def _name(row: dict[str, Any]) -> str:
    return f"{row['method']} {row['setting']}".strip()


def _f1(row: dict[str, Any]) -> Estimate | None:
    return None if row["f1"]["value"] is None else Estimate(**row["f1"])


def _table(page: Report, rows: Sequence[dict[str, Any]]) -> None:
    page.table(
        ["method", "problems", "tokens/trace", "tokens/label", "exact", "F1", "unknown", "ECE"],
        [
            [
                _name(r),
                r["problems"],
                r["tokens_per_trace"],
                r["tokens_per_label"],
                r["accuracy"],
                _f1(r),
                r["unknown"],
                r["ece"] if r["probability"] else None,
            ]
            for r in rows
        ],
        caption="Cost and exactness",
        note="ECE only where scores are meant as the probability of no error so far.",
    )


def _frontier(page: Report, rows: Sequence[dict[str, Any]]) -> None:
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == method and r["f1"]["value"] is not None]
        if len({r["tokens_per_trace"] for r in own}) > 1:
            lows, highs = [r["f1"]["low"] for r in own], [r["f1"]["high"] for r in own]
            cost = [max(1.0, r["tokens_per_trace"]) for r in own]
            lines.append(Line(method, cost, [r["f1"]["value"] for r in own], lows, highs))
    if lines:
        page.lines(
            lines,
            title="Frontier: methods measured at several costs",
            x="tokens per trace",
            y="F1",
            log_x=True,
            y_limits=(0, 1.02),
            note="Below one token a trace is drawn at one.",
        )


def _reliability(page: Report, rows: Sequence[dict[str, Any]]) -> None:
    told = {_name(r): [_Bin(*b) for b in r["bins"]] for r in rows if r["probability"] and r["bins"]}
    if told:
        names = list(told)[:: max(1, -(-len(told) // SHOWN))]
        page.reliability(
            {name: told[name] for name in names},
            title="Soft labels against the truth",
            x="mean label of the bin",
            y="share without an error so far",
        )


def _bias(page: Report, rows: Sequence[dict[str, Any]]) -> None:
    """Where an error is looked for: per row the shares of all errors, and the mean offset per third of the trace."""
    table, bars = [], []
    for r in rows:
        every, *thirds = r["bias"]
        offsets = [part["offset"] for part in thirds]
        table.append(
            [_name(r), *(every[k] for k in ("early", "late", "missed", "unknown", "offset")), *offsets]
        )
        if every["offset"] is not None:
            bars.append(Bar(_name(r), every["offset"]))
    page.table(
        ["method", "early", "late", "missed", "unknown", "offset", "in the first third", "second", "last"],
        table,
        caption="Bias by position: shares of the traces with an error, and mean signed offset in steps",
        note="An offset is the named step minus the true one, over traces where both name a step; negative is early.",
    )
    if bars:
        page.bars(bars, title="Mean signed offset", x="steps; negative is early")
