"""PPR with ReNorm: step scores that agree in sign with the outcome (abstract index 18).

    renorm   p + R - 1   in [0, 1] for a success, in [-1, 0] for a failure
    gate     p R         nothing for a failure's steps
    sum      p + R

p and R in [0, 1]. What follows is the mean over all steps of the prompt (`Center("steps")`); after it `sum` is
`renorm`, so the row of that name leaves the mean out. The formula of ReNorm is not found, ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Array, Ragged

_FORMS: dict[str, Callable[[Array, float], Array]] = {
    "renorm": lambda p, outcome: p + outcome - 1.0,
    "gate": lambda p, outcome: p * outcome,
    "sum": lambda p, outcome: p + outcome,
}


@dataclass(frozen=True)
class ReNorm(Op):
    """Step scores with the rollout's outcome."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome"})
    form: Literal["renorm", "gate", "sum"] = "renorm"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [_FORMS[self.form](p, float(known)) for p, known in zip(values, batch.outcomes, strict=True)]
