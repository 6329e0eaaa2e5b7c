"""What one scorer says of one trace, and which question it answers.

Three questions share the word "correct" and are never mixed without an explicit combinator: is the step
right (*validity*), can the answer still be reached (*value*), did the chance of success change
(*progress*). Everything that judges a trace, from a world's oracle to a reward model, is a `Scorer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from preceptor.errors import ItemError
from preceptor.trace import Trace, content_id
from preceptor.usage import Ledger

NO_ERROR = -1
"""`first_error` of a trace in which every step is right; None means unknown."""


class Question(str, Enum):
    """Which question a score answers."""

    VALIDITY = "validity"
    """Is this step right, given what stands before it?"""
    VALUE = "value"
    """How likely is the right answer from here (under a stated policy), or: is it still reachable?"""
    PROGRESS = "progress"
    """By how much did this step change the chance of success?"""
    QUALITY = "quality"
    """Anything else; the source's name says what."""


@dataclass(frozen=True)
class Source:
    """Who judged: a scorer's name, version and settings."""

    name: str
    version: str = "1"
    config: str = ""
    """Hash of the settings that change the outcome, policy fingerprint included."""

    @classmethod
    def of(cls, name: str, version: str = "1", **settings: Any) -> Source:
        return cls(name, version, content_id(settings))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" + (f"#{self.config}" if self.config else "")


@dataclass(frozen=True)
class Judgement:
    """Scores per step, or their absence, with evidence and cost.

    `scores` has one entry per step of the trace: a finite float, or None for "not judged". The whole
    tuple is None when the scorer gave nothing (see `error`).
    """

    trace: str
    """Id of the judged trace."""
    question: Question
    source: Source
    scores: tuple[float | None, ...] | None
    counts: tuple[tuple[int, int] | None, ...] | None = None
    """Monte Carlo evidence per step: (successes, decided trials). None per step: not asked."""
    undecided: int = 0
    """Rollouts that could not be graded; in neither number of `counts`."""
    first_error: int | None = None
    """0-based index of the first wrong step, `NO_ERROR`, or None for unknown."""
    rationale: tuple[str | None, ...] | None = None
    flags: tuple[str, ...] = ()
    """Short constants worth counting, e.g. `"monotone-violation"`, `"neutralised-separator"`."""
    usage: Ledger = field(default_factory=Ledger)
    error: ItemError | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What the data set said beyond this, mostly by the name of its format; JSON values only."""

    def __post_init__(self) -> None:
        for t, score in enumerate(self.scores or ()):
            if score is not None and not math.isfinite(score):
                raise ValueError(
                    f"step {t} of trace {self.trace} judged by {self.source}: got score {score}, "
                    "expected a finite number or None. Mark a failed step as None and say why in `error`."
                )

    def __repr__(self) -> str:
        shown = (
            "none"
            if self.scores is None
            else " ".join("-" if s is None else f"{s:.2f}" for s in self.scores[:8])
            + (" ..." if len(self.scores) > 8 else "")
        )
        return f"<Judgement {self.source.name} {self.question.value}: {shown}>"

    def to_record(self) -> dict[str, Any]:
        return {
            "trace": self.trace,
            "question": self.question.value,
            "source": [self.source.name, self.source.version, self.source.config],
            "scores": None if self.scores is None else list(self.scores),
            "counts": None if self.counts is None else [None if c is None else list(c) for c in self.counts],
            "undecided": self.undecided,
            "first_error": self.first_error,
            "rationale": None if self.rationale is None else list(self.rationale),
            "flags": list(self.flags),
            "usage": self.usage.to_record(),
            "error": None if self.error is None else self.error.to_record(),
            **({"extra": dict(self.extra)} if self.extra else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Judgement:
        counts, scores, why = record.get("counts"), record.get("scores"), record.get("rationale")
        return cls(
            trace=record["trace"],
            question=Question(record["question"]),
            source=Source(*record["source"]),
            scores=None if scores is None else tuple(scores),
            counts=None if counts is None else tuple(None if c is None else (c[0], c[1]) for c in counts),
            undecided=record.get("undecided", 0),
            first_error=record.get("first_error"),
            rationale=None if why is None else tuple(why),
            flags=tuple(record.get("flags", ())),
            usage=Ledger.from_record(record.get("usage")),
            error=ItemError.from_record(record.get("error")),
            extra=record.get("extra", {}),
        )


@runtime_checkable
class Scorer(Protocol):
    """Judges traces: an annotator, a reward model, a judge, a tool, an oracle."""

    @property
    def source(self) -> Source: ...

    @property
    def question(self) -> Question: ...

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order. A trace that cannot be judged gets a judgement whose
        `scores` is None and whose `error` says why; the others are not affected."""
        ...


def first_below(scores: Sequence[float | None], threshold: float) -> int | None:
    """Index of the first score strictly below `threshold`, `NO_ERROR` if none is.

    None (unknown) when a step before the first low one was not judged, or when there is no step.
    """
    if not scores:
        return None
    for t, score in enumerate(scores):
        if score is None:
            return None
        if score < threshold:
            return t
    return NO_ERROR
