"""Verifiable process rewards: an oracle of the world rewards every turn, and turns are compared across a group.

r_t in [0, 1] is the world's: search (ratio of the move's value to the best one), constraint (the digit of the unique
solution), posterior (certain moves, else the least likely mine); an illegal move gets 0. `turn_advantages`
normalises the rewards of a group of attempts at each turn index apart (mean and population standard deviation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, pstdev
from typing import ClassVar

from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.trace import Trace
from preceptor.worlds import WORLDS
from preceptor.worlds.turns import TurnWorld


@dataclass(frozen=True)
class TurnOracle:
    """Scorer of validity: the reward of every turn, 1 where the oracle calls it right.

    `first_error` is the first turn below 1; `rationale[t]` names its kind. A problem of a world without turns gets
    no scores and the error `"no-oracle"`.
    """

    name: ClassVar[str] = "turn-oracle"
    cost: ClassVar[str] = "one call of the world's oracle per turn; no tokens"
    question: ClassVar[Question] = Question.VALIDITY

    @cached_property
    def source(self) -> Source:
        return Source.of(self.name)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        world = WORLDS.get(trace.problem.world)
        if not isinstance(world, TurnWorld):
            known = ", ".join(name for name, w in sorted(WORLDS.items()) if isinstance(w, TurnWorld))
            message = f"no rewards for turns in world {trace.problem.world!r}; worlds with them: {known}"
            return self._failed(trace, ItemError("no-oracle", message))
        if not trace.steps:
            return self._failed(trace, ItemError("no-steps", "the trace has no steps"))
        turns = world.turns(trace.problem, trace.step_texts)
        scores = tuple(turn.reward for turn in turns)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=scores,
            first_error=first_below(scores, 1.0),
            rationale=tuple(None if turn.truth.valid else turn.truth.kind for turn in turns),
        )

    def _failed(self, trace: Trace, error: ItemError) -> Judgement:
        return Judgement(trace.id, self.question, self.source, None, error=error)


def turn_advantages(rewards: Sequence[Sequence[float | None]]) -> list[tuple[float, ...]]:
    """(r - mean) / std over the attempts of a group that reach the turn, for every turn of every attempt.

    0 where fewer than two attempts have a reward at that turn, where all are equal, and for a turn without one.

    >>> turn_advantages([[1.0, 0.5], [0.0]])
    [(1.0, 0.0), (-1.0,)]
    """
    scales: list[tuple[float, float]] = []
    for t in range(max(map(len, rewards), default=0)):
        here = [r for row in rewards if t < len(row) and (r := row[t]) is not None]
        scales.append((fmean(here), pstdev(here)) if len(set(here)) > 1 else (0.0, 0.0))
    return [
        tuple(
            (r - scales[t][0]) / scales[t][1] if r is not None and scales[t][1] else 0.0
            for t, r in enumerate(row)
        )
        for row in rewards
    ]
