"""VSRM: the change of accuracy at each cut, looking ahead over zeros (repo 1benwu1/VSRM-Efficient-LRMs).

The scores are accuracies of short answers sampled after each step; the last step's is that of the full reasoning.
Reward at step j: `acc_{j+1} - acc_j`. When that is 0, the next change that is not, at distance d <= `horizon`,
times `decay^d`; behind `horizon` zeros, 0. The last step has no next one and gets 0: the outcome goes there.

So a step answers for what comes after it. Summed without a critic, a step's tokens get the last accuracy less the one
behind the step: to be wrong early costs nothing, to be wrong late costs 1. A policy trained so collapses
(benchmarks/credit.md); whether the published placement is meant so was not confirmed.

An absent accuracy is passed over: its neighbours stand next to each other. Left out: the cutting at discourse words
(a segmenter's work) and the sampling of answers (an annotator's).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.config import RowOp
from preceptor.credit.types import Array


@dataclass(frozen=True)
class LookAhead(RowOp):
    """Accuracies -> rewards."""

    decay: float = 0.7
    horizon: int = 4
    zero: float = 1e-5

    def row(self, x: Array) -> Array:
        out = np.full(len(x), np.nan)
        known = np.flatnonzero(~np.isnan(x))
        out[known] = self._rewards(x[known])
        return out

    def _rewards(self, accuracy: Array) -> Array:
        changes = np.diff(accuracy)
        out = np.zeros(len(accuracy))
        for j in range(len(changes)):
            for d in range(min(self.horizon, len(changes) - 1 - j) + 1):
                if abs(changes[j + d]) >= self.zero:
                    out[j] = changes[j + d] * self.decay**d
                    break
        return out
