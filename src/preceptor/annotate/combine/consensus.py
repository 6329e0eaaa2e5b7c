"""Whole-trace consensus of two scorers: what they differ on goes, with all its labels ("Lessons of Developing PRMs").

`by="first-error"` keeps a trace iff both name the same first error (Monte Carlo against a judge); `by="labels"` iff the
labels of the first up to the first error of the second are what that implies (GenPRM: `RelativeProgress` and a judge).
Kept labels are hard, masked after the error. Dyve is `judges.ConsensusSteps(policy, Consensus(..))`: it verifies each
kept label again. About 40 % (from memory) and 49 % of traces survived, the easy ones. Cost: both parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

from preceptor.annotate.combine.parts import ask, failures, spent
from preceptor.annotate.rules import consensus as rule
from preceptor.annotate.rules import first_error_targets
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.trace import Trace

DISCARDED = "discarded"


@dataclass(frozen=True)
class Consensus:
    """Scorer of validity, 1 or 0: what both agree on.

    A trace that is dropped has no scores, the flag `"discarded"` and the error `"disagree"` or `"unknown"` (one of
    them names no first error, or a label is missing).
    """

    name: ClassVar[str] = "consensus"
    cost: ClassVar[str] = "the sum of its two parts"
    question: ClassVar[Question] = Question.VALIDITY

    first: Scorer
    second: Scorer
    """With `by="labels"`: the judge, whose first error the labels must fit."""
    by: Literal["first-error", "labels"] = "first-error"
    threshold: float = 0.5
    """With `by="labels"`: a label at or above it counts as 1."""

    def __post_init__(self) -> None:
        if self.by not in ("first-error", "labels"):
            raise InputError(f"by: got {self.by!r}, expected 'first-error' or 'labels'.")

    @cached_property
    def source(self) -> Source:
        return Source.of(
            self.name,
            parts=[str(self.first.source), str(self.second.source)],
            by=self.by,
            threshold=self.threshold,
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return self.join(traces, ask((self.first, self.second), traces))

    def agreement(self, traces: Sequence[Trace], judged: Sequence[Sequence[Judgement]]) -> rule.Consensus:
        """Which traces stay, and why the others go: per trace, one judgement of each part."""
        errors = [(ours.first_error, theirs.first_error) for ours, theirs in judged]
        theirs = [e for _, e in errors]
        if self.by == "first-error":
            return rule.first_error_consensus([e for e, _ in errors], theirs)
        scores = [
            (None,) * len(t.steps) if a.scores is None else a.scores for t, (a, _) in zip(traces, judged)
        ]
        return rule.label_consensus(scores, theirs, threshold=self.threshold)

    def join(self, traces: Sequence[Trace], judged: Sequence[Sequence[Judgement]]) -> list[Judgement]:
        """Compares judgements that are there already: per trace, one of each part."""
        kept = set(self.agreement(traces, judged).kept)
        return [
            self._judge(trace, parts, i in kept)
            for i, (trace, parts) in enumerate(zip(traces, judged, strict=True))
        ]

    def _judge(self, trace: Trace, parts: Sequence[Judgement], kept: bool) -> Judgement:
        first_error = parts[1].first_error
        flags = tuple(dict.fromkeys(flag for part in parts for flag in part.flags))
        base = Judgement(trace.id, self.question, self.source, None, flags=flags, usage=spent(parts))
        if kept:
            targets = first_error_targets(first_error, len(trace.steps))
            return replace(base, scores=targets, first_error=first_error)
        [why] = self.agreement([trace], [parts]).dropped
        said = f"first errors {parts[0].first_error} and {first_error}"
        message = f"the two parts differ: {said}" if why == rule.DISAGREE else f"{said}; {failures(parts)}"
        return replace(base, flags=(*flags, DISCARDED), error=ItemError(why, message))
