"""Trust-GRPO (SophiaVL-R1): a thinking score, trusted as far as it prefers right answers (abstract index 184).

    R = outcome + gamma alpha exp(-step / horizon) thinking
    gamma = 1 where the mean thinking score of right answers is at least that of wrong ones, else exp(their difference)

The thinking reward model is not asked below outcome `asked`: the score is 0 there. A group that is all right or all
wrong gets no thinking reward. `horizon`: 500 in the code, 1500 in the run; set it to the run's length.
From repo kxfan2002/SophiaVL-R1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Array, Ragged


@dataclass(frozen=True)
class Trusted(Op):
    """Outcomes -> outcomes plus the weighted thinking score. A rollout whose score is missed has no reward."""

    thinking: Source = field(default_factory=lambda: Scalar("thinking"))
    alpha: float = 0.3
    horizon: float = 500.0
    asked: float = 0.2
    right: float = 0.5
    flat: tuple[float, float] = (0.1, 0.9)
    """All outcomes at most the first or at least the second: no thinking reward."""

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        outcome = np.array([x[0] for x in values])
        thinking = np.array([x[0] for x in self.thinking.of(batch)])
        thinking[outcome < self.asked] = 0.0
        reward = outcome.copy()
        fade = self.alpha * math.exp(-batch.signals.step / self.horizon)
        for members in batch.groups:
            mine = outcome[members]
            if np.all(mine <= self.flat[0]) or np.all(mine >= self.flat[1]):
                continue
            reward[members] = mine + self.trust(mine, thinking[members]) * fade * thinking[members]
        return [np.array([x]) for x in reward]

    def trust(self, outcome: Array, thinking: Array) -> float:
        """gamma of one group, `(n,)` each; a side without a known score has mean 0."""
        known = ~np.isnan(thinking)
        right, wrong = thinking[known & (outcome >= self.right)], thinking[known & (outcome < self.right)]
        lead = (float(right.mean()) if len(right) else 0.0) - (float(wrong.mean()) if len(wrong) else 0.0)
        return math.exp(min(lead, 0.0))
