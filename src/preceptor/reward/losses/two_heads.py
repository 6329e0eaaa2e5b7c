"""BiRM (arXiv 2503.04618): one head looks back (are the steps so far right?), one ahead (will it succeed?).

The loss is BCE for the backward head plus c times the squared error of the forward head's probability; exact
form not found, c = 1 is our default. Search ranks by g + beta * h, as A* adds cost and heuristic; how a
finished solution is aggregated was not found, default: mean of g over steps plus beta times the last h.
"""

from __future__ import annotations

from torch import Tensor

from preceptor.reward.losses.binary import bce
from preceptor.reward.losses.masked import check, inside
from preceptor.reward.losses.ranking import solution_scores
from preceptor.reward.losses.value import mse


def birm(outputs: Tensor, targets: Tensor, mask: Tensor, *, c: float = 1.0) -> Tensor:
    """outputs (B, T, 2): g, h; targets (B, T, 2): step label, chance of success; each with its own mask.

    c = 0 leaves h without gradient and g as a plain PRM.
    """
    check("birm", outputs, targets, mask, width=2, channels=2)
    back, ahead = slice(0, 1), slice(1, 2)
    backward = bce(outputs[..., back], targets[..., back], mask[..., back])
    forward = mse(outputs[..., ahead], targets[..., ahead], mask[..., ahead], link="sigmoid")
    return backward + c * forward


def birm_value(outputs: Tensor, *, beta: float = 1.0) -> Tensor:
    """sigma(g) + beta * sigma(h) per readout: (..., 2) -> (...). The search value of a prefix."""
    p = outputs.float().sigmoid()
    return p[..., 0] + beta * p[..., 1]


def birm_solution(outputs: Tensor, mask: Tensor, *, beta: float = 1.0) -> Tensor:
    """Mean of g over steps plus beta times h at the last step: (B, T, 2), mask (B, T, 1) -> (B,)."""
    p = inside(outputs, mask).sigmoid()
    g, h = p[..., :1], p[..., 1:]
    return solution_scores(g, mask, "mean") + beta * solution_scores(h, mask, "last")
