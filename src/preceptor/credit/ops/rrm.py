"""RRM: a score for the whole solution under a rubric of the problem, instead of the outcome bit (abstract index 154).

`Signals.scalars["rubric"]` in [0, 1]; None, a reply that could not be read, is reward 0 as published. A rollout
whose judge was not reached is not to be told from that here: give `Rubric(unread=None)` to leave both out. A
rollout without text stays absent.

`verified` and `miracle_rate` are the paper's figures; Verified Pass@N is the usual pass@N over `verified`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Level, Ragged


@dataclass(frozen=True)
class Rubric(Source):
    """The rubric's score, `(1,)` each."""

    level: ClassVar[Level] = "rollout"
    reads: ClassVar[frozenset[str]] = frozenset({"scalars.rubric"})
    unread: float | None = 0.0
    """Score of an unreadable reply; None: absent."""

    def __call__(self, batch: Batch) -> Ragged:
        given = Scalar("rubric")(batch)
        if self.unread is None:
            return given
        return [
            np.nan_to_num(x, nan=self.unread) if r.length else x
            for x, r in zip(given, batch.rollouts, strict=True)
        ]


def verified(correct: Sequence[bool], sound: Sequence[bool]) -> list[bool]:
    """Answers that are right and whose process was judged sound."""
    return [c and s for c, s in zip(correct, sound, strict=True)]


def miracle_rate(correct: Sequence[bool], jumps: Sequence[bool]) -> float | None:
    """Share of right answers that come by an underived jump; None without a right answer."""
    found = [j for c, j in zip(correct, jumps, strict=True) if c]
    return sum(found) / len(found) if found else None
