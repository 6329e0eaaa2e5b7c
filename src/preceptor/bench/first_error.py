"""Finding the first wrong step: accuracies, their harmonic mean, and the threshold that decides.

A step is bad when its score is strictly below the threshold (`preceptor.judgement.first_below`). For one
trace the prediction equals the label exactly while the threshold lies in one half-open interval, so the
figures at *all* thresholds come from one sort. A prediction of None (no parse, no score) never matches.
Indices are 0-based; `NO_ERROR` means that every step is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.judgement import NO_ERROR

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FirstErrorCounts:
    """Hits and totals, wrong and right traces apart."""

    error_hits: int
    errors: int
    correct_hits: int
    corrects: int

    @property
    def error_accuracy(self) -> float | None:
        """Share of wrong traces whose first error was found exactly."""
        return self.error_hits / self.errors if self.errors else None

    @property
    def correct_accuracy(self) -> float | None:
        """Share of right traces found to be right."""
        return self.correct_hits / self.corrects if self.corrects else None

    @property
    def accuracy(self) -> float | None:
        """Exact matches over all traces."""
        n = self.errors + self.corrects
        return (self.error_hits + self.correct_hits) / n if n else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two accuracies; 0 when both are 0, None when one is not defined."""
        return harmonic_mean(self.error_accuracy, self.correct_accuracy)


def harmonic_mean(a: float | None, b: float | None) -> float | None:
    """`2ab / (a + b)`, 0 when both are 0."""
    if a is None or b is None:
        return None
    return 0.0 if a + b == 0 else 2 * a * b / (a + b)


def first_error_rows(predicted: Sequence[int | None], actual: Sequence[int]) -> Floats:
    """One row per trace, (n, 4): error hit, is error, correct hit, is correct. Sums are the counts."""
    if len(predicted) != len(actual):
        raise ValueError(f"first error: got {len(predicted)} predictions for {len(actual)} labels")
    wrong = np.array([a != NO_ERROR for a in actual], dtype=bool)
    hit = np.array([p is not None and p == a for p, a in zip(predicted, actual, strict=True)], dtype=bool)
    return np.stack([hit & wrong, wrong, hit & ~wrong, ~wrong], axis=1).astype(np.float64)


def first_error_counts(predicted: Sequence[int | None], actual: Sequence[int]) -> FirstErrorCounts:
    """Exact matches of the predicted with the labelled first error."""
    sums = first_error_rows(predicted, actual).sum(axis=0).astype(int).tolist()
    return FirstErrorCounts(*sums)


def first_error_accuracy(
    predicted: Sequence[int | None], actual: Sequence[int], *, tolerance: int = 0
) -> float | None:
    """Share of traces with `|predicted - actual| <= tolerance`.

    Tolerance is for the place of an error only: "no error" matches nothing but "no error".
    """
    if len(predicted) != len(actual):
        raise ValueError(f"first error: got {len(predicted)} predictions for {len(actual)} labels")
    hits = [
        p is not None and (p == a or (NO_ERROR not in (p, a) and abs(p - a) <= tolerance))
        for p, a in zip(predicted, actual, strict=True)
    ]
    return sum(hits) / len(hits) if hits else None


def mean_offset(predicted: Sequence[int | None], actual: Sequence[int]) -> float | None:
    """Mean of predicted minus actual where both name a step; negative means too early."""
    gaps = [
        p - a
        for p, a in zip(predicted, actual, strict=True)
        if p is not None and p != NO_ERROR and a != NO_ERROR
    ]
    return sum(gaps) / len(gaps) if gaps else None


def f1_of_sums(sums: Floats) -> Floats:
    """Harmonic F1 from sums of `first_error_rows` (..., 4) -> (...); NaN where a class is absent."""
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = sums[..., 0] / sums[..., 1], sums[..., 2] / sums[..., 3]
        return np.where(a + b == 0, 0.0, 2 * a * b / (a + b))


def up_to_first_error(
    scores: Sequence[float | None], first_error: int
) -> tuple[list[float], list[bool], int]:
    """Scores and labels of the steps whose truth is known, and how many of them have no score.

    Steps after the first error are ambiguous and left out.
    """
    last = len(scores) if first_error == NO_ERROR else first_error + 1
    known = [(s, t != first_error) for t, s in enumerate(scores[:last]) if s is not None]
    return [s for s, _ in known], [good for _, good in known], min(last, len(scores)) - len(known)


def matching_interval(scores: Sequence[float | None], actual: int) -> tuple[float, float] | None:
    """The thresholds `(low, high]` at which the prediction equals `actual`; None if there are none."""
    low = float("-inf")
    if actual != NO_ERROR:
        found = scores[actual] if actual < len(scores) else None
        if found is None:
            return None
        low = found
    before = list(scores if actual == NO_ERROR else scores[:actual])
    known = [s for s in before if s is not None]
    if not scores or len(known) < len(before):
        return None
    high = min(known, default=float("inf"))
    return (low, high) if low < high else None


def threshold_candidates(scores: ArrayLike) -> Floats:
    """Every threshold that can matter: midpoints of neighbouring distinct scores, and the two ends.

    At the lower end nothing is bad, at the upper end everything is.
    """
    values = np.unique(np.asarray(scores, dtype=np.float64))
    if not len(values):
        return values
    middles = (values[:-1] + values[1:]) / 2
    middles = np.where(middles > values[:-1], middles, values[1:])
    return np.concatenate([values[:1], middles, [np.nextafter(values[-1], np.inf)]])


def best_threshold(candidates: ArrayLike, values: ArrayLike) -> float | None:
    """The candidate with the largest value; ties go to the one nearest 0.5, then to the smaller."""
    at, worth = np.asarray(candidates, dtype=np.float64), np.asarray(values, dtype=np.float64)
    known = ~np.isnan(worth)
    if not known.any():
        return None
    ties = at[known][worth[known] == worth[known].max()]
    return float(min(ties.tolist(), key=lambda t: (abs(t - 0.5), t)))


def first_error_f1_curve(
    scores: Sequence[Sequence[float | None]], actual: Sequence[int], thresholds: ArrayLike
) -> Floats:
    """Harmonic F1 at every threshold, NaN where one class is absent."""
    cuts = np.asarray(thresholds, dtype=np.float64)
    totals = {True: 0, False: 0}
    ends: dict[bool, tuple[list[float], list[float]]] = {True: ([], []), False: ([], [])}
    for own, label in zip(scores, actual, strict=True):
        wrong = label != NO_ERROR
        totals[wrong] += 1
        interval = matching_interval(own, label)
        if interval is not None:
            ends[wrong][0].append(interval[0])
            ends[wrong][1].append(interval[1])
    hits = {
        wrong: np.searchsorted(np.sort(lows), cuts, side="left")
        - np.searchsorted(np.sort(highs), cuts, side="left")
        for wrong, (lows, highs) in ends.items()
    }
    ones = np.ones_like(cuts)
    return f1_of_sums(np.stack([hits[True], totals[True] * ones, hits[False], totals[False] * ones], axis=-1))


def tune_first_error_threshold(
    scores: Sequence[Sequence[float | None]], actual: Sequence[int]
) -> float | None:
    """The threshold with the best harmonic F1 on these traces; None where F1 is never defined."""
    seen = [s for own in scores for s in own if s is not None]
    candidates = threshold_candidates(seen)
    return best_threshold(candidates, first_error_f1_curve(scores, actual, candidates))
