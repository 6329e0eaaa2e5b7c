"""Values of one level on a coarser one: tokens -> steps -> rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Array, Level, Ragged


def _geometric(x: Array) -> float:
    if (x <= 0).any():
        return 0.0
    return float(np.exp(np.log(x).mean()))


_POOLS: dict[str, Callable[[Array], float]] = {
    "geometric": _geometric,
    "last": lambda x: float(x[-1]),
    "max": lambda x: float(x.max()),
    "mean": lambda x: float(x.mean()),
    "min": lambda x: float(x.min()),
    "product": lambda x: float(x.prod()),
    "sum": lambda x: float(x.sum()),
}


@dataclass(frozen=True)
class Pool(Op):
    """A rollout's values as one number; absent ones are left out. NaN when all are."""

    level: ClassVar[Level] = "rollout"
    by: Literal["mean", "product", "min", "max", "sum", "geometric", "last"] = "mean"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for x in values:
            known = x[~np.isnan(x)]
            out.append(np.array([_POOLS[self.by](known) if len(known) else np.nan]))
        return out


@dataclass(frozen=True)
class StepSums(Op):
    """Sum of a step's token values; NaN for a step without any."""

    level: ClassVar[Level] = "step"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for r, x in zip(batch.rollouts, values, strict=True):
            at = ~np.isnan(x) & (r.owner >= 0)
            counts = np.bincount(r.owner[at], minlength=len(r.spans))
            sums = np.bincount(r.owner[at], x[at], minlength=len(r.spans))
            out.append(np.where(counts > 0, sums, np.nan))
        return out
