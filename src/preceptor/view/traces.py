"""Real traces with every step colored by a score, and all scorers side by side.

The color is one scorer's; the numbers of all are printed. The true first error and the places where
scorers see it are named in words. A missing score is a dash, not a color.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.judgement import NO_ERROR, Judgement, first_below
from preceptor.trace import Trace
from preceptor.view.scale import score_bin


@dataclass(frozen=True)
class ScoredTrace:
    """One trace and what each named scorer says of it; all traces of a list share the names' order."""

    trace: Trace
    judgements: Mapping[str, Judgement]
    title: str = ""


@dataclass(frozen=True)
class StepScore:
    """What one scorer says of one step."""

    name: str
    text: str
    bin: int | None
    detail: str
    """Monte Carlo evidence, e.g. `3/8`."""
    called: bool
    """This scorer sees the first error here."""


@dataclass(frozen=True)
class StepRow:
    """One step as it is shown."""

    number: int
    text: str
    observation: str | None
    bin: int | None
    shown: str
    """The score that colors the step."""
    scores: tuple[StepScore, ...]
    true_error: bool
    called_by: tuple[str, ...]
    notes: tuple[tuple[str, str], ...]
    """(scorer, rationale)."""


@dataclass(frozen=True)
class TraceCard:
    """One trace as it is shown."""

    title: str
    prompt: str
    gold: str | None
    answer: str | None
    verdict: str
    reason: str
    steps: tuple[StepRow, ...]
    clean_by: tuple[str, ...]
    """Scorers that see no error at all."""
    unknown_by: tuple[str, ...]
    """Scorers without a verdict on the first error."""
    truth: str
    facts: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...]
    """(scorer or "trace", error)."""


def trace_cards(
    items: Sequence[ScoredTrace],
    names: Sequence[str],
    *,
    reference: str | None,
    color_by: str,
    threshold: float | None,
    limits: tuple[float, float],
) -> list[TraceCard]:
    """What the template prints. `reference` names the column that holds the truth.

    Every step has a score, or a dash, for each of `names`, whoever judged its trace.
    """
    return [_card(i, item, names, reference, color_by, threshold, limits) for i, item in enumerate(items)]


def seen_first_error(judgement: Judgement, threshold: float | None) -> int | None:
    """The scorer's own statement, otherwise the first step below the threshold, otherwise None."""
    if judgement.first_error is not None or threshold is None:
        return judgement.first_error
    return first_below(judgement.scores or (), threshold)


def _card(
    index: int,
    item: ScoredTrace,
    names: Sequence[str],
    reference: str | None,
    color_by: str,
    threshold: float | None,
    limits: tuple[float, float],
) -> TraceCard:
    trace = item.trace
    given = {name: item.judgements.get(name) for name in names}
    seen = {name: seen_first_error(j, threshold) for name, j in given.items() if j is not None}
    truth = seen.pop(reference, None) if reference is not None else None
    grade = trace.grade
    failures = [(name, j.error) for name, j in given.items() if j is not None] + [("trace", trace.error)]
    return TraceCard(
        title=item.title or f"Trace {index + 1}",
        prompt=trace.problem.prompt,
        gold=trace.problem.gold,
        answer=trace.answer,
        verdict="not graded" if grade is None else grade.verdict.value,
        reason="" if grade is None else grade.reason,
        steps=tuple(_step(t, trace, given, color_by, truth, seen, limits) for t in range(len(trace.steps))),
        clean_by=tuple(name for name, at in seen.items() if at == NO_ERROR),
        unknown_by=tuple(name for name, at in seen.items() if at is None),
        truth=_truth(reference, truth),
        facts=_facts(trace),
        failures=tuple((name, f"{e.kind}: {e.message}") for name, e in failures if e is not None),
    )


def _step(
    t: int,
    trace: Trace,
    given: Mapping[str, Judgement | None],
    color_by: str,
    truth: int | None,
    seen: Mapping[str, int | None],
    limits: tuple[float, float],
) -> StepRow:
    scores = tuple(_score(name, j, t, seen.get(name) == t, limits) for name, j in given.items())
    main = next((s for s in scores if s.name == color_by), None)
    reasons = {name: (j.rationale or ()) for name, j in given.items() if j is not None}
    notes = [(name, own[t] if t < len(own) else None) for name, own in reasons.items()]
    return StepRow(
        number=t,
        text=trace.step_texts[t].strip("\n"),
        observation=trace.steps[t].observation,
        bin=None if main is None else main.bin,
        shown="–" if main is None else main.text,
        scores=scores,
        true_error=truth == t,
        called_by=tuple(name for name, at in seen.items() if at == t),
        notes=tuple((name, note) for name, note in notes if note),
    )


def _score(
    name: str, judgement: Judgement | None, t: int, called: bool, limits: tuple[float, float]
) -> StepScore:
    scores = (judgement.scores if judgement is not None else None) or ()
    counts = (judgement.counts if judgement is not None else None) or ()
    score = scores[t] if t < len(scores) else None
    count = counts[t] if t < len(counts) else None
    return StepScore(
        name=name,
        text="–" if score is None else f"{score:.2f}".replace("-", "−"),
        bin=None if score is None else score_bin(score, *limits),
        detail="" if count is None else f"{count[0]}/{count[1]}",
        called=called,
    )


def _truth(reference: str | None, at: int | None) -> str:
    if reference is None:
        return ""
    if at is None:
        return f"{reference}: unknown"
    return f"{reference}: no error" if at == NO_ERROR else f"{reference}: step {at}"


def _facts(trace: Trace) -> tuple[tuple[str, str], ...]:
    known: list[tuple[str, Any]] = [
        ("id", trace.id),
        ("finish", trace.finish.value),
        ("policy", trace.policy or None),
        ("seed", trace.seed),
        ("draw", trace.draw),
        ("tokens generated", trace.usage.generated or None),
    ]
    return tuple((name, str(value)) for name, value in known if value is not None)
