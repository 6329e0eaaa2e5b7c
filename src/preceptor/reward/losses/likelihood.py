"""Supervised fine-tuning: minus the mean log-probability of the tokens the model is to write.

For generative reward models (GenPRM, ThinkPRM, R-PRM), for OVM's joint term, and for verifiers that call
tools (TaTToo): what a tool answered is context and carries no loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, inside, masked_mean


def sft(outputs: Tensor, targets: Tensor, mask: Tensor, *, tool: Tensor | None = None) -> Tensor:
    """Mean over response tokens of the batch. outputs (B, T, 1): log-probability of each token; the targets'
    values are not used; mask (B, T, 1): response tokens; tool (B, T) bool: tokens of tool outputs, left
    out."""
    check("sft", outputs, targets, mask)
    if tool is not None:
        if tool.shape != mask.shape[:2] or tool.dtype != torch.bool:
            raise InputError(
                f"tool: got {tuple(tool.shape)} of {tool.dtype}, expected bool {tuple(mask.shape[:2])}."
            )
        mask = mask & ~tool.unsqueeze(-1)
    return masked_mean(-inside(outputs, mask), mask)
