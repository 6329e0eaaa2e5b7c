"""PSPO-WRS: accuracy of the steps times a curve of their number (repo DIRECT-BIT/PSPO, `ppo_trl.py`).

A rollout of n steps whose scores have the geometric mean m gets `m * h(n)`. `Weibull` (published):
`h(n) = C k/lam (n/lam)^(k-1) exp(-(n/lam)^k)`, with C such that its peak, near n = 3.85, is 1. `Growth` is the
repository's other curve `ff`, which depends on m too and has no bound in n. A text of one step gets 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Weibull(Op):
    """A rollout's value times h(number of its steps)."""

    shape: float = 1.5
    scale: float = 8.0
    peak: float = 10.735

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [self.factor(len(r.spans)) * x for r, x in zip(batch.rollouts, values, strict=True)]

    def factor(self, n: int) -> float:
        if n <= 1:
            return 0.0
        at = n / self.scale
        return self.peak * self.shape / self.scale * at ** (self.shape - 1) * math.exp(-(at**self.shape))


@dataclass(frozen=True)
class Growth(Op):
    """A rollout's value m times ff(m, number of its steps)."""

    high: float = 0.88433
    low: float = 0.2
    middle: float = 0.21159

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [
            x if np.isnan(x[0]) else np.array([float(x[0]) * self.factor(float(x[0]), len(r.spans))])
            for r, x in zip(batch.rollouts, values, strict=True)
        ]

    def factor(self, m: float, n: int) -> float:
        if n <= 1:
            return 0.0
        if n <= 4:
            return m * math.exp(0.5 * n)
        rate = 0.1 if m > self.high else -0.1 if 0 < m < self.low else 0.1 * (m - self.middle) / self.high
        start, gate = m * math.exp(2), 1 / (1 + math.exp(-10 * (n - 4)))
        return start * (1 - gate) + start * math.exp(rate * (n - 4)) * gate
