"""Values -> values of the same meaning at another scale or shape. NaN stays NaN.

Transformations that belong to one method are in `ops/`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, RowOp
from preceptor.credit.returns import RewardToGo
from preceptor.credit.types import Array, Ragged


@dataclass(frozen=True)
class Signed(RowOp):
    """A probability as `p(right) - p(wrong)`, in [-1, 1]."""

    def row(self, x: Array) -> Array:
        return 2.0 * x - 1.0


@dataclass(frozen=True)
class Scale(RowOp):
    """Times a constant."""

    factor: float

    def row(self, x: Array) -> Array:
        return self.factor * x


@dataclass(frozen=True)
class Softmin(RowOp):
    """Each value times its weight `softmax(-x / T)` within the rollout: the sum goes to the minimum as T -> 0
    (PURE, arXiv 2504.15275)."""

    temperature: float = 0.1

    def row(self, x: Array) -> Array:
        if np.isnan(x).all():
            return x
        weights = np.exp(-(x - np.nanmin(x)) / self.temperature)
        return np.asarray(weights / np.nansum(weights) * x, dtype=float)


@dataclass(frozen=True)
class MaxReturnScale(Op):
    """Divided by the largest absolute reward-to-go of the batch: bounds returns, keeps signs and relations."""

    eps: float = 1e-6

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        returns = RewardToGo()(values, batch)
        largest = max((float(np.nanmax(np.abs(u))) for u in returns if not np.isnan(u).all()), default=0.0)
        return [x / (largest + self.eps) for x in values]


@dataclass(frozen=True)
class Whiten(Op):
    """Mean 0 and variance 1 over the sampled tokens of the batch, as in REINFORCE++ and verl.

    Makes prompts depend on each other, and re-centers: a batch of right answers becomes half-negative.
    """

    eps: float = 1e-8

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        known = [x[~np.isnan(x)] for x in values]
        flat = np.concatenate(known) if known else np.zeros(0)
        if not len(flat):
            return values
        scale = np.sqrt(flat.var(ddof=1 if len(flat) > 1 else 0) + self.eps)
        return [(x - flat.mean()) / scale for x in values]


@dataclass(frozen=True)
class ZeroSeparators(Op):
    """0 on the token that ends a step, except the last step's: where a separator sits, so that neither writing
    nor avoiding one is learned (PURE). For `after`. Of a separator of several tokens only the last is meant.
    """

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for r, x in zip(batch.rollouts, values, strict=True):
            ends, x = r.ends[:-1], x.copy()
            at = ends[ends >= 0]
            x[at] *= 0.0
            out.append(x)
        return out
