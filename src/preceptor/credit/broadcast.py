"""Values of one level on a finer one: rollouts -> steps -> tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Op
from preceptor.credit.spread import spread
from preceptor.credit.types import Level, Ragged


@dataclass(frozen=True)
class ToTokens(Op):
    """Every sampled token gets its step's (or rollout's) value; statistics after it count tokens."""

    level: ClassVar[Level] = "token"
    on: Literal["all", "end"] = "all"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return spread(values, batch, self.on)


@dataclass(frozen=True)
class ToSteps(Op):
    """A rollout's value on each of its steps, or on the last one (0 on the others)."""

    level: ClassVar[Level] = "step"
    where: Literal["every", "last"] = "every"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for r, x in zip(batch.rollouts, values, strict=True):
            steps = np.full(len(r.spans), x[0])
            if self.where == "last" and len(steps):
                steps[np.arange(len(steps)) != last_carrier(r.tokens)] *= 0.0
            out.append(steps)
        return out
