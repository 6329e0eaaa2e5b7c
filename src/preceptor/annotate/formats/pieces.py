"""Parts that several formats share: step texts without delimiters, the first error that labels imply, labels
as hard marks, and problems and judgements of imported traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from preceptor.annotate.formats.base import DoesNotFit, Labelled, Writing
from preceptor.judgement import NO_ERROR, Judgement, Question, Source, first_below
from preceptor.trace import Grade, Problem, Trace, Verdict
from preceptor.worlds.readers import DELIMITER, joined

DELIMITERS = {"blank_line": "\n\n", "line": "\n"}
NO_ANSWER = "the data give an answer and no verdict"


def texts_of(trace: Trace) -> tuple[list[str], str]:
    """The steps without the delimiter that joins them, and that delimiter ("" where there is no such)."""
    texts = trace.step_texts
    hint = DELIMITERS.get(trace.problem.segmenter)
    for delimiter in dict.fromkeys((hint or "\n\n", "\n\n", "\n")):
        if all(text.endswith(delimiter) for text in texts[:-1]):
            return [text.removesuffix(delimiter) for text in texts[:-1]] + texts[-1:], delimiter
    return texts, ""


def implied_error(scores: Sequence[float | None] | None) -> int | None:
    """The first error that labels alone imply: the first step at zero. None where an unjudged one stands
    before it."""
    return None if scores is None else first_below(scores, 5e-324)


def answered(trace: Trace, answer: str | None) -> Trace:
    """The trace with the answer that the data give it, ungraded."""
    return trace if answer is None else trace.graded(Grade(Verdict.UNDECIDED, NO_ANSWER, answer))


def labelled(
    problem: Problem,
    steps: Sequence[str],
    scores: Sequence[float | None],
    source: Source,
    question: Question,
    extra: dict[str, Any],
    *,
    answer: str | None = None,
) -> Labelled:
    """An imported item whose first error is the one its labels imply."""
    trace = answered(joined(problem, steps, DELIMITER), answer)
    judgement = Judgement(
        trace.id, question, source, tuple(scores), first_error=implied_error(scores), extra=extra
    )
    return trace, judgement


def clipped(trace: Trace, judgement: Judgement, writing: Writing) -> tuple[list[str], list[float]]:
    """Steps and scores up to the last judged step, for formats that cannot say "not judged"; what is cut
    off is counted. Raises `DoesNotFit` without scores and for an unjudged step before a judged one."""
    scores = list(judgement.scores or ())
    while scores and scores[-1] is None:
        scores.pop()
    if not scores:
        raise DoesNotFit("no labels")
    sure = [s for s in scores if s is not None]
    if len(sure) < len(scores):
        raise DoesNotFit("unjudged step before a judged one")
    writing.lose(unjudged_steps_at_the_end=len(scores) < len(trace.steps))
    return texts_of(trace)[0][: len(scores)], sure


def is_hard(scores: Sequence[float | None]) -> bool:
    return all(s in (None, 0, 1) for s in scores)


def hard(scores: Sequence[float], writing: Writing) -> list[bool]:
    """Scores as marks; soft ones by the threshold, and `DoesNotFit` without one."""
    if is_hard(scores):
        return [s == 1 for s in scores]
    threshold = writing.options.threshold
    if threshold is None:
        raise DoesNotFit("soft label and no threshold")
    writing.lose(soft_labels=True)
    return [s >= threshold for s in scores]


def lose_rest(
    trace: Trace,
    judgement: Judgement,
    writing: Writing,
    written: Sequence[float | None],
    reads: tuple[Source, Question],
    own: str = "",
    **carried: bool,
) -> None:
    """Count what steps and labels alone do not say. `written`: the labels as they read back; `reads`: the
    source and the question they get then; `own`: the format's part of `extra`; `carried`: facts that are
    written otherwise."""
    grade = trace.grade
    first = judgement.first_error
    facts = {
        "gold_answer": trace.problem.gold,
        "answer": trace.answer,
        "verdict": grade is not None and grade.decided,
        "generator": trace.policy,
        "first_error": first is not None and first != implied_error(written),
        "ratings": judgement.extra.get("ratings"),
        "source": judgement.source.name != reads[0].name,
        "question_answered": judgement.question is not reads[1],
        "flags": judgement.flags,
        "problem_meta": trace.problem.meta,
        "rollout_counts": judgement.counts or judgement.undecided,
        "rationale": judgement.rationale,
        "observations": any(s.observation is not None for s in trace.steps),
        "other_fields": set(judgement.extra) - {own, "ratings", "label_kind"},
    }
    writing.lose(**{name: fact for name, fact in facts.items() if not carried.get(name)})


def with_extra(item: Labelled, extra: dict[str, Any]) -> Labelled:
    trace, judgement = item
    return trace, replace(judgement, extra={k: v for k, v in extra.items() if v})


def rest(fields: dict[str, Any], *known: str) -> dict[str, Any]:
    """The fields that have no place in a trace or a judgement."""
    return {k: v for k, v in fields.items() if k not in known}


def first_mistake(ratings: Sequence[int | None]) -> int:
    """Index of the first -1, `NO_ERROR` without one."""
    return next((t for t, r in enumerate(ratings) if r == -1), NO_ERROR)
