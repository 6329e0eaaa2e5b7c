"""Scorers that know a world's truth and err at known rates, each by a stream of its own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.annotate import WorldOracle
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Trace, stream_seed
from preceptor.usage import Ledger, Usage
from preceptor.worlds import WORLDS


def traces(n: int = 40, samples: int = 4, error: float = 0.2) -> list[Trace]:
    return list(sample(ScriptedPolicy(error=error), WORLDS["arithmetic"].problems(n=n), samples=samples))


def truth(found: Sequence[Trace]) -> list[Judgement]:
    return WorldOracle().score(found)


@dataclass
class Noisy:
    """Says the truth about a step with probability `accuracy`, nothing with probability `silent`.

    With `stops`, nothing after the first step it calls wrong, as a judge that reads in order.
    """

    accuracy: float = 1.0
    silent: float = 0.0
    seed: int = 0
    stops: bool = False
    question: Question = Question.VALIDITY
    asked: list[list[str]] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source.of(
            "noisy", accuracy=self.accuracy, silent=self.silent, seed=self.seed, stops=self.stops
        )

    def score(self, given: Sequence[Trace]) -> list[Judgement]:
        self.asked.append([t.id for t in given])
        return [self._one(trace, judged) for trace, judged in zip(given, truth(given))]

    def _one(self, trace: Trace, judged: Judgement) -> Judgement:
        cost = Ledger(scorer=Usage(calls=1, generated=10))
        if judged.scores is None:
            return Judgement(
                trace.id, self.question, self.source, None, usage=cost, error=ItemError("lost", "x")
            )
        draw = random.Random(stream_seed("noisy", self.seed, trace.id))
        scores: list[float | None] = []
        for right in judged.scores:
            said = right if draw.random() < self.accuracy else 1 - right
            stopped = self.stops and 0 in scores
            scores.append(None if draw.random() < self.silent or stopped else said)
        first = (
            next((t for t, s in enumerate(scores) if s == 0), None)
            if self.stops
            else first_below(scores, 0.5)
        )
        first = -1 if self.stops and first is None else first
        return Judgement(trace.id, self.question, self.source, tuple(scores), first_error=first, usage=cost)
