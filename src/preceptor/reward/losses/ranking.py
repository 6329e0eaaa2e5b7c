"""Rankings: solutions against solutions (Bradley-Terry), and steps within a solution (PQM, arXiv 2410.11287).

PQM orders one solution's steps: every right step above the right steps before it and, by a margin, above all
wrong ones; an anchor at Q = 0 stands before the first step. Computed in log space (the released code adds
1e-5 inside the logarithm instead). Averaging over rows is ours: the mean of each row's mean over its terms.
O(T^2) memory per row.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from preceptor.reward.losses.masked import check, check_choice, inside, logistic, masked_mean, pairs

ABSENT = -1e9
"""Stands for a logit that is not there; finite, so that sums over nothing keep a gradient of 0."""

Reduce = Literal["last", "min", "mean", "sum"]


def pairwise(
    outputs: Tensor, targets: Tensor, mask: Tensor, *, reduce: Reduce = "last", margin: float = 0.0
) -> Tensor:
    """-log sigma(score(chosen) - score(rejected) - margin), mean over pairs. outputs (B, T, 1), rows
    [chosen, rejected, ...]; the targets' values are not used. `reduce` makes a solution's score of its raw
    outputs at masked readouts. A pair with an empty side does not count."""
    check("pairwise", outputs, targets, mask)
    chosen, rejected = pairs("pairwise", solution_scores(outputs, mask, reduce))
    valid = torch.stack(pairs("pairwise", mask.flatten(1).any(1))).all(0)
    return logistic(chosen - rejected - margin, valid)


def solution_scores(outputs: Tensor, mask: Tensor, reduce: Reduce = "last") -> Tensor:
    """(B, T, 1) -> (B,): last, min, mean or sum over the masked readouts; 0 for a row without any."""
    check_choice("solution_scores", "reduce", reduce, ("last", "min", "mean", "sum"))
    kept = mask.squeeze(-1)
    values = inside(outputs, mask).squeeze(-1)
    if reduce == "sum":
        return values.sum(1)
    if reduce == "mean":
        return values.sum(1) / kept.sum(1).clamp(min=1)
    if reduce == "min":
        lowest = values.masked_fill(~kept, -ABSENT).amin(1)
        return lowest.masked_fill(~kept.any(1), 0.0)
    index = (kept * torch.arange(1, kept.shape[1] + 1, device=kept.device)).argmax(1, keepdim=True)
    return values.gather(1, index).squeeze(1)


def pqm(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    margin: float = 4.0,
    anchor: bool = True,
    threshold: float = 0.5,
) -> Tensor:
    """outputs (B, T, 1): Q of each step; targets (B, T, 1): right if at least `threshold`.

    With right steps c_1..c_m and wrong steps W, the term of c_j is -log e^Q_j / (e^Q_j + sum of e^Q over
    earlier right steps + 1 + sum over W of e^(Q_w + margin)); where W is not empty the anchor (Q = 0, the "1"
    above) has a term of its own. `margin` is the paper's zeta, 4 (2 was also released). `anchor=False` drops
    the anchor everywhere: one right and one wrong step are then `pairwise` with this margin.
    """
    check("pqm", outputs, targets, mask)
    kept = mask.squeeze(-1)
    q = inside(outputs, mask).squeeze(-1)
    good = kept & (inside(targets, mask).squeeze(-1) >= threshold)
    wrong = kept & ~good
    earlier = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool, device=q.device).tril()
    ranked = q.unsqueeze(1).masked_fill(~(good.unsqueeze(1) & earlier), ABSENT).logsumexp(-1)
    negatives = (q + margin).masked_fill(~wrong, ABSENT).logsumexp(-1, keepdim=True)
    below = torch.logaddexp(negatives, torch.zeros_like(negatives)) if anchor else negatives
    terms = torch.logaddexp(ranked, below) - q
    anchored = wrong.any(1) & anchor
    total = terms.masked_fill(~good, 0.0).sum(1) + softplus(negatives.squeeze(1)) * anchored
    count = good.sum(1) + anchored
    return masked_mean(total / count.clamp(min=1), count > 0)
