"""Stage 6: a step's advantage -> the tokens the policy sampled for it.

All tokens of a step get the same number, undivided: the step is the action, and its log-probability is the
sum over its tokens.
"""

from __future__ import annotations

import numpy as np

from preceptor.credit.types import Array, Rollout


def to_tokens(rollout: Rollout, step_advantages: Array) -> Array:
    """`(L_i,)` from `(T_i,)`; NaN and tokens of the environment become 0."""
    out = np.zeros(rollout.length)
    if len(step_advantages):
        out = np.nan_to_num(step_advantages)[rollout.owner]
    return np.where(rollout.mask, out, 0.0)


def whole(rollout: Rollout, advantage: float) -> Array:
    """`(L_i,)` with the same number on every sampled token; 0 for NaN."""
    return np.where(rollout.mask, np.nan_to_num(advantage), 0.0)
