"""From a head's outputs at one position to one number.

score = sum over columns c of weights_c * activation(outputs)_c. A 2-class softmax read at class 1 equals a
sigmoid of the logit difference; both are kept because public heads come in both widths. Everything is
computed in fp32: bf16 keeps three digits of a probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Link:
    """`weights` None: the mean over the columns."""

    activation: Literal["softmax", "sigmoid", "identity"]
    weights: tuple[float, ...] | None = None
    columns: tuple[int, ...] | None = None
    """Which outputs take part, before the activation; None: all."""
    spread: bool = False
    """The standard deviation over the columns (of the population) instead of their weighted sum: by how much
    the members of an ensemble differ."""

    def __post_init__(self) -> None:
        if self.activation not in ("softmax", "sigmoid", "identity"):
            raise ValueError(f"link: got {self.activation!r}, expected softmax, sigmoid or identity")

    def score(self, outputs: torch.Tensor) -> torch.Tensor:
        """(..., C) -> (...)."""
        values = outputs.float()
        if self.columns is not None:
            values = values[..., list(self.columns)]
        if self.activation == "softmax":
            values = values.softmax(-1)
        elif self.activation == "sigmoid":
            values = values.sigmoid()
        if self.spread:
            return values.std(-1, unbiased=False)
        if self.weights is None:
            return values.mean(-1)
        if len(self.weights) != values.shape[-1]:
            raise ValueError(f"link: got {values.shape[-1]} outputs, expected {len(self.weights)}")
        return values @ values.new_tensor(self.weights)


SOFTMAX = Link("softmax", (0.0, 1.0))
"""Two classes, 1 = good."""
SIGMOID = Link("sigmoid")
VALUE = Link("identity")
LINKS = {"sigmoid": SIGMOID, "softmax": SOFTMAX, "identity": VALUE}
