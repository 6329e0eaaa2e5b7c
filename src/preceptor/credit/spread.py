"""Values of any level on tokens: all tokens of a step get its number, undivided, or its last token alone does."""

from __future__ import annotations

from typing import Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.types import Array, Ragged, Rollout


def spread(values: Ragged, batch: Batch, on: Literal["all", "end"] = "all") -> Ragged:
    """`(L_i,)` each, from values of the batch's level; NaN for absent values and tokens of the environment."""
    place = {"rollout": _rollout, "step": _steps, "token": _tokens}[batch.level]
    return [place(r, x, on == "end") for r, x in zip(batch.rollouts, values, strict=True)]


def _rollout(rollout: Rollout, value: Array, end: bool) -> Array:
    out = np.full(rollout.length, np.nan)
    at = np.flatnonzero(rollout.mask)
    out[at[-1:] if end else at] = value[0]
    return out


def _steps(rollout: Rollout, values: Array, end: bool) -> Array:
    out = np.full(rollout.length, np.nan)
    if not len(values):
        return out
    if end:
        carried = rollout.ends >= 0
        out[rollout.ends[carried]] = values[carried]
        return out
    return np.where(rollout.mask, values[rollout.owner], np.nan)


def _tokens(rollout: Rollout, values: Array, end: bool) -> Array:
    return np.where(rollout.mask, values, np.nan)
