"""Preferences outside of step labels: tokens against tokens (LLM2), Cooper's co-training.

LLM2 puts the gold token's value above those of sampled wrong tokens at the same position. Cooper
(co-optimized policy and verifier) updates its outcome verifier on (confirmed right response, rewritten wrong
one) beside the policy; its code is not public, and the score compared is taken to be the raw output. Both are
-log sigma(difference).
"""

from __future__ import annotations

from torch import Tensor

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, inside, logistic
from preceptor.reward.losses.ranking import pairwise


def token_pairs(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over (gold, negative) pairs. outputs (B, T, 1 + K): values of the gold token and of K negatives at
    each position; mask (B, T, K): which negatives exist. The targets' values are not used."""
    check("token_pairs", outputs, targets, mask, width=None, channels=None)
    if outputs.shape[-1] != mask.shape[-1] + 1:
        raise InputError(
            f"token_pairs: got {outputs.shape[-1]} outputs for {mask.shape[-1]} negatives, expected one more: "
            "the gold token's value comes first."
        )
    gold = inside(outputs[..., :1], mask.any(-1, keepdim=True))
    return logistic(gold - inside(outputs[..., 1:], mask), mask)


def cooper(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """-log sigma(R(right) - R(wrong)). outputs (B, T, 1), rows [right, wrong, ...], read at the last masked
    position; a prompt without a confirmed right response is skipped by masking its pair out."""
    return pairwise(outputs, targets, mask, reduce="last")
