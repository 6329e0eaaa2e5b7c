"""Losses of step scores: pure functions of (logits at the readouts, targets, mask).

A target is the probability that the step is good; a hard label is the target 0 or 1, so the hard and
the soft objective are one function. Which steps count is a mask of its own: there is no label -100 that
a cast to bool could turn into "good".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Two-class cross entropy, mean over the steps of the mask (0 if there are none).

    logits (..., 2), class 1 is "good"; targets (...) in [0, 1]; mask (...) bool. In nats.
    """
    log_p = logits.float().log_softmax(-1)
    return masked_mean(-(targets * log_p[..., 1] + (1 - targets) * log_p[..., 0]), mask)


def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The same for a head of width one: logits (..., 1)."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    values = logits.float().squeeze(-1)
    return masked_mean(binary_cross_entropy_with_logits(values, targets, reduction="none"), mask)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of `values` where `mask`; entries outside may hold anything, NaN included."""
    kept = values.masked_fill(~mask, 0.0)
    return kept.sum() / mask.sum().clamp(min=1)
