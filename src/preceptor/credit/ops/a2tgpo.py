"""A2TGPO: gains compared turn by turn, sums of equal variance, a clip range for each turn (Turn-group policy
optimization with adaptive clipping).

`igpo` with three changes. A gain is normalised over the prompt's rollouts at the same turn index; a turn that only
one rollout reaches gives 0. The sum of the gains from a turn on is divided by the root of their number, so that its
variance does not grow with the turns to come. Informative turns get a wider clip range, the others a narrower one.

n counts the gains from a turn on; the answer turn has none, so its advantage is the outcome's. Not found, ours: the
map of the clip range, the weight 1 of the gains beside the outcome, gamma 1 (from `igpo`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.baseline import Center
from preceptor.credit.batch import Batch
from preceptor.credit.config import ClipRange, Op, RowOp, Source
from preceptor.credit.ops.beliefs import Gains
from preceptor.credit.returns import RewardToGo
from preceptor.credit.spread import spread
from preceptor.credit.types import Array, Ragged


@dataclass(frozen=True)
class TurnGroup(Op):
    """Minus the mean, over the deviation, of the prompt's values at the same turn index; 0 for a lone value."""

    eps: float = 1e-6

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        compared = Center("turn", "mean", "std", self.eps)(values, batch)
        return [
            np.where(np.isnan(x), np.nan, np.nan_to_num(y)) for x, y in zip(values, compared, strict=True)
        ]


@dataclass(frozen=True)
class RescaledReturn(RowOp):
    """`S_t / sqrt(n_t)`, `S_t = sum_k gamma^(k - t) x_k` over the n_t known values from t on; absent for n_t = 0."""

    gamma: float = 1.0

    def row(self, x: Array) -> Array:
        left = np.cumsum(~np.isnan(x)[::-1])[::-1]
        summed = RewardToGo(self.gamma).row(np.nan_to_num(x))
        return np.where(left > 0, summed / np.sqrt(np.maximum(left, 1)), np.nan)


@dataclass(frozen=True)
class TurnClip(ClipRange):
    """`e * clip(1 + kappa * gain, least, most)` on a turn's tokens; `e` where there is no gain. kappa 0 is PPO's."""

    low: float = 0.2
    high: float = 0.2
    kappa: float = 0.25
    least: float = 0.5
    most: float = 1.5
    lower: bool = True
    """False: the upper bound alone moves."""
    source: Source = field(default_factory=lambda: Gains(answer=False))
    group: Op = field(default_factory=TurnGroup)

    def __call__(self, batch: Batch) -> tuple[Ragged, Ragged]:
        steps = batch.at("step")
        gains = spread(self.group(self.source.of(steps), steps), steps)
        wide = [np.clip(1.0 + self.kappa * np.nan_to_num(g), self.least, self.most) for g in gains]
        return [self.low * (w if self.lower else np.ones(len(w))) for w in wide], [
            self.high * w for w in wide
        ]
