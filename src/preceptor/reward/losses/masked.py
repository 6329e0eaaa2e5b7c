"""What every loss shares: shape checks, masked inputs, masked means, pairs of rows.

An entry outside the mask is replaced by 0 *before* any arithmetic. Masking the finished terms is not enough:
the backward pass of a softmax multiplies a zero gradient with the value that stands there, and 0 * NaN is
NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from preceptor.errors import InputError


def check(
    name: str,
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    width: int | None = 1,
    channels: int | None = 1,
) -> None:
    """Raises InputError unless outputs are (B, T, width), targets and mask (B, T, channels), the mask bool.

    None stands for any number.
    """
    if mask.dtype != torch.bool:
        raise InputError(
            f"{name}: got a mask of {mask.dtype}, expected torch.bool. A label of -100 cast to bool is True: "
            "build the mask from what is labelled."
        )
    shapes = [tuple(x.shape) for x in (outputs, targets, mask)]
    fits = (
        all(len(shape) == 3 for shape in shapes)
        and shapes[0][:2] == shapes[1][:2]
        and shapes[1] == shapes[2]
        and width in (None, shapes[0][-1])
        and channels in (None, shapes[1][-1])
    )
    if not fits:
        raise InputError(
            f"{name}: got outputs {shapes[0]}, targets {shapes[1]}, mask {shapes[2]}; expected (B, T, "
            f"{width or 'C'}), (B, T, {channels or 'K'}) and the same. Use the loss that fits the head."
        )


def check_choice(name: str, setting: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises InputError unless `value` is one of `choices`."""
    if value not in choices:
        raise InputError(f"{name}: got {setting}={value!r}, expected one of {', '.join(choices)}.")


def inside(values: Tensor, mask: Tensor) -> Tensor:
    """`values` in fp32 with 0 outside the mask, which may be narrower in the last axis."""
    return values.float().masked_fill(~mask, 0.0)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` (same shape); 0, with a gradient, where there is nothing."""
    return values.masked_fill(~mask, 0.0).sum() / mask.sum().clamp(min=1)


def mean_of_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over each row's masked entries, then over the rows that have any. Shapes (B, ...)."""
    values, mask = values.flatten(1), mask.flatten(1)
    rows = values.masked_fill(~mask, 0.0).sum(1) / mask.sum(1).clamp(min=1)
    return masked_mean(rows, mask.any(1))


def pairs(name: str, values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows 0, 2, 4... (chosen) and 1, 3, 5... (rejected); raises InputError for an odd number of rows."""
    if values.shape[0] % 2:
        raise InputError(
            f"{name}: got {values.shape[0]} rows, expected pairs [chosen, rejected, chosen, rejected, ...]. "
            "Batch by pairs."
        )
    return values[0::2], values[1::2]


def logistic(difference: Tensor, valid: Tensor) -> Tensor:
    """Mean of -log sigma(difference) over the valid pairs."""
    return masked_mean(-logsigmoid(difference), valid)


def linked(values: Tensor, link: str) -> Tensor:
    """`identity` or `sigmoid` of raw outputs; raises InputError for another link."""
    check_choice("link", "link", link, ("identity", "sigmoid"))
    return values.sigmoid() if link == "sigmoid" else values


def weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    """`values` times `weights`, which broadcast to it. Means still divide by the number of entries: with a
    batch of one example, dividing by the sum of weights would cancel the weight."""
    return values if weights is None else values * weights.float()
