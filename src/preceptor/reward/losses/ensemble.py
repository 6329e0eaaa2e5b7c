"""ActPRM (arXiv 2504.10559): an ensemble of small heads on one backbone, and the rule that asks for labels.

Loss: mean over heads and labelled steps of BCE, plus lambda times the mean squared distance of the head
weights from their initial values, which keeps the heads apart. Uncertainty is the standard deviation over
heads (of the population: one head gives 0). A trace goes to the costly judge unless every step up to its
first predicted error is trusted. Thresholds 0.9 and 0.01 are the repository's; the paper has 0.95 and 0.005
(from memory). Heads that start equal stay equal: initialize each one independently.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.reward.losses.binary import bce
from preceptor.reward.losses.masked import check


def ensemble(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    members: Tensor | None = None,
    parameters: Sequence[Tensor] = (),
    initial: Sequence[Tensor] = (),
    penalty: float = 0.5,
) -> Tensor:
    """outputs (B, T, E): one logit per head; targets (B, T, 1) in [0, 1].

    `members` (B, E) bool says which heads learn from which row (see `participation`). `parameters` are the
    heads' weights and `initial` a frozen copy; without them there is no penalty.
    """
    check("ensemble", outputs, targets, mask, width=None)
    every = mask.expand_as(outputs)
    if members is not None:
        every = every & members.unsqueeze(1).to(every.device)
    batch, steps, heads = outputs.shape
    flat = (batch, steps * heads, 1)
    loss = bce(outputs.reshape(flat), targets.expand_as(outputs).reshape(flat), every.reshape(flat))
    return loss + penalty * head_distance(parameters, initial) if parameters or initial else loss


def head_distance(parameters: Sequence[Tensor], initial: Sequence[Tensor]) -> Tensor:
    """Mean over all numbers of (parameter - initial value)^2; no gradient reaches `initial`."""
    if [p.shape for p in parameters] != [p.shape for p in initial] or not parameters:
        raise InputError(
            f"head_distance: got {len(parameters)} parameters and {len(initial)} initial values, expected the "
            "same shapes in the same order. Copy the heads before training."
        )
    differences = [
        (p.float() - q.detach().float()).flatten() for p, q in zip(parameters, initial, strict=True)
    ]
    return torch.cat(differences).square().mean()


def participation(rows: int, heads: int, rho: float, generator: torch.Generator | None = None) -> Tensor:
    """(rows, heads) bool: each head learns from each row with probability `rho` (1: all, as released)."""
    return torch.rand(rows, heads, generator=generator) < rho


def uncertainty(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """(..., E) -> mean and population standard deviation over heads of sigma(logit), both (...)."""
    p = outputs.float().sigmoid()
    return p.mean(-1), p.std(-1, unbiased=False)


def trusted(mean: Tensor, std: Tensor, *, confidence: float = 0.9, spread: float = 0.01) -> Tensor:
    """Bool: heads agree (std <= spread) and are sure (mean >= confidence or <= 1 - confidence)."""
    return (std <= spread) & ((mean >= confidence) | (mean <= 1 - confidence))


def needs_label(
    outputs: Tensor, mask: Tensor, *, confidence: float = 0.9, spread: float = 0.01, threshold: float = 0.5
) -> Tensor:
    """(B, T, E), mask (B, T, 1) -> (B,) bool: some step up to the first one below `threshold` is not trusted.

    confidence > 1 or spread < 0 asks for every trace that has a step.
    """
    mean, std = uncertainty(outputs.masked_fill(~mask, 0.0))
    kept = mask.squeeze(-1)
    errors = ((mean < threshold) & kept).int()
    considered = kept & (errors.cumsum(1) - errors == 0)
    return (considered & ~trusted(mean, std, confidence=confidence, spread=spread)).any(1)
