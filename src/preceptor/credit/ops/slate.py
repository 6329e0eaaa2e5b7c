"""SLATE: only one step is sampled, several times, after one prefix (Truncated step-level sampling).

The rollouts of a round are siblings: a shared prefix and one step of their own, the last. A judge scores that step's
reasoning, query and answer in {-1, 0, 1}; `judged` makes one number of them. The step is compared with its siblings
(a prompt's rollouts may come from several prefixes: node ids tell them apart) and trained; the prefix is not.

k = 5 siblings and at most 4 steps (not confirmed) and the step to go on from (best by reward, or sampled) are the
sampler's. No verified outcome is needed: truncated rollouts have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Op
from preceptor.credit.types import Ragged, Rollout


def judged(components: Sequence[float | None], by: Literal["sum", "mean"] = "sum") -> float | None:
    """Of a step's components those that are present (a search step has no answer); None without any."""
    known = [x for x in components if x is not None]
    return None if not known else sum(known) / (len(known) if by == "mean" else 1)


def truncated(rollout: Rollout) -> Rollout:
    """The rollout with its last step as the only one that counts in the loss and its denominator."""
    return replace(rollout, pivot=max(len(rollout.spans) - 1, 0))


@dataclass(frozen=True)
class SampledStep(Op):
    """The value of the last step with a token; what the prefix has is dropped."""

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for x, sizes in zip(values, batch.sizes, strict=True):
            kept = np.full(len(x), np.nan)
            if len(x):
                at = last_carrier(sizes)
                kept[at] = x[at]
            out.append(kept)
        return out
