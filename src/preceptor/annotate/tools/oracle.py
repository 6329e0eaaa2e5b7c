"""The world's own truth about every step, where a problem's world has an exact oracle. Costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.trace import Trace
from preceptor.worlds import WORLDS


@dataclass(frozen=True)
class WorldOracle:
    """Scorer of validity (is the step right?) or value (can the right answer still be reached after it?).

    Scores are 1 and 0; `rationale[t]` names the kind of error of a wrong step. A problem without a world gets
    no scores and the error `"no-oracle"`.
    """

    name: ClassVar[str] = "world-oracle"
    cost: ClassVar[str] = "nothing"

    question: Question = Question.VALIDITY

    def __post_init__(self) -> None:
        if self.question not in (Question.VALIDITY, Question.VALUE):
            raise InputError(f"question: got {self.question!r}, expected Question.VALIDITY or Question.VALUE")

    @cached_property
    def source(self) -> Source:
        return Source.of("world-oracle", question=self.question.value)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        world = WORLDS.get(trace.problem.world)
        if world is None:
            known = ", ".join(sorted(WORLDS))
            message = f"no oracle for world {trace.problem.world!r}; worlds with one: {known}"
            return self._failed(trace, ItemError("no-oracle", message))
        if not trace.steps:
            return self._failed(trace, ItemError("no-steps", "the trace has no steps"))
        truths = world.judge(trace.problem, [trace.text[s.start : s.end] for s in trace.steps])
        if len(truths) != len(trace.steps):
            message = f"world {trace.problem.world!r} gave {len(truths)} truths for {len(trace.steps)} steps"
            return self._failed(trace, ItemError("step-mismatch", message))
        right = [t.valid if self.question is Question.VALIDITY else t.reachable for t in truths]
        scores = tuple(map(float, right))
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=scores,
            first_error=first_below(scores, 0.5),
            rationale=tuple(None if t.valid else t.kind for t in truths),
        )

    def _failed(self, trace: Trace, error: ItemError) -> Judgement:
        return Judgement(trace.id, self.question, self.source, None, error=error)
