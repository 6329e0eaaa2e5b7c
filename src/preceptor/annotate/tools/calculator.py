"""Step labels from what a GSM8K solution carries with it: its calculator notes and its outcome.

A note `<<48/2=24>>` with a wrong sum makes its step wrong. A right answer makes the other steps right. A
wrong answer makes the last step wrong and says nothing of the others: right sums may be the wrong sums to
do, so they stay unknown. No model, no tokens. Left out: reading sums outside notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.montecarlo import obstacle, outcome
from preceptor.errors import ItemError
from preceptor.grade import calculator_notes
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.trace import Trace


@dataclass(frozen=True)
class CalculatorNotes:
    """Scorer of validity: 1, 0 or unknown (None) per step.

    `first_error` is known when every step before the first wrong one is known to be right, or when the
    trace has none. A right answer with a wrong sum is flagged `"wrong-note-right-answer"`.
    """

    name: ClassVar[str] = "calculator-notes"
    cost: ClassVar[str] = "nothing"
    question: ClassVar[Question] = Question.VALIDITY
    source = Source.of("calculator-notes")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        grade, error = outcome(trace), obstacle(trace)
        if error is None and not grade.decided:
            error = ItemError("undecided", f"the trace could not be graded: {grade.reason}")
        if error is not None:
            return Judgement(trace.id, self.question, self.source, None, error=error)
        wrong = [any(note.is_right is False for note in calculator_notes(s)) for s in trace.step_texts]
        rest = 1.0 if grade.correct else None
        scores: list[float | None] = [0.0 if bad else rest for bad in wrong]
        if not grade.correct:
            scores[-1] = 0.0
        flags = ("wrong-note-right-answer",) if grade.correct and any(wrong) else ()
        return Judgement(
            trace.id,
            self.question,
            self.source,
            tuple(scores),
            first_error=_first_error(scores),
            flags=flags,
        )


def _first_error(scores: Sequence[float | None]) -> int | None:
    for t, score in enumerate(scores):
        if score is None:
            return None
        if score == 0.0:
            return t
    return NO_ERROR
