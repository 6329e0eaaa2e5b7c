"""Rewards -> what a step (or token) is held responsible for. Discounts count entries of the level: per step on
steps, per token on tokens. Without an operation of this file a value stands for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.config import RowOp
from preceptor.credit.types import Array, Flags


@dataclass(frozen=True)
class RewardToGo(RowOp):
    """`U_t = r_t + gamma U_{t+1}`. Absent values add nothing and stay absent."""

    gamma: float = 1.0

    def row(self, x: Array) -> Array:
        known = np.nan_to_num(x)
        if self.gamma == 1.0:
            summed = np.cumsum(known[::-1])[::-1]
        else:
            summed, at = np.zeros(len(x)), 0.0
            for t in range(len(x) - 1, -1, -1):
                at = known[t] + self.gamma * at
                summed[t] = at
        return np.where(np.isnan(x), np.nan, summed)


@dataclass(frozen=True)
class Minimum(RowOp):
    """The worst that is still to come: `U_t = min(r_t, ..., r_T)` (PURE, arXiv 2504.15275).

    On steps, not on zero-filled tokens, so that a completion without a bad step keeps its positive minimum.
    """

    def row(self, x: Array) -> Array:
        return np.where(np.isnan(x), np.nan, np.fmin.accumulate(x[::-1])[::-1])


def gae(
    rewards: Array, values: Array, mask: Flags, gamma: float = 1.0, lam: float = 1.0
) -> tuple[Array, Array]:
    """Generalised advantage estimates and returns over tokens, `(L,)` each, from a critic's `values`.

    Tokens of the environment (`mask` False) are skipped: the value and the estimate after them are carried
    over them unchanged, and they get 0. No row of `METHODS` has a critic; this is for learners that do.
    """
    advantages, next_value, last = np.zeros(len(rewards)), 0.0, 0.0
    for t in range(len(rewards) - 1, -1, -1):
        if mask[t]:
            last = rewards[t] + gamma * next_value - values[t] + gamma * lam * last
            next_value = values[t]
            advantages[t] = last
    return advantages, np.where(mask, advantages + values, 0.0)
