"""ECHO: predict what the environment answered, beside the policy gradient (abstract index 164).

L = L_PG(action tokens) + lam * mean cross-entropy(observation tokens), from one forward pass. Observation tokens are
those of the completion that the policy did not sample: tool and terminal output its own actions brought about. They
are not weighted by advantages, have a denominator of their own and count in every rollout, those of groups without
variance included; the prompt has no part. lam: not found, 0.1 is the catalogue's; `decayed` for the optional decay
(linear, ours). In the loop (`learn(echo=0.1)`) the mean is over the tokens of a whole batch, the cross-entropy at the
sampling temperature, and there is no decay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from preceptor.learn.supervised.losses import masked_mean


def echo_loss(policy_loss: Tensor, logps: Tensor, observed: Tensor, lam: float = 0.1) -> Tensor:
    """`policy_loss`: a scalar with its own denominator. `logps`, `observed`: (B, C), the completions."""
    return policy_loss if lam == 0 else policy_loss + lam * masked_mean(-logps, observed)


def observation_mask(
    sampled: Sequence[bool], *, given: Sequence[bool] | None = None, longest: int | None = None
) -> NDArray[np.bool_]:
    """(L,) from the completion's (L,) `sampled` mask: True on environment tokens, of each run of them the first
    `longest`.

    `given`: tokens not sampled that no environment wrote (a teacher's, a demonstration's); never True in the result.
    """
    out = ~np.asarray(sampled, dtype=bool)
    if given is not None:
        out &= ~np.asarray(given, dtype=bool)
    run = 0
    for k, observed in enumerate(out):
        run = run + 1 if observed else 0
        if longest is not None and run > longest:
            out[k] = False
    return out


def decayed(lam: float, step: int, steps: int) -> float:
    """From `lam` at step 0 to 0 at `steps`."""
    return lam * max(0.0, 1.0 - step / steps)
