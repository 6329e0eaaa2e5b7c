"""Asking the scorers that a combination is made of: one call each, checked answers, summed costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.errors import BackendError, InputError, ItemError
from preceptor.judgement import Judgement, Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger


def ask(scorers: Sequence[Scorer], traces: Sequence[Trace]) -> list[list[Judgement]]:
    """Per trace, the judgement of each scorer; each scorer gets one call for all traces."""
    columns = [
        checked(traces, scorer.score(traces), str(scorer.source)) if traces else [] for scorer in scorers
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def checked(traces: Sequence[Trace], judged: Sequence[Judgement], who: str) -> list[Judgement]:
    """Judgements that belong to these traces; one with another number of scores than steps becomes a failed one.

    Raises `BackendError` where they are not of these traces, one each and in order.
    """
    if [j.trace for j in judged] != [t.id for t in traces]:
        raise BackendError(
            f"{who}: got {len(judged)} judgements that are not of the {len(traces)} traces in their order. A "
            "scorer returns one judgement per trace, in order, with the trace's id."
        )
    return [_fitting(j, len(t.steps)) for t, j in zip(traces, judged, strict=True)]


def _fitting(judged: Judgement, steps: int) -> Judgement:
    if judged.scores is None or len(judged.scores) == steps:
        return judged
    message = f"{judged.source} gave {len(judged.scores)} scores for {steps} steps"
    return replace(judged, scores=None, first_error=None, error=ItemError("step-mismatch", message))


def spent(parts: Sequence[Judgement]) -> Ledger:
    return sum((part.usage for part in parts), Ledger())


def failures(parts: Sequence[Judgement]) -> str:
    """What went wrong in the parts, for the message of an error."""
    said = [f"{p.source.name}: {p.error.kind}" for p in parts if p.error is not None]
    return ", ".join(said) or "no part gave a score"


def at_least(scorers: Sequence[Scorer], count: int, what: str) -> None:
    if len(scorers) < count:
        raise InputError(f"{what}: got {len(scorers)} scorers, expected at least {count}.")
