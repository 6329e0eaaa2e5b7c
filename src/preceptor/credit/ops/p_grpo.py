"""Posterior-GRPO: a thinking score that only a right answer can earn (abstract index 193).

`R = format + outcome + [outcome = 1] thinking`. On a failing rollout the thinking score is not even looked at. Weights
of 1 each and a format in {0, 1}: not found, ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Posterior(Op):
    """Outcomes -> outcomes, plus the thinking score where they are at least `full`; absent where that is."""

    thinking: Source = field(default_factory=lambda: Scalar("thinking"))
    full: float = 1.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [
            x + np.where(x >= self.full, thinking, 0.0)
            for x, thinking in zip(values, self.thinking.of(batch), strict=True)
        ]
