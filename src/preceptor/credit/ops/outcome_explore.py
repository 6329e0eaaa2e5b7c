"""Outcome-based exploration: a bonus for answers seldom given (abstract index 177).

    history   b = min(1, sqrt(1 / N)), N how often this answer was given to this prompt in earlier batches
    UCB       c b           UCB-mean   c (b - the group's mean b)          UCB-con   c (b - b0)
    batch     -c / G times the number of the group's other rollouts with the same answer

Unreadable answers share one bucket. `AnswerCounts` keeps the counts: its `visits` go into `Signals.scalars["visits"]`,
and `update` comes after the batch.

Deviation: within a reward that is group-normalised any number common to the group falls out, and UCB-mean and UCB-con
would be UCB. These two add their bonus beside the normalised outcome. b0 is in units of b, not of c b: 0.5 charges
answers given more than four times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Level, Ragged, Rollout


@dataclass
class AnswerCounts:
    """N(prompt, answer) over a run; one object a run."""

    counts: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def visits(self, rollouts: Sequence[Rollout]) -> tuple[float, ...]:
        """Of each rollout's answer, before this batch."""
        return tuple(float(self.counts[r.prompt_id, r.answer]) for r in rollouts)

    def update(self, rollouts: Sequence[Rollout]) -> None:
        """After the batch. A rollout without text, one that failed, gave no answer at all."""
        self.counts.update((r.prompt_id, r.answer) for r in rollouts if r.length)


@dataclass(frozen=True)
class Novelty(Source):
    """The bonus from history, `(1,)` each."""

    level: ClassVar[Level] = "rollout"
    form: Literal["ucb", "mean", "constant"] = "ucb"
    scale: float = 0.1
    """c."""
    constant: float = 0.5
    """b0."""
    visits: Source = field(default_factory=lambda: Scalar("visits"))

    def __call__(self, batch: Batch) -> Ragged:
        visits = np.array([x[0] for x in self.visits.of(batch)])
        bonus = 1.0 / np.sqrt(np.maximum(visits, 1.0))
        charge = np.full(len(batch), self.constant if self.form == "constant" else 0.0)
        if self.form == "mean":
            for members in batch.groups:
                known = bonus[members][~np.isnan(bonus[members])]
                charge[members] = known.mean() if len(known) else np.nan
        return [np.array([self.scale * x]) for x in bonus - charge]


@dataclass(frozen=True)
class Repetition(Source):
    """The charge within the batch, `(1,)` each; G and the others are the prompt's present rollouts."""

    level: ClassVar[Level] = "rollout"
    reads: ClassVar[frozenset[str]] = frozenset({"answer"})
    scale: float = 0.1

    def __call__(self, batch: Batch) -> Ragged:
        out = np.full(len(batch), np.nan)
        for members in batch.groups:
            given = Counter(batch.rollouts[i].answer for i in members)
            for i in members:
                out[i] = -self.scale * (given[batch.rollouts[i].answer] - 1) / len(members)
        return [np.array([x]) for x in out]
