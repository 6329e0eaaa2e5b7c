"""Clip and Delta: bounded process rewards ("On Designing Effective RL Reward at Training Time", abstract index 199).

`Clip` charges steps below the threshold and pays none: `min(r - eta, 0)`. `Delta` replaces a step's score by its
difference to the next one, so that the reward-to-go from a step is that step's score and not a sum of scores;
the last step is the answer and gets 0. For both, `Clip` comes first.

The formulas are from the paper's figure (from memory); no repository was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.config import RowOp
from preceptor.credit.types import Array


@dataclass(frozen=True)
class Clip(RowOp):
    """`min(r - eta, 0)`; eta is not found, ours: half-way. The median score of a first batch is sensible too."""

    eta: float = 0.5

    def row(self, x: Array) -> Array:
        return np.minimum(x - self.eta, 0.0)


@dataclass(frozen=True)
class Delta(RowOp):
    """`r_t - r_{t+1}` for t < K-1, `r_{K-1}` before the answer step K, 0 on it.

    The next judged step stands in for an absent one; after the last judged step before the answer comes 0.
    """

    def row(self, x: Array) -> Array:
        out = np.where(np.isnan(x), np.nan, 0.0)
        known = np.flatnonzero(~np.isnan(x[:-1]))
        if len(known):
            out[known] = x[known] - np.append(x[known[1:]], 0.0)
        return out
