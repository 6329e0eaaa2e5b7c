"""Several targets at once: objectives per channel, next-token rewards, steps and trajectory, hindsight.

`channels` trains output k on target k wherever that target exists. `saffron` (the SAFFRON multifurcation
model) is the same over a vocabulary of which few tokens are observed. `steps_and_trajectory` is
ReasonFlux-PRM (arXiv 2506.18896; formulas from memory) and, with two classes, Fin-PRM (arXiv 2508.15202).
`hindsight` is MAH-DPO's value head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.reward.losses.binary import bce, ce
from preceptor.reward.losses.masked import check, check_choice, inside, linked, mean_of_rows
from preceptor.reward.losses.value import mse


def channels(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    kind: Literal["mse", "bce"] = "mse",
    link: Literal["identity", "sigmoid"] = "identity",
    channel_weights: Sequence[float] | None = None,
) -> Tensor:
    """Weighted mean over masked entries, output k against target k. All (B, T, K); `link` is for mse.

    Divides by the weight of the entries that exist: equal weights give the plain mean, and a channel of
    weight 0 gets no gradient.
    """
    check("channels", outputs, targets, mask, width=targets.shape[-1], channels=None)
    check_choice("channels", "kind", kind, ("mse", "bce"))
    count = mask.shape[-1]
    if channel_weights is not None and (len(channel_weights) != count or min(channel_weights) < 0):
        raise InputError(f"channel_weights: got {channel_weights}, expected {count} numbers of at least 0.")
    weights = torch.tensor(channel_weights or [1.0] * count, device=outputs.device)
    total = (weights * mask).sum().clamp(min=torch.finfo(torch.float32).tiny)
    x, y = inside(outputs, mask), inside(targets, mask)
    if kind == "mse":
        terms = (linked(x, link) - y).square()
    else:
        terms = torch.nn.functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    return (weights * terms).masked_fill(~mask, 0.0).sum() / total


def saffron(outputs: Tensor, targets: Tensor, mask: Tensor, *, tokens: Tensor | None = None) -> Tensor:
    """Squared errors of the observed next tokens, summed per prefix, mean over prefixes that have one.

    outputs (B, T, V). Either targets and mask are (B, T, V) too, or (B, T, K) with `tokens` (B, T, K) naming
    the K observed tokens: the dense form is V/K times larger. Unobserved tokens get no gradient.
    """
    check("saffron", outputs, targets, mask, width=None, channels=None)
    if tokens is not None:
        outputs = outputs.gather(-1, tokens.masked_fill(~mask, 0))
    if outputs.shape != targets.shape:
        raise InputError(
            f"saffron: got outputs {tuple(outputs.shape)} for targets {tuple(targets.shape)}, expected one "
            "target per vocabulary entry. Name the observed ones in `tokens`."
        )
    squared = (inside(outputs, mask) - inside(targets, mask)).square()
    return squared.sum() / mask.any(-1).sum().clamp(min=1)


def steps_and_trajectory(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    lambda_s: float = 1.0,
    lambda_f: float = 1.0,
    kind: Literal["mse", "bce", "ce"] = "mse",
    link: Literal["identity", "sigmoid"] = "sigmoid",
) -> Tensor:
    """lambda_s * step loss + lambda_f * trajectory loss, each a mean over its own targets (both 1: not found).

    outputs (B, T, 1), or (B, T, 2) for "ce"; targets and mask (B, T, 2): channel 0 holds the step target of a
    readout, channel 1 the row's trajectory target at *its own* readout (`labels.with_trajectory`). A
    published collator gives all rows the last row's trajectory label: a channel per readout cannot. Fin-PRM's
    plain mean over all T + 1 positions is `ce` on the two channels' sum.
    """
    check_choice("steps_and_trajectory", "kind", kind, ("mse", "bce", "ce"))
    check("steps_and_trajectory", outputs, targets, mask, width=2 if kind == "ce" else 1, channels=2)
    parts = []
    for k in range(2):
        target, kept = targets[..., k : k + 1], mask[..., k : k + 1]
        if kind == "mse":
            parts.append(mse(outputs, target, kept, link=link))
        else:
            parts.append((ce if kind == "ce" else bce)(outputs, target, kept))
    return lambda_s * parts[0] + lambda_f * parts[1]


def hindsight(
    outputs: Tensor, targets: Tensor, mask: Tensor, *, link: Literal["identity", "sigmoid"] = "identity"
) -> Tensor:
    """Squared error, mean over each row's steps, then over rows: a long solution weighs no more than a short
    one. All (B, T, 1); targets from `labels.hindsight_values`."""
    check("hindsight", outputs, targets, mask)
    errors = linked(inside(outputs, mask), link) - inside(targets, mask)
    return mean_of_rows(errors.square(), mask)
