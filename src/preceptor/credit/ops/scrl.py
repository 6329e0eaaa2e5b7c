"""SCRL: one advantage a subproblem (Subproblem curriculum RL).

A prompt asks J verifiable subproblems in order, the original problem last; the completion answers all of them. Step j
runs from the end of answer j - 1 to the end of answer j and its score is whether that answer is right. Scores are
compared with the group's at the same position, so that a prompt nobody solves still teaches its earlier parts.

A missing answer counts as 0 in its position (text after the last answer may be given as a step with score 0, so that
it is charged); an answer nobody graded is absent. J and G are not found (J 2-4, G 8: ours). Left out: writing the
subproblems from a reference solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.baseline import EPS, Center
from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Positions(Op):
    """Minus the mean, over the deviation, of the prompt's scores at the same position."""

    reads: ClassVar[frozenset[str]] = frozenset({"scores"})
    eps: float = EPS

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        given = batch.signals.scores or (None,) * len(batch)
        longest = {i: max(len(values[j]) for j in members) for members in batch.groups for i in members}
        padded = [
            x if row is None else np.append(x, np.zeros(longest.get(i, len(x)) - len(x)))
            for i, (x, row) in enumerate(zip(values, given, strict=True))
        ]
        out = Center("turn", "mean", "std", self.eps)(padded, batch)
        return [y[: len(x)] for x, y in zip(values, out, strict=True)]
