"""G-RA: rewards of lower priority count only once those above them have come in (abstract index 217).

`R = R_L + [R_L >= tau] sum_t r_t`. With several levels each has a gate of its own, and a level counts only when
all gates above it are open: highest priority first,

    R = level_0 + [level_0 >= tau_0] (level_1 + [level_1 >= tau_1] (level_2 + ...))

tau is not found, ours: the least value that means "done", e.g. a submitted patch that is not empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.types import Array, Ragged
from preceptor.errors import InputError


@dataclass(frozen=True)
class Accumulate(Op):
    """A rollout's value (level 0) and the sums of the levels below it; `taus[j]` is the gate below level j.

    Behind a closed gate nothing is read. A level that is absent where its gate is open makes the reward absent.
    """

    levels: tuple[Source, ...]
    taus: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != len(self.taus):
            raise InputError(
                f"credit: got {len(self.taus)} gates for {len(self.levels)} levels, expected one above each level."
            )

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        reward = np.array([x[0] for x in values])
        above, is_open = reward.copy(), np.ones(len(reward), dtype=bool)
        for level, tau in zip(self.levels, self.taus, strict=True):
            is_open &= above >= tau
            above = np.array([_total(x) for x in level.of(batch)])
            reward = reward + np.where(is_open, above, 0.0)
        return [np.array([x]) for x in reward]


def _total(x: Array) -> float:
    """0 over no steps; NaN where nothing of something was judged."""
    return np.nan if len(x) and np.isnan(x).all() else float(np.nansum(x))
