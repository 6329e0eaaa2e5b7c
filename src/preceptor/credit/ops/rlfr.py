"""RLFR: tokens whose hidden states a flow model of good text finds odd are charged a little (Flow rewards from
latents, repo Jinghaoleven/RLFR).

The token scores are velocity errors of the flow model, times t / (1 - t), averaged over layers. Within a rollout they
are scaled to [0, 1]; what is above 0.6, at most the 15 largest, costs 0.01 times the scaled error, summed from each
token to the end. So at most 15 tokens of a rollout are shaped, for -0.15 together at the worst.

Left out: the flow model and its online training on correct rollouts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.config import RowOp
from preceptor.credit.types import Array


@dataclass(frozen=True)
class Deviations(RowOp):
    """Token errors -> token rewards in [-`cost`, 0]; 0 in a rollout whose errors are all the same."""

    threshold: float = 0.6
    top: int = 15
    cost: float = 0.01

    def row(self, x: Array) -> Array:
        known = np.flatnonzero(~np.isnan(x))
        if not len(known):
            return x
        low, high = x[known].min(), x[known].max()
        scaled = (x[known] - low) / (high - low) if high > low else np.zeros(len(known))
        scaled[scaled <= self.threshold] = 0.0
        scaled[np.argsort(-scaled, kind="stable")[self.top :]] = 0.0
        out = np.full(len(x), np.nan)
        out[known] = -self.cost * scaled
        return out
