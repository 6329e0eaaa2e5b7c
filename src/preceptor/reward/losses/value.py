"""Value heads: squared error of one scalar per readout (OVM arXiv 2311.09724, TVM arXiv 2407.12863).

OVM copies the outcome to every response token; because the same prefix occurs with different outcomes, the
minimum at a prefix is P(right | prefix). TVM makes that average explicit in the targets
(`labels.token_values`). OVM's joint language-model term on the same tokens is `likelihood.sft`, added by the
trainer. Left out: its gain and bias on the hidden state (a matter of the head).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from preceptor.reward.losses.binary import bce
from preceptor.reward.losses.masked import check, check_choice, inside, linked, masked_mean, weighted


def mse(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    link: Literal["identity", "sigmoid"] = "identity",
    weights: Tensor | None = None,
) -> Tensor:
    """Mean squared error. outputs, targets (B, T, 1); `weights` broadcasts to them."""
    check("mse", outputs, targets, mask)
    errors = linked(inside(outputs, mask), link) - inside(targets, mask)
    return masked_mean(weighted(errors.square(), weights), mask)


def ovm(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    link: Literal["identity", "sigmoid"] = "identity",
    reduction: Literal["batch", "mean"] = "batch",
) -> Tensor:
    """Squared errors of all response tokens, summed and divided by the number of rows B ("batch", as
    published: a long solution weighs more), or their plain mean. outputs, targets (B, T, 1)."""
    check_choice("ovm", "reduction", reduction, ("batch", "mean"))
    if reduction == "mean":
        return mse(outputs, targets, mask, link=link)
    check("ovm", outputs, targets, mask)
    errors = linked(inside(outputs, mask), link) - inside(targets, mask)
    return errors.square().masked_fill(~mask, 0.0).sum() / max(outputs.shape[0], 1)


def tvm(outputs: Tensor, targets: Tensor, mask: Tensor, *, kind: Literal["mse", "bce"] = "mse") -> Tensor:
    """Mean over response tokens of (sigmoid - value)^2, or the soft cross entropy. All (B, T, 1)."""
    check_choice("tvm", "kind", kind, ("mse", "bce"))
    return bce(outputs, targets, mask) if kind == "bce" else mse(outputs, targets, mask, link="sigmoid")
