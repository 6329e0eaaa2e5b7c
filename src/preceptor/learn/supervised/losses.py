"""Losses on token log-probabilities; pure functions of tensors, gradients flow through `logps` alone.

Shapes: all arguments (B, L) and aligned, one entry a token, or broadcastable to it. A mean over a mask with no token
is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Over the entries where `mask`; what is masked may be anything, NaN included."""
    return torch.where(mask.bool(), values, 0.0).sum() / mask.sum().clamp(min=1)


def weighted_nll(logps: Tensor, weights: Tensor, trained: Tensor) -> Tensor:
    """-w log pi over the trained tokens; the denominator is their number, not the sum of weights."""
    return masked_mean(-weights * logps, trained)


def value_loss(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared error of tanh(outputs) where there is a target in [-1, 1]."""
    return masked_mean((outputs.tanh() - targets) ** 2, mask)


def shaped(logps: Tensor, advantages: Tensor, *, gamma: float = 0.1, drop_negative: bool = False) -> Tensor:
    """-A f(pi) per token, f(pi) = pi / (pi + gamma), for tokens the policy did not sample: no ratio, no clipping.

    Rare tokens move most: the gradient is A f'(pi) pi = A gamma pi / (pi + gamma)^2 per log-probability.
    `drop_negative`: a negative advantage is 0 (ThinkTuning). Neither form was found published; gamma 0.1 is the
    catalogue's.
    """
    pi = logps.exp()
    kept = advantages.clamp(min=0.0) if drop_negative else advantages
    return -kept * pi / (pi + gamma)


def opmd(logps: Tensor, advantages: Tensor, mask: Tensor, *, tau: float = 1.0) -> Tensor:
    """-A log pi / (1 + tau), token mean (R^3L)."""
    return masked_mean(-advantages * logps, mask) / (1.0 + tau)
