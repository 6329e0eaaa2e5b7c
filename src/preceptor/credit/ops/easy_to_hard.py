"""Easy-to-Hard: only a new low is charged, and a fixed sum is spread over the steps (repo Edward-Sun/easy-to-hard).

`NewLow` walks the scores with a running minimum that starts at `start`: a step below it is charged the drop and
becomes the new minimum; other steps get 0. With `of="product"` the score is the product so far. `Bonus` adds
`total / (T + 1e-6)` to each of the T steps. Together a rollout earns at most the bonus, whatever its steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, RowOp
from preceptor.credit.types import Array, Ragged


@dataclass(frozen=True)
class NewLow(RowOp):
    """The (non-positive) change of the running minimum; an absent score changes nothing."""

    of: Literal["min", "product"] = "min"
    start: float = 1.0

    def row(self, x: Array) -> Array:
        scores = (
            x
            if self.of == "min"
            else np.where(np.isnan(x), np.nan, np.cumprod(np.where(np.isnan(x), 1.0, x)))
        )
        low = np.fmin.accumulate(np.concatenate([[self.start], scores]))
        return np.where(np.isnan(x), np.nan, np.diff(low))


@dataclass(frozen=True)
class Bonus(Op):
    """The same small reward on each step, `total` over all steps together."""

    total: float = 0.25

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [x + self.total / (len(x) + 1e-6) for x in values]
