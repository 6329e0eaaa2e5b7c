"""Cross entropies of step labels: one logit, two logits, or one class index of three and more.

A target is the probability that the step is good, so hard and soft labels (SCAN, Math-Shepherd soft,
OpenRLHF's [v, 1-v]) are one function. `class_index` is for labels with more values, such as PRM800K's wrong,
neutral, right ("Let's Verify Step by Step", arXiv 2305.20050). All are means over masked entries, in nats; an
outcome reward model is the same loss with a mask on the last step only (`labels.last_only`). Left out:
full-vocabulary cross entropy with a label token, which is `class_index` with C = vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, inside, masked_mean, weighted


def bce(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    pos_weight: float | Tensor = 1.0,
    neg_weight: float | Tensor = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Binary cross entropy of one logit. outputs (B, T, 1); targets (B, T, 1) in [0, 1].

    `pos_weight` multiplies the term of "good", `neg_weight` that of "wrong" (3 in UHeads, where the error is
    the positive class); `weights` broadcasts to (B, T, 1), see `position_weights`.
    """
    check("bce", outputs, targets, mask)
    terms = _binary(inside(outputs, mask), inside(targets, mask), pos_weight, neg_weight)
    return masked_mean(weighted(terms, weights), mask)


def ce(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    pos_weight: float | Tensor = 1.0,
    neg_weight: float | Tensor = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Two-class cross entropy; class 1 is "good". outputs (B, T, 2); targets (B, T, 1) in [0, 1].

    Equals `bce` of the logit difference: adding a constant to both logits changes nothing.
    """
    check("ce", outputs, targets, mask, width=2)
    logits = inside(outputs, mask)
    difference = logits[..., 1:] - logits[..., :1]
    terms = _binary(difference, inside(targets, mask), pos_weight, neg_weight)
    return masked_mean(weighted(terms, weights), mask)


def class_index(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    class_weights: Sequence[float] | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross entropy of one class out of C. outputs (B, T, C); targets (B, T, 1) hold the class index.

    `class_weights` has C entries; the mean divides by the number of entries, not by the sum of weights.
    Raises InputError for a target that is no class.
    """
    check("class_index", outputs, targets, mask, width=None)
    classes = outputs.shape[-1]
    wanted = inside(targets, mask)
    index = wanted.long()
    if bool(((index != wanted) | (index < 0) | (index >= classes)).any()):
        raise InputError(
            f"class_index: got a target that is not one of 0..{classes - 1}. Soft labels need `ce` or `bce`; "
            "ratings -1, 0, 1 become classes through `labels.rating_classes`."
        )
    terms = -inside(outputs, mask).log_softmax(-1).gather(-1, index)
    if class_weights is not None:
        if len(class_weights) != classes:
            raise InputError(f"class_weights: got {len(class_weights)}, expected one for each of {classes}.")
        terms = terms * torch.tensor(class_weights, device=terms.device)[index]
    return masked_mean(weighted(terms, weights), mask)


def balance(targets: Tensor, mask: Tensor, *, alpha: float = 1.0) -> Tensor:
    """alpha * (wrong / good) by mass over the masked entries: the `pos_weight` at which both classes count
    the same (alpha = 1). 1 where one of them is missing. Returns a scalar tensor."""
    good = inside(targets, mask).sum()
    wrong = mask.sum() - good
    both = (good > 0) & (wrong > 0)
    return torch.where(both, alpha * wrong / good.clamp(min=1e-12), torch.ones_like(good))


def position_weights(targets: Tensor, mask: Tensor, *, threshold: float = 0.5) -> Tensor:
    """Weights (B, T, K) under which good and wrong have equal mass at every position t of the batch.

    A position where one class is missing gets weight 0: there the position alone would give the label away
    (SORM, arXiv 2402.10963, balances by subsampling; `labels.balance_positions` does that on a data set).
    """
    good = (targets >= threshold) & mask
    wrong = (targets < threshold) & mask
    goods, wrongs = (x.sum(0, keepdim=True).float() for x in (good, wrong))
    total, both = goods + wrongs, (goods > 0) & (wrongs > 0)
    share = good * total / (2 * goods.clamp(min=1)) + wrong * total / (2 * wrongs.clamp(min=1))
    return share.masked_fill(~both, 0.0)


def _binary(logits: Tensor, targets: Tensor, pos: float | Tensor, neg: float | Tensor) -> Tensor:
    return -(pos * targets * logsigmoid(logits) + neg * (1 - targets) * logsigmoid(-logits))
