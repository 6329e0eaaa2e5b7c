"""Does a reward model pick right answers from pools of samples, under which aggregator, and beyond majority?

For every reward model of the pool and every aggregator: best of k and weighted vote at k = 1, 2, 4, ..., n,
beside pass@k, majority@k and the mean accuracy. Best of k, majority and pass count all subsets exactly, ties
shared equally; the weighted vote is exact where the report says so and drawn otherwise. Intervals resample
problems; differences to majority are paired on the same resamples. Aggregators whose values may be negative
vote with softmax weights within the problem. `bench_votes` runs every other vote on the same file (`rerank.py`). Left
out here: choosing the best row, which needs other problems.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preceptor.bench.estimators import SUBSETS, bon_at_k, maj_at_k, pass_at_k, subsets, weighted_at_k
from preceptor.bench.pool_files import read_pools
from preceptor.bench.statistics import Estimate, percentile_interval, resampled_sums
from preceptor.errors import InputError
from preceptor.grade import canonical
from preceptor.progress import Progress, silent
from preceptor.search.aggregate import AGGREGATORS, aggregate
from preceptor.search.vote import softmax
from preceptor.worlds.readers import Pool

if TYPE_CHECKING:
    from preceptor.bench.rerank import Reranked

RESAMPLES = 1000
Row = tuple[str, str | None, str | None]
"""Method ("bon", "weighted", "majority", "pass", "mean"), reward model, aggregator."""


@dataclass(frozen=True)
class Curve:
    """Expected accuracy against k, over problems."""

    method: str
    model: str | None
    aggregator: str | None
    at: Mapping[int, Estimate]
    minus_majority: Mapping[int, Estimate]
    """Paired differences to majority@k on the same problems."""
    exact: Mapping[int, bool]
    """False: drawn subsets at this k."""

    def to_record(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "model": self.model,
            "aggregator": self.aggregator,
            "at": {str(k): e.to_record() for k, e in self.at.items()},
            "minus_majority": {str(k): e.to_record() for k, e in self.minus_majority.items()},
            "exact": {str(k): e for k, e in self.exact.items()},
        }


@dataclass(frozen=True)
class PoolsReport:
    """All curves of one file of pools."""

    source: str
    problems: int
    candidates: int
    ks: tuple[int, ...]
    curves: Mapping[Row, Curve]
    answers: str
    """Which answers counted as one: "published" (equal strings) or "canonical"."""
    unanswered: int
    """Candidates without an answer: they hold a place among the k and are never chosen."""
    unscored: Mapping[str, int]
    """Candidates without any step score, by reward model."""
    missing_steps: Mapping[str, int]
    """Single absent step scores, by reward model; skipped by the aggregators."""
    skipped: Mapping[str, str]
    """"MODEL AGGREGATOR" to the reason why the aggregator cannot take these scores."""
    resamples: int
    seed: int

    def curve(self, method: str, model: str | None = None, aggregator: str | None = None) -> Curve:
        """One curve, e.g. `curve("bon", "qwen_prm", "prod")` or `curve("majority")`."""
        if (method, model, aggregator) not in self.curves:
            raise KeyError(
                f"no curve {(method, model, aggregator)}; there are {sorted(map(str, self.curves))}"
            )
        return self.curves[method, model, aggregator]

    def table(self) -> str:
        n = self.ks[-1]
        lines = [
            f"{self.source}: {self.problems} problems, {self.candidates} candidates, {self.unanswered} "
            f"without an answer, {self.answers} answers; 95 % intervals over problems "
            f"({self.resamples} resamples, seed {self.seed})",
            "",
            f"{'':10}" + "".join(f"{f'@{k}':>9}" for k in self.ks),
        ]
        for method in ("mean", "majority", "pass"):
            at = self.curve(method).at
            lines.append(f"{method:10}" + "".join(f"{_shown(at[k].value):>9}" for k in self.ks))
        lines += ["", f"{'model':20} {'aggregator':12} {_head('best', n)} {_head('weighted', n)}"]
        for method, model, how in self.curves:
            if method == "bon":
                pair = (self.curve("bon", model, how), self.curve("weighted", model, how))
                cells = " ".join(f"{_full(c.at[n])} {_full(c.minus_majority[n], signed=True)}" for c in pair)
                lines.append(f"{model:20} {how:12} {cells}")
        lines += [
            "",
            "All rows are measured on the same problems: the best of them is optimistic for other data.",
        ]
        for kind, counts in (
            ("unscored candidates", self.unscored),
            ("absent step scores", self.missing_steps),
        ):
            shown = ", ".join(f"{model} {count}" for model, count in counts.items() if count) or "none"
            lines.append(f"{kind}: {shown}")
        lines += [f"skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def to_record(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "problems": self.problems,
            "candidates": self.candidates,
            "ks": list(self.ks),
            "curves": [c.to_record() for c in self.curves.values()],
            "answers": self.answers,
            "unanswered": self.unanswered,
            "unscored": dict(self.unscored),
            "missing_steps": dict(self.missing_steps),
            "skipped": dict(self.skipped),
            "resamples": self.resamples,
            "seed": self.seed,
        }


def bench_pools(
    path: str | Path,
    *,
    aggregators: Sequence[str] | None = None,
    answers: str = "published",
    resamples: int = RESAMPLES,
    limit: int = SUBSETS,
    seed: int = 0,
    progress: Progress = silent,
) -> PoolsReport:
    """Curves of every reward model in the file of pools at `path` under every aggregator.

    `answers` says which answers count as one: "published", the pool's own strings where they are equal, or
    "canonical", which also merges `16` with `\\$16.00`. `limit`: subsets drawn per problem and k where there
    are more. Raises `InputError` for a file without
    pools, `RecordError` for a malformed one.
    """
    return report_pools(
        read_pools(path),
        Path(path).name,
        aggregators=aggregators,
        answers=answers,
        resamples=resamples,
        limit=limit,
        seed=seed,
        progress=progress,
    )


def bench_votes(path: str | Path, **settings: Any) -> Reranked:
    """Every vote over every reward model and aggregator of the file of pools at `path`; settings of `rerank.rerank`."""
    from preceptor.bench.rerank import rerank

    return rerank(read_pools(path), Path(path).name, **settings)


def report_pools(
    pools: Sequence[Pool],
    source: str,
    *,
    aggregators: Sequence[str] | None = None,
    answers: str = "published",
    resamples: int = RESAMPLES,
    limit: int = SUBSETS,
    seed: int = 0,
    progress: Progress = silent,
) -> PoolsReport:
    """The same for pools already read; `source` names them in the report."""
    names = sorted(AGGREGATORS) if aggregators is None else list(aggregators)
    models = sorted(pools[0].candidates[0].step_scores)
    n = min(len(p.candidates) for p in pools)
    ks = tuple(k for k in (2**i for i in range(n.bit_length())) if k < n) + (n,)
    columns, skipped = _columns(pools, models, names)
    tables: dict[Row, list[list[float]]] = {}
    exact: dict[int, bool] = dict.fromkeys(ks, True)
    if answers not in ("published", "canonical"):
        raise InputError(f"answers: got {answers!r}, expected 'published' or 'canonical'")
    for i, pool in enumerate(pools):
        classes = classes_of(pool, answers)
        for row, values in _one_problem(pool, classes, columns, i, ks, limit, seed, exact).items():
            tables.setdefault(row, []).append(values)
        progress(i + 1, len(pools), f"{len(tables)} curves")
    return PoolsReport(
        source=source,
        problems=len(pools),
        candidates=sum(len(p.candidates) for p in pools),
        ks=ks,
        curves=_curves(tables, ks, exact, resamples, seed),
        answers=answers,
        unanswered=sum(a is None for p in pools for a in classes_of(p, "published")),
        unscored={m: sum(not _known(c.step_scores[m]) for p in pools for c in p.candidates) for m in models},
        missing_steps={
            m: sum(
                len(c.step_scores[m] or ()) - _known(c.step_scores[m]) for p in pools for c in p.candidates
            )
            for m in models
        },
        skipped=skipped,
        resamples=resamples,
        seed=seed,
    )


Columns = dict[tuple[str, str], list[list[float | None]]]
"""Scalar scores by (model, aggregator): one list per problem, one entry per candidate."""


def _columns(
    pools: Sequence[Pool], models: Sequence[str], names: Sequence[str]
) -> tuple[Columns, dict[str, str]]:
    columns: Columns = {}
    skipped: dict[str, str] = {}
    for model in models:
        for how in names:
            try:
                columns[model, how] = [
                    [aggregate(c.step_scores[model], how) for c in pool.candidates] for pool in pools
                ]
            except ValueError as error:  # scores outside [0, 1], or an unknown name
                skipped[f"{model} {how}"] = str(error)
    return columns, skipped


def _one_problem(
    pool: Pool,
    classes: list[str | None],
    columns: Columns,
    i: int,
    ks: Sequence[int],
    limit: int,
    seed: int,
    exact: dict[int, bool],
) -> dict[Row, list[float]]:
    """Expected accuracy on one problem at every k, by curve. Notes in `exact` where subsets were drawn."""
    correct = [c.correct for c in pool.candidates]
    n, hits = len(correct), sum(correct)
    out: dict[Row, list[float]] = {
        ("mean", None, None): [hits / n] * len(ks),
        ("majority", None, None): [maj_at_k(classes, correct, k) for k in ks],
        ("pass", None, None): [pass_at_k(n, hits, k) for k in ks],
    }
    for (model, how), scores in columns.items():
        out["bon", model, how] = [bon_at_k(scores[i], correct, k, classes) for k in ks]
    weights = np.array([_weights(scores[i]) for scores in columns.values()], dtype=np.float64)
    voted = []
    for k in ks:
        mask, complete = subsets(n, k, limit=limit, key=[seed, pool.problem.id])
        exact[k] = exact[k] and complete
        voted.append(weighted_at_k(weights, classes, correct, mask) if columns else np.zeros(0))
    for (model, how), values in zip(columns, np.transpose(voted), strict=True):
        out["weighted", model, how] = values.tolist()
    return out


def classes_of(pool: Pool, answers: str = "published") -> list[str | None]:
    """What counts as one answer: equal strings, or equal canonical forms."""
    shown = [None if c.answer is None or not c.answer.strip() else c.answer.strip() for c in pool.candidates]
    if answers == "published":
        return shown
    return [None if a is None else canonical(pool.problem, a) for a in shown]


def _weights(scores: list[float | None]) -> list[float]:
    negative = any(s is not None and s < 0 for s in scores)
    return [math.nan if w is None else w for w in (softmax(scores) if negative else scores)]


def _known(scores: Sequence[float | None] | None) -> int:
    return sum(s is not None and not math.isnan(s) for s in scores or ())


def _curves(
    tables: Mapping[Row, list[list[float]]],
    ks: Sequence[int],
    exact: Mapping[int, bool],
    resamples: int,
    seed: int,
) -> dict[Row, Curve]:
    """Means and intervals; every curve and every difference is taken on the same resamples."""
    base = np.array(tables["majority", None, None])
    drawn = resampled_sums(base, resamples=resamples, seed=seed) / len(base)
    curves: dict[Row, Curve] = {}
    for row, values in tables.items():
        table = np.array(values)
        own = resampled_sums(table, resamples=resamples, seed=seed) / len(table)
        always = row[0] != "weighted"
        curves[row] = Curve(
            *row,
            at=_estimates(table.mean(axis=0), own, ks, len(table)),
            minus_majority=_estimates(table.mean(axis=0) - base.mean(axis=0), own - drawn, ks, len(table)),
            exact={k: always or exact[k] for k in ks},
        )
    return curves


def _estimates(
    means: NDArray[np.float64], replicates: NDArray[np.float64], ks: Sequence[int], n: int
) -> dict[int, Estimate]:
    return {k: percentile_interval(float(means[j]), replicates[:, j], n) for j, k in enumerate(ks)}


def _shown(value: float | None, signed: bool = False) -> str:
    return "-" if value is None else f"{value:{'+' if signed else ''}.4f}"


def _full(estimate: Estimate, signed: bool = False) -> str:
    low, high = _shown(estimate.low, signed), _shown(estimate.high, signed)
    return f"{_shown(estimate.value, signed):>7} [{low}, {high}]"


def _head(name: str, k: int) -> str:
    return f"{f'{name}@{k}':24} {'minus majority':26}"
