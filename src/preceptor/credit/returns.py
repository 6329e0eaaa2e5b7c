"""Stage 4: step rewards -> what a step is held responsible for. All by step, none by token."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preceptor.credit.types import Array


def instant(rewards: Array) -> Array:
    """The step's own reward: right when the reward is already an advantage, as progress is."""
    return rewards


def total(rewards: Array) -> Array:
    """Undiscounted reward to go: `U_t = r_t + ... + r_T`. Unjudged steps add nothing."""
    known = np.nan_to_num(rewards)
    return np.where(np.isnan(rewards), np.nan, np.cumsum(known[::-1])[::-1])


def minimum(rewards: Array) -> Array:
    """The worst that is still to come: `U_t = min(r_t, ..., r_T)` (PURE, arXiv 2504.15275).

    On steps, not on zero-filled tokens, so that a completion without a bad step keeps its positive minimum.
    """
    return np.where(np.isnan(rewards), np.nan, np.fmin.accumulate(rewards[::-1])[::-1])


RETURNS: dict[str, Callable[[Array], Array]] = {"min": minimum, "none": instant, "sum": total}
