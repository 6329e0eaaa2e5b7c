"""Traces and judgements -> what the pipeline reads."""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.credit.spans import token_spans
from preceptor.credit.types import Rollout, Signals
from preceptor.errors import InputError
from preceptor.grade import canonical
from preceptor.judgement import Judgement, Question
from preceptor.trace import Trace, Verdict


def rollout_of(trace: Trace, answers: bool = False) -> Rollout:
    """A graded trace as the pipeline sees it: correct 1, incorrect 0, undecided or failed None.

    A completion cut off at the token limit counts as it was graded: cut off is how it came out. What an
    environment wrote behind a step is masked and in no span. With `answers` the final answer is read into
    canonical form too, for methods that need it.
    """
    if trace.error is not None and trace.token_ids is None:
        return Rollout(trace.problem.id, 0, None)
    if trace.token_ids is None or trace.token_ends is None:
        raise InputError(
            f"trace {trace.id}: got no sampled token ids or no token ends, expected both. Sample with a "
            "policy that returns them; text alone cannot be trained on."
        )
    outcome = None
    if trace.grade is not None and trace.grade.decided and trace.error is None:
        outcome = 1.0 if trace.grade.verdict is Verdict.CORRECT else 0.0
    spans = token_spans([s.end for s in trace.steps], trace.token_ends)
    if trace.sampled is not None:
        spans = tuple(_own(a, b, trace.sampled) for a, b in spans)
    answer = canonical(trace.problem, trace.answer) if answers and trace.answer is not None else None
    return Rollout(trace.problem.id, len(trace.token_ids), outcome, spans, trace.sampled, answer)


def _own(a: int, b: int, sampled: Sequence[bool]) -> tuple[int, int]:
    """A step's tokens without what an environment wrote behind it; empty where the policy wrote none."""
    while b > a and not sampled[b - 1]:
        b -= 1
    return a, b


def signals_of(judgements: Sequence[Judgement], question: Question) -> Signals:
    """The step scores of one scorer, one judgement a rollout, in the rollouts' order.

    All must answer `question`: streams of different questions are never mixed in one.
    """
    for judgement in judgements:
        if judgement.question is not question:
            raise InputError(
                f"judgement of trace {judgement.trace} by {judgement.source}: got question "
                f"{judgement.question.value!r}, expected {question.value!r}. Use one scorer a stream."
            )
    return Signals(tuple(j.scores for j in judgements), question)
