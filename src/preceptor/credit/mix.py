"""Stage 3: where the outcome enters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preceptor.credit.types import Array


def separate(rewards: Array, outcome: float) -> Array:
    """Not here: the outcome has its own stream and its own baseline (scales differ)."""
    return rewards


def last_step(rewards: Array, outcome: float) -> Array:
    """On top of the last step's reward; an unjudged last step counts as 0 before that."""
    mixed = rewards.copy()
    if len(mixed):
        mixed[-1] = np.nan_to_num(mixed[-1]) + outcome
    return mixed


MIXES: dict[str, Callable[[Array, float], Array]] = {"last_step": last_step, "separate": separate}
