"""How sure a figure is: Wilson intervals, bootstrap over problems, paired comparison, McNemar.

Problems are the unit that is resampled, never steps or candidates: pass one row per problem (the sums over
everything that belongs to it). The statistic is recomputed on every resample. A statistic that is not
defined (a ratio over nothing) is None, never 0; resamples on which it is not defined are counted. Left out:
normal approximations and bias-corrected bootstraps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
_CHUNK_CELLS = 1 << 21


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval. `str()` gives `0.812 [0.780, 0.840] n=400`."""

    value: float | None
    """None: not defined on these data."""
    low: float | None
    high: float | None
    n: int
    """Problems (or trials) the figure rests on."""
    undefined: int = 0
    """Resamples on which the statistic was not defined; the interval rests on the others."""

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined n={self.n}"
        if self.low is None or self.high is None:
            return f"{self.value:.3f} n={self.n}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] n={self.n}"

    def to_record(self) -> dict[str, Any]:
        return asdict(self)


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Estimate:
    """Wilson score interval of a proportion of independent trials; `value` is None without trials."""
    from scipy.stats import norm

    if not 0 <= successes <= trials:
        raise ValueError(f"wilson: got {successes} successes of {trials} trials, expected 0 <= s <= n")
    if trials == 0:
        return Estimate(None, None, None, 0)
    z, p = float(norm.ppf(0.5 + level / 2)), successes / trials
    shrink = 1 + z * z / trials
    center = (p + z * z / (2 * trials)) / shrink
    half = z / shrink * float(np.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)))
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == trials else min(1.0, center + half)
    return Estimate(p, low, high, trials)


def cluster_index(clusters: Sequence[Hashable]) -> Ints:
    """The number of each row's cluster, counted in order of first sight."""
    order: dict[Hashable, int] = {}
    return np.array([order.setdefault(c, len(order)) for c in clusters], dtype=np.int64)


def cluster_sums(clusters: Sequence[Hashable], values: ArrayLike) -> Floats:
    """Sums of `values` (rows, D) over the rows of each cluster: (clusters, D), in order of first sight.

    >>> cluster_sums(["a", "b", "a"], [[1, 1], [0, 1], [0, 1]]).tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(clusters):
        raise ValueError(
            f"cluster_sums: got {rows.shape} values for {len(clusters)} rows, expected (rows, D)"
        )
    index = cluster_index(clusters)
    sums = np.zeros((int(index.max(initial=-1)) + 1, rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def draws(n: int, resamples: int, seed: int) -> Iterator[Ints]:
    """Indices of the problems drawn, in chunks (resamples in the chunk, n); fixed by the seed."""
    random = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_CELLS // max(n, 1))
    for at in range(0, resamples, chunk):
        yield random.integers(n, size=(min(chunk, resamples - at), n))


def times_drawn(n: int, resamples: int, seed: int) -> Iterator[Ints]:
    """How often each of the n problems is drawn, in chunks (resamples in the chunk, n); same draws."""
    for drawn in draws(n, resamples, seed):
        flat = drawn + n * np.arange(len(drawn))[:, None]
        yield np.bincount(flat.ravel(), minlength=n * len(drawn)).reshape(len(drawn), n)


def resampled_sums(rows: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Column sums of `rows` (P, D) over each bootstrap resample of the P problems: (resamples, D)."""
    table = np.asarray(rows, dtype=np.float64)
    n = len(table)
    if n == 0:
        return np.zeros((0, table.shape[1] if table.ndim == 2 else 0))
    return np.concatenate([times @ table for times in times_drawn(n, resamples, seed)])


def percentile_interval(
    value: float | None, replicates: ArrayLike, n: int, *, level: float = LEVEL
) -> Estimate:
    """The percentile interval of the replicates; NaN marks a resample without a value."""
    all_values = np.asarray(replicates, dtype=np.float64)
    known = all_values[~np.isnan(all_values)]
    missing = len(all_values) - len(known)
    if value is None or np.isnan(value) or not len(known):
        return Estimate(None, None, None, n, missing)
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return Estimate(float(value), float(low), float(high), n, missing)


def bootstrap(
    rows: ArrayLike,
    statistic: Callable[[NDArray[Any]], float | None],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """Any statistic of the drawn rows (P, ...), one row per problem.

    Where rows are ragged, pass `np.arange(P)` and let the statistic look the problems up. Use
    `bootstrap_sums` where the statistic is a function of sums: it is hundreds of times faster.
    """
    table = np.asarray(rows)
    if not len(table):
        return Estimate(None, None, None, 0)
    values = [_number(statistic(table[one])) for drawn in draws(len(table), resamples, seed) for one in drawn]
    return percentile_interval(statistic(table), values, len(table), level=level)


def bootstrap_sums(
    rows: ArrayLike,
    statistic: Callable[[Floats], Floats],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """A statistic of the column sums of `rows` (P, D), all resamples at once.

    `statistic` maps sums (..., D) to values (...), NaN where it is not defined.
    """
    table = np.asarray(rows, dtype=np.float64)
    if not len(table):
        return Estimate(None, None, None, 0)
    value = float(statistic(table.sum(axis=0)))
    return percentile_interval(
        value, statistic(resampled_sums(table, resamples=resamples, seed=seed)), len(table), level=level
    )


def bootstrap_mean(
    values: ArrayLike, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> Estimate:
    """The mean of one value per problem."""
    column = np.asarray(values, dtype=np.float64)
    n = max(len(column), 1)
    return bootstrap_sums(
        column[:, None], lambda sums: sums[..., 0] / n, resamples=resamples, level=level, seed=seed
    )


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    statistic: Callable[[NDArray[Any]], float | None] | None = None,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """`statistic(first) - statistic(second)`, both on the same resamples of the same problems.

    `first` and `second` are (P, ...) with row i of both belonging to problem i; the statistic is the mean
    unless given.
    """
    a, b = np.asarray(first), np.asarray(second)
    if len(a) != len(b):
        raise ValueError(f"paired_bootstrap: got {len(a)} and {len(b)} problems, expected the same problems")
    if statistic is None:
        difference = a.astype(np.float64) - b.astype(np.float64)
        return bootstrap_mean(difference, resamples=resamples, level=level, seed=seed)

    def gap(drawn: Ints) -> float | None:
        one, other = statistic(a[drawn]), statistic(b[drawn])
        return None if one is None or other is None else one - other

    return bootstrap(np.arange(len(a)), gap, resamples=resamples, level=level, seed=seed)


@dataclass(frozen=True)
class McNemar:
    """Items only one of two systems got right, and the exact two-sided p-value."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's exact test on paired outcomes; p is 1 where the systems never differ."""
    from scipy.stats import binomtest

    if len(first) != len(second):
        raise ValueError(f"mcnemar: got {len(first)} and {len(second)} outcomes, expected the same items")
    a = sum(bool(x) and not y for x, y in zip(first, second, strict=True))
    b = sum(bool(y) and not x for x, y in zip(first, second, strict=True))
    return McNemar(a, b, 1.0 if a + b == 0 else float(binomtest(a, a + b, 0.5).pvalue))


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
