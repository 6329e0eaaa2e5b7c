"""Does a scorer pick right answers among the traces there are? Against picking at random and majority.

Every problem's graded traces are its pool; a pick is judged by its expectation over ties, so nothing is drawn.
Intervals are bootstrapped over problems, differences are paired. Left out: curves over pool sizes
(`pools.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.bench.estimators import bon_at_k, maj_at_k, pass_at_k
from preceptor.bench.statistics import Estimate, bootstrap_mean, paired_bootstrap
from preceptor.grade import canonical
from preceptor.judgement import Judgement
from preceptor.search.aggregate import aggregate
from preceptor.trace import Trace

AGGREGATES = ("last", "min", "prod", "mean")


@dataclass(frozen=True)
class Pick:
    """Accuracy of one rule, and its paired difference to picking at random and to majority."""

    rule: str
    accuracy: Estimate
    over_random: Estimate
    over_majority: Estimate


@dataclass(frozen=True)
class Selection:
    """The rules side by side, on the same problems."""

    picks: tuple[Pick, ...]
    problems: int
    left_out: int
    """Problems with fewer than two decided traces."""
    pool: float
    """Traces per problem, on average."""

    def table(self) -> str:
        rows: list[tuple[str, ...]] = [("pick", "accuracy", "over random", "over majority")]
        rows += [(p.rule, *map(_interval, (p.accuracy, p.over_random, p.over_majority))) for p in self.picks]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        head = (
            f"{self.problems} problems, {self.pool:.1f} traces each ({self.left_out} left out: fewer than 2)"
        )
        return "\n".join([head, *lines])

    def to_record(self) -> dict[str, Any]:
        return {
            "problems": self.problems,
            "left_out": self.left_out,
            "pool": self.pool,
            "picks": [
                {
                    "rule": p.rule,
                    "accuracy": p.accuracy.to_record(),
                    "over_random": p.over_random.to_record(),
                    "over_majority": p.over_majority.to_record(),
                }
                for p in self.picks
            ],
        }


def _interval(e: Estimate) -> str:
    return "-" if e.value is None else f"{e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"


def selection(traces: Sequence[Trace], judgements: Sequence[Judgement]) -> Selection | None:
    """Compare the rules on every problem with at least two decided traces; None when there is none.

    `judgements` belong to `traces` in order. A trace without scores is picked last.
    """
    pools: dict[str, list[tuple[Trace, Judgement]]] = {}
    seen = {t.problem.id for t in traces}
    for trace, judgement in zip(traces, judgements, strict=True):
        if trace.grade is not None and trace.grade.decided:
            pools.setdefault(trace.problem.id, []).append((trace, judgement))
    chosen = [pool for pool in pools.values() if len(pool) > 1]
    if not chosen:
        return None
    said = [s for j in judgements for s in j.scores or () if s is not None]
    # A product means nothing for scores that are no probabilities (rankings, rewards).
    usable = [how for how in AGGREGATES if how != "prod" or all(0 <= s <= 1 for s in said)]
    rows: dict[str, list[float]] = {}
    for pool in chosen:
        for rule, value in _rules(pool, usable).items():
            rows.setdefault(rule, []).append(value)
    return Selection(
        tuple(
            Pick(
                rule,
                bootstrap_mean(values),
                paired_bootstrap(values, rows["random"]),
                paired_bootstrap(values, rows["majority"]),
            )
            for rule, values in rows.items()
        ),
        problems=len(chosen),
        left_out=len(seen) - len(chosen),
        pool=sum(map(len, chosen)) / len(chosen),
    )


def _rules(pool: Sequence[tuple[Trace, Judgement]], aggregates: Sequence[str]) -> dict[str, float]:
    """Expected correctness of each rule on one problem."""
    right = [bool(t.grade and t.grade.correct) for t, _ in pool]
    answers = [None if t.answer is None else canonical(t.problem, t.answer) for t, _ in pool]
    n = len(pool)
    found = {
        "random": sum(right) / n,
        "majority": maj_at_k(answers, right, n),
        "best possible": pass_at_k(n, sum(right), n),
    }
    for how in aggregates:
        scores = [None if j.scores is None else aggregate(j.scores, how) for _, j in pool]
        found[f"scorer, {how}"] = bon_at_k(scores, right, n, answers)
    return found
