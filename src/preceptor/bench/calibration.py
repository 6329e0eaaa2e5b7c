"""Whether a score of 0.7 comes true seven times in ten: Brier, ECE, reliability bins.

The target is either step correctness (0 or 1) or an empirical success rate (a share of rollouts); the two
answer different questions and are never pooled. Scores and targets lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NLL_CLIP = 1e-6


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin that holds something."""

    n: int
    mean_score: float
    mean_target: float

    @property
    def gap(self) -> float:
        """Positive: overconfident."""
        return self.mean_score - self.mean_target


@dataclass(frozen=True)
class Calibration:
    """Figures of one set of scores against one target; all None where there are no scores."""

    n: int
    bins: int
    brier: float | None
    nll: float | None
    ece: float | None
    """Equal-width bins."""
    equal_mass_ece: float | None
    max_gap: float | None
    """Largest absolute gap of an equal-width bin."""
    signed_gap: float | None
    """Mean score minus mean target; positive means overconfident."""


def brier(scores: ArrayLike, targets: ArrayLike) -> float | None:
    """Mean squared difference; None without scores."""
    p, y = _pair(scores, targets)
    return float(((p - y) ** 2).mean()) if len(p) else None


def reliability_bins(scores: ArrayLike, targets: ArrayLike, *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Equal-width bins `min(floor(B p), B - 1)`; empty ones are left out."""
    p, y = _pair(scores, targets)
    return _group(p, y, np.minimum(np.floor(bins * p).astype(np.int64), bins - 1))


def equal_mass_bins(scores: ArrayLike, targets: ArrayLike, *, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Bins of about n / B items in order of score; equal scores stay together."""
    p, y = _pair(scores, targets)
    first_of_equals = np.searchsorted(np.sort(p), p, side="left")
    return _group(p, y, bins * first_of_equals // max(len(p), 1))


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Mean absolute gap of the bins, weighted by what they hold; None when they hold nothing."""
    n = sum(b.n for b in bins)
    return sum(b.n * abs(b.gap) for b in bins) / n if n else None


def calibration_figures(scores: ArrayLike, targets: ArrayLike, *, bins: int = 10) -> Calibration:
    """Everything above at once."""
    p, y = _pair(scores, targets)
    if not len(p):
        return Calibration(0, bins, None, None, None, None, None, None)
    width = reliability_bins(p, y, bins=bins)
    sure = np.clip(p, NLL_CLIP, 1 - NLL_CLIP)
    return Calibration(
        n=len(p),
        bins=bins,
        brier=brier(p, y),
        nll=float(-(y * np.log(sure) + (1 - y) * np.log1p(-sure)).mean()),
        ece=expected_calibration_error(width),
        equal_mass_ece=expected_calibration_error(equal_mass_bins(p, y, bins=bins)),
        max_gap=max(abs(b.gap) for b in width),
        signed_gap=float(p.mean() - y.mean()),
    )


def _group(
    p: NDArray[np.float64], y: NDArray[np.float64], index: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(int(own.sum()), float(p[own].mean()), float(y[own].mean()))
        for own in (index == b for b in np.unique(index))
    )


def _pair(scores: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, y = np.asarray(scores, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ValueError(f"got scores of shape {p.shape} and targets of shape {y.shape}, expected (n,)")
    for name, values in (("score", p), ("target", y)):
        if not ((values >= 0) & (values <= 1)).all():
            worst = values[~((values >= 0) & (values <= 1))][0]
            raise ValueError(
                f"calibration: got {name} {worst}, expected [0, 1]. Apply the scorer's link first."
            )
    return p, y
