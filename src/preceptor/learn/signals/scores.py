"""What any scorer says of the steps, or of the whole: reward models, oracles, judges, Monte Carlo values.

`StepScores`: the scores as they are, under the scorer's own question. `MonteCarloValues`: success rates of rollouts
behind the prompt (`start`) and behind every step, with their counts; the last step of a finished trace has the trace's
own outcome. `Whole`: one number of a whole trace, under the name a method reads: its last judged step's score (where
scorers of whole solutions put it) or the mean over its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.annotate.rollout.montecarlo import ROLLOUT_SAMPLING, Evidence, MonteCarlo, obstacle, outcome
from preceptor.credit import Signals, signals_of
from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.judgement import Judgement, Scorer
from preceptor.learn.signals.base import Producer, Row
from preceptor.store import Store
from preceptor.trace import Finish, Trace


@dataclass(eq=False)
class StepScores(Producer):
    name: ClassVar[str] = "step-scores"
    gives: ClassVar[frozenset[str]] = frozenset({"scores"})

    scorer: Scorer

    def __post_init__(self) -> None:
        self.question = self.scorer.question  # type: ignore[misc]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        return signals_of(judge(self, self.scorer, traces), self.scorer.question)


@dataclass(eq=False)
class MonteCarloValues(Producer):
    """`counts` of the last call: per trace and step, (successes, decided rollouts); None where none were drawn."""

    name: ClassVar[str] = "monte-carlo-values"
    gives: ClassVar[frozenset[str]] = frozenset({"scores", "start"})

    policy: Policy
    rollouts: int = 8
    sampling: Sampling = field(default_factory=lambda: ROLLOUT_SAMPLING)
    store: Store | None = field(default=None, repr=False)
    seed: int = 0
    counts: tuple[tuple[tuple[int, int] | None, ...] | None, ...] = field(default=(), init=False, repr=False)

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        drawing = MonteCarlo(self.policy, self.rollouts, self.sampling, self.store, self.seed)
        sound = [self._sound(trace) for trace in traces]
        places = [
            range(_open_steps(t) + 1) if fine else range(0) for t, fine in zip(traces, sound, strict=True)
        ]
        found = iter(drawing.evidence([(t, k) for t, ks in zip(traces, places, strict=True) for k in ks]))
        rows: list[Row] = []
        start: list[float | None] = []
        counts: list[tuple[tuple[int, int] | None, ...] | None] = []
        for trace, ks in zip(traces, places, strict=True):
            evidence = [next(found) for _ in ks]
            self.pay(e.usage for e in evidence)
            self.failed["rollouts-failed"] += sum(e.failed for e in evidence)
            start.append(evidence[0].value if evidence else None)
            rows.append(_values(trace, evidence) if evidence else None)
            own = [e.counts for e in evidence[1:]]
            counts.append((*own, *[None] * (len(trace.steps) - len(own))) if evidence else None)
        self.counts, self.failed = tuple(counts), +self.failed
        return Signals(tuple(rows), self.question, start=tuple(start))

    def _sound(self, trace: Trace) -> bool:
        why = obstacle(trace)
        if why is not None:
            self.failed[why.kind] += 1
        return why is None


def last(judgement: Judgement) -> float | None:
    """The score of the last step that has one."""
    return next((s for s in reversed(judgement.scores or ()) if s is not None), None)


def mean(judgement: Judgement) -> float | None:
    """Over the judged steps."""
    known = [s for s in judgement.scores or () if s is not None]
    return math.fsum(known) / len(known) if known else None


OF_WHOLE: dict[str, Callable[[Judgement], float | None]] = {"last": last, "mean": mean}


@dataclass(eq=False)
class Whole(Producer):
    """Also gives the step scores."""

    name: ClassVar[str] = "whole"
    gives: ClassVar[frozenset[str]] = frozenset({"scores"})

    scorer: Scorer
    scalar: str = "reward"
    by: str = "last"

    def __post_init__(self) -> None:
        if self.by not in OF_WHOLE:
            raise InputError(f"whole: got by={self.by!r}, expected one of {sorted(OF_WHOLE)}.")
        self.question = self.scorer.question  # type: ignore[misc]
        self.gives = frozenset({"scores", f"scalars.{self.scalar}"})  # type: ignore[misc]

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        found = judge(self, self.scorer, traces)
        values = tuple(OF_WHOLE[self.by](j) for j in found)
        return Signals(tuple(j.scores for j in found), self.scorer.question, scalars={self.scalar: values})


def judge(producer: Producer, scorer: Scorer, traces: Sequence[Trace]) -> list[Judgement]:
    """The scorer's judgements, paid for and their failures counted by the producer."""
    found = scorer.score(traces)
    for judgement in found:
        producer.pay((judgement.usage.policy, judgement.usage.scorer))
        if judgement.error is not None:
            producer.failed[judgement.error.kind] += 1
    return found


def _open_steps(trace: Trace) -> int:
    """How many steps may be followed by another one: all of a cut-off trace, all but the last of a finished one."""
    return len(trace.steps) - (trace.finish is Finish.STOP)


def _values(trace: Trace, evidence: Sequence[Evidence]) -> Row:
    values = [e.value for e in evidence[1:]]
    if len(values) < len(trace.steps):
        end = outcome(trace)
        values.append(float(end.correct) if end.decided else None)
    return None if all(v is None for v in values) else tuple(values)
