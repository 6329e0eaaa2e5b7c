"""Where a number of the whole rollout enters a stream of steps or tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Outcome
from preceptor.credit.types import Array, Ragged


@dataclass(frozen=True)
class Add(Op):
    """Adds `weight` times a rollout's number to its last value or to every value.

    `last`: the last value with a token to carry it. Absent values then count as 0, so that what is added
    reaches every step through the returns; with `every`, absent values stay absent. A rollout whose number
    is absent stays as it is.
    """

    source: Source = field(default_factory=Outcome)
    where: Literal["last", "every"] = "last"
    weight: float = 1.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        added = [float(x[0]) * self.weight for x in self.source.of(batch)]
        sizes = batch.sizes
        return [
            x if np.isnan(a) else self._last(x, a, n) if self.where == "last" else x + a
            for x, a, n in zip(values, added, sizes, strict=True)
        ]

    def _last(self, x: Array, added: float, sizes: Array) -> Array:
        mixed = x.copy()
        if len(mixed):
            at = last_carrier(sizes)
            mixed[(sizes > 0) & np.isnan(mixed)] = 0.0
            mixed[at] = np.nan_to_num(mixed[at]) + added
        return mixed
