"""Where the numbers of a stream come from.

A potential is a number that belongs to a prefix; its differences telescope, so no number of steps can earn
more than the last potential minus the first. What the potential is depends on the question the scores
answer, never on their range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.types import Array, Level, Ragged
from preceptor.errors import InputError
from preceptor.judgement import Question


@dataclass(frozen=True)
class Outcome(Source):
    """R_i, `(1,)` each."""

    level: ClassVar[Level] = "rollout"
    reads: ClassVar[frozenset[str]] = frozenset({"outcome"})

    def __call__(self, batch: Batch) -> Ragged:
        return [np.array([x]) for x in batch.outcomes]


@dataclass(frozen=True)
class StepScore(Source):
    """The score itself, `(T_i,)` each."""

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"scores"})

    def __call__(self, batch: Batch) -> Ragged:
        given = batch.signals.scores or (None,) * len(batch)
        return [_array(s, len(r.spans)) for r, s in zip(batch.rollouts, given, strict=True)]


@dataclass(frozen=True)
class TokenScore(Source):
    """A number for each sampled token, `(L_i,)` each."""

    level: ClassVar[Level] = "token"
    reads: ClassVar[frozenset[str]] = frozenset({"tokens"})

    def __call__(self, batch: Batch) -> Ragged:
        given = batch.signals.tokens or (None,) * len(batch)
        return [
            np.where(r.mask, _array(x, r.length), np.nan) for r, x in zip(batch.rollouts, given, strict=True)
        ]


@dataclass(frozen=True)
class Scalar(Source):
    """One number of the whole rollout, by its name in `Signals.scalars`; `(1,)` each."""

    level: ClassVar[Level] = "rollout"
    name: str = "reward"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({f"scalars.{self.name}"})

    def __call__(self, batch: Batch) -> Ragged:
        given = (batch.signals.scalars or {}).get(self.name, (None,) * len(batch))
        return [_array((x,), 1) for x in given]


@dataclass(frozen=True)
class Progress(Source):
    """The change of a potential: `r_t = V_t - V_{t-1}`, `(T_i,)` each (arXiv 2410.08146).

    - value scores are the potential; V_0 is `signals.start`, else the group's success rate;
    - validity scores become the running minimum (how sure is it that no step so far is wrong), V_0 = 1,
      so steps after an error cannot earn their way back;
    - progress scores are taken as they are.

    An unjudged step moves nothing: the next judged step gets the whole difference. The same holds for a
    step without a token of its own, whose text is in a token of the following step.
    """

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"scores"})
    best_of: int = 1
    """K: the potential of the best of K attempts, `1 - (1 - V)^K`; for value scores only."""

    def __call__(self, batch: Batch) -> Ragged:
        question = batch.signals.question
        if question is Question.QUALITY:
            raise InputError(
                "credit: got scores that answer 'quality', expected value, validity or progress: a difference "
                "of qualities is not progress. Use a method on the scores themselves, or another scorer."
            )
        if self.best_of > 1 and question is not Question.VALUE:
            raise InputError(
                f"credit: got scores that answer {question.value!r}, expected value: only a chance of success "
                f"has a best of {self.best_of}. Set best_of=1, or use another scorer."
            )
        rewards = []
        for raw, start, r in zip(StepScore()(batch), self._starts(batch), batch.rollouts, strict=True):
            if np.isnan(raw).all():
                rewards.append(raw)
            elif question is Question.PROGRESS:
                rewards.append(differences(np.cumsum(np.nan_to_num(raw)), 0.0, r.tokens))
            elif question is Question.VALIDITY:
                rewards.append(differences(np.fmin.accumulate(raw), 1.0, r.tokens))
            else:
                rewards.append(differences(self._best(raw), float(self._best(start)), r.tokens))
        return rewards

    def _best(self, value: Array) -> Array:
        return value if self.best_of == 1 else 1.0 - (1.0 - value) ** self.best_of

    def _starts(self, batch: Batch) -> Array:
        """`(N,)` value of each rollout's prompt: given, else the group's success rate, else 0."""
        rates = np.nan_to_num(batch.rates)
        given = _array(batch.signals.start, len(batch))
        return np.where(np.isnan(given), rates, given)


def differences(potential: Array, start: float, tokens: Array) -> Array:
    """`(T_i,)` changes of a known potential; silent steps (unjudged or without a token) move nothing."""
    potential = potential.copy()
    known = np.flatnonzero(~np.isnan(potential))
    carriers = np.flatnonzero(tokens > 0)
    if len(carriers) and len(known):
        # a judged step behind the last token has no follower to carry it: the last carrier does
        potential[carriers[-1]] = potential[max(known[-1], carriers[-1])]
    moved, at = np.zeros(len(potential)), start
    for t in carriers:
        if not np.isnan(potential[t]):
            moved[t], at = potential[t] - at, potential[t]
    return moved


def _array(given: Sequence[float | None] | None, size: int) -> Array:
    if given is None:
        return np.full(size, np.nan)
    return np.array([np.nan if x is None else x for x in given], dtype=float)
