"""From the head's outputs at one position to one number: the link, and the loss that fits it.

A 2-class softmax read at class 1 equals a sigmoid of the logit difference; both are kept because public
heads come in both widths. Everything is computed in fp32: bf16 keeps three digits of a probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preceptor.reward import loss

if TYPE_CHECKING:
    import torch


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """(..., 2) -> (...): probability of class 1, "good"."""
    return logits.float().softmax(-1)[..., 1]


def sigmoid(logits: torch.Tensor) -> torch.Tensor:
    """(..., 1) -> (...): probability of "good"."""
    return logits.float().squeeze(-1).sigmoid()


@dataclass(frozen=True)
class Link:
    width: int
    """Outputs of the head per token."""
    score: Callable[[torch.Tensor], torch.Tensor]
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


LINKS = {
    "sigmoid": Link(1, sigmoid, loss.binary_cross_entropy),
    "softmax": Link(2, softmax, loss.cross_entropy),
}
