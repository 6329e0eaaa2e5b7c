"""What all combinators share: one call per member, sums of costs, and what becomes of a missing score.

A combinator asks each member once, for all traces together. Its judgement names the original trace, adds up
the usage of every judgement it used, and carries their flags. It carries an error only where a score is
missing; where the other members made up for a failed one, the flag `"part-failed"` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from preceptor.errors import BackendError, InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger

Scores = Sequence[float | None]

PART_FAILED = "part-failed"
"""Flag: a member failed, and the scores are complete without it."""


def ask(member: Scorer, traces: Sequence[Trace]) -> list[Judgement]:
    """The member's judgements from one call (none for no traces), each with one score per step or none.

    A judgement with another number of scores becomes a failed one (`"step-mismatch"`). Raises `BackendError`
    where the judgements are not those of the traces, one each and in order.
    """
    if not traces:
        return []
    judged = member.score(traces)
    ids = [t.id for t in traces]
    if [j.trace for j in judged] != ids:
        raise BackendError(
            f"{member.source}: got {len(judged)} judgements that are not of the {len(ids)} traces in their "
            "order. A scorer returns one judgement per trace, in order, with the trace's id."
        )
    return [_checked(j, len(t.steps)) for j, t in zip(judged, traces, strict=True)]


def _checked(judged: Judgement, steps: int) -> Judgement:
    if judged.scores is None or len(judged.scores) == steps:
        return judged
    message = f"{judged.source} gave {len(judged.scores)} scores for {steps} steps"
    return replace(judged, scores=None, first_error=None, error=ItemError("step-mismatch", message))


def scores_of(judged: Judgement, steps: int) -> Scores:
    """One entry per step: all None where nothing was judged."""
    return (None,) * steps if judged.scores is None else judged.scores


def one_question(members: Sequence[Scorer], answers: Question | None) -> Question:
    """The question the members agree on, or the one named; InputError when they differ and none is."""
    if not members:
        raise InputError("members: got none, expected at least one scorer")
    if answers is not None:
        return answers
    asked = {m.question for m in members}
    if len(asked) > 1:
        names = ", ".join(f"{m.source.name}: {m.question.value}" for m in members)
        raise InputError(
            f"the members answer different questions ({names}), expected one. Name the question the result "
            "answers: answers=Question.QUALITY, say."
        )
    return asked.pop()


def names_of(members: Iterable[Scorer]) -> list[str]:
    """The sources of members, for the source of the whole."""
    return [str(m.source) for m in members]


def combined(
    scorer: Scorer,
    trace: Trace,
    scores: Scores,
    parts: Sequence[Judgement],
    *,
    first_error: int | None = None,
    flags: Sequence[str] = (),
    rationale: Sequence[str | None] | None = None,
    error: ItemError | None = None,
) -> Judgement:
    """The judgement of `scorer` on `trace`, made of `parts`: usage summed, flags joined, error carried.

    `error` comes before the errors of the parts. `scores` that are all None become None when there is an
    error, or when no part gave scores. A trace without steps has the scores `()`, or none likewise.
    """
    first = error or next((p.error for p in parts if p.error is not None), None)
    incomplete = None in scores or not scores
    kept = dict.fromkeys(flag for part in parts for flag in part.flags)
    if first is not None and not incomplete:
        kept[PART_FAILED] = None
        first = None
    silent = first is not None or (len(parts) > 0 and all(p.scores is None for p in parts))
    nothing = silent and all(s is None for s in scores)
    return Judgement(
        trace=trace.id,
        question=scorer.question,
        source=scorer.source,
        scores=None if nothing else tuple(scores),
        first_error=None if nothing else first_error,
        rationale=None if rationale is None else tuple(rationale),
        flags=(*kept, *flags),
        usage=sum((p.usage for p in parts), Ledger()),
        error=first,
    )
