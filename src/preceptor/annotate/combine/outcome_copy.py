"""The outcome at every step: Uesato et al.'s ORM targets (catalogue index 1), and FreePRM's pseudo labels (index 66).

A copied outcome is a sample of the value of each prefix, never its validity: right steps of wrong traces get 0. A model
that learns it converges, at step t, to the chance of success from there. FreePRM copies too, and knows that only the
last label is exact: its loss gives the others a buffer (`reward.losses.freeprm`), so they are named in `extra`.
Cost: none, the outcome is there or is graded now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from preceptor.annotate.judges.asking import no_steps
from preceptor.annotate.rollout.montecarlo import outcome
from preceptor.annotate.rules import copy_outcome, outcome_target
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace


@dataclass(frozen=True)
class OutcomeCopy:
    """Scorer of value, 1 or 0: the trace's own outcome at each step. No first error is claimed.

    An undecided outcome is an error, never 0.
    """

    name: ClassVar[str] = "outcome-copy"
    cost: ClassVar[str] = "nothing"
    question: ClassVar[Question] = Question.VALUE

    @property
    def source(self) -> Source:
        return Source.of(self.name)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        if trace.error is not None:
            message = f"sampling failed: {trace.error.kind}: {trace.error.message}"
            return self._failed(trace, ItemError("failed-trace", message))
        if not trace.steps:
            return no_steps(trace, self.question, self.source)
        grade = outcome(trace)
        target = outcome_target(grade)
        if target is None:
            return self._failed(
                trace, ItemError("undecided", f"the trace could not be graded: {grade.reason}")
            )
        scores = copy_outcome(target, len(trace.steps))
        return Judgement(trace.id, self.question, self.source, scores, extra=self._extra(trace))

    def _failed(self, trace: Trace, error: ItemError) -> Judgement:
        return Judgement(trace.id, self.question, self.source, None, error=error)

    def _extra(self, trace: Trace) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class FreePRM(OutcomeCopy):
    """The same labels; `extra["freeprm"]["exact"]` says per step whether its label is more than a guess."""

    name: ClassVar[str] = "freeprm"

    def _extra(self, trace: Trace) -> dict[str, Any]:
        return {self.name: {"exact": [False] * (len(trace.steps) - 1) + [True]}}
