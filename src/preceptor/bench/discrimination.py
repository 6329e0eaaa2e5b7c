"""How well scores tell good steps from bad ones: AUROC, AUPRC of the bad class, step confusion.

Everywhere a high score means good and `True` means good. Scores must be known: drop steps without a score
before, and report how many. A figure that needs both classes (or any item) and has them not is None.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.bench.statistics import (
    LEVEL,
    RESAMPLES,
    Estimate,
    cluster_index,
    percentile_interval,
    times_drawn,
)

_CHUNK_CELLS = 1 << 20


def auroc(scores: ArrayLike, good: ArrayLike) -> float | None:
    """P(score of a good one > score of a bad one) + P(equal) / 2; None with one class."""
    from scipy.stats import rankdata

    values, labels = _pair(scores, good)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    rank_sum = float(rankdata(values)[labels].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def bootstrap_auroc(
    problems: Sequence[Hashable],
    scores: ArrayLike,
    good: ArrayLike,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate:
    """AUROC over steps with an interval over problems: `problems[i]` is the problem step i belongs to.

    One sort serves all resamples; `n` of the estimate counts problems.
    """
    values, labels = _pair(scores, good)
    owner = cluster_index(problems)
    if not len(values):
        return Estimate(None, None, None, 0)
    order = np.argsort(values, kind="stable")
    owner, labels = owner[order], labels[order]
    starts = np.flatnonzero(np.diff(values[order], prepend=-np.inf) > 0)
    n, replicates = int(owner.max()) + 1, []
    rows = max(1, _CHUNK_CELLS // len(values))
    for times in times_drawn(n, resamples, seed):
        for at in range(0, len(times), rows):
            weight = times[at : at + rows, owner]
            above = np.add.reduceat(weight * labels, starts, axis=1)
            below = np.add.reduceat(weight * ~labels, starts, axis=1)
            won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
            with np.errstate(invalid="ignore"):
                replicates.append(won / (above.sum(axis=1) * below.sum(axis=1)))
    return percentile_interval(auroc(scores, good), np.concatenate(replicates), n, level=level)


def auprc_bad(scores: ArrayLike, good: ArrayLike) -> float | None:
    """Average precision of finding bad steps by low score; equal scores enter together.

    None where nothing is bad. Chance level is the share of bad steps, not one half.
    """
    values, labels = _pair(scores, good)
    bad = ~labels
    if not bad.any():
        return None
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) > 0, True))
    found = np.cumsum(bad[order])[ends]
    precision = found / (ends + 1)
    gained = np.diff(found, prepend=0) / bad.sum()
    return float((precision * gained).sum())


@dataclass(frozen=True)
class StepConfusion:
    """Counts over steps; positive means good. Every ratio over nothing is None."""

    tp: int
    """Good, judged good."""
    fp: int
    """Bad, judged good."""
    tn: int
    """Bad, judged bad."""
    fn: int
    """Good, judged bad."""

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float | None:
        return _ratio(self.tp + self.tn, self.n)

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def negative_f1(self) -> float | None:
        """F1 with bad as the positive class."""
        return _ratio(2 * self.tn, 2 * self.tn + self.fp + self.fn)

    @property
    def macro_f1(self) -> float | None:
        if self.f1 is None or self.negative_f1 is None:
            return None
        return (self.f1 + self.negative_f1) / 2

    @property
    def precision(self) -> float | None:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def negative_precision(self) -> float | None:
        return _ratio(self.tn, self.tn + self.fn)

    @property
    def negative_recall(self) -> float | None:
        return _ratio(self.tn, self.tn + self.fp)

    def __add__(self, other: StepConfusion) -> StepConfusion:
        return StepConfusion(self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn)


def step_confusion(
    judged_good: Sequence[bool] | ArrayLike, good: Sequence[bool] | ArrayLike
) -> StepConfusion:
    """Counts of judged against true labels, pooled over steps (the micro average)."""
    judged, truth = np.asarray(judged_good, dtype=bool), np.asarray(good, dtype=bool)
    if judged.shape != truth.shape:
        raise ValueError(f"step_confusion: got {judged.shape} verdicts for {truth.shape} labels")
    return StepConfusion(
        tp=int((judged & truth).sum()),
        fp=int((judged & ~truth).sum()),
        tn=int((~judged & ~truth).sum()),
        fn=int((~judged & truth).sum()),
    )


def _ratio(top: int, bottom: int) -> float | None:
    return None if bottom == 0 else top / bottom


def _pair(scores: ArrayLike, good: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(good, dtype=bool)
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(
            f"got scores of shape {values.shape} and labels of shape {labels.shape}, expected (n,)"
        )
    if not np.isfinite(values).all():
        raise ValueError("got a score that is not finite. Drop steps without a score and count them.")
    return values, labels
