"""ActPRM (catalogue index 24): ask the costly judge only about traces that an ensemble is not sure of.

Per step the mean p and the standard deviation s over the members (population; one member gives 0, so only the
confidence test acts). A step is trusted iff s <= delta_std and (p >= delta_p or p <= 1 - delta_p); a trace is skipped
iff all steps up to its first predicted error (p < 0.5) are. Skipped traces get no labels: pseudo-labels are not trained
on. Members must differ by more than their name: equal heads give s = 0 for ever. Cost: the members on all traces, the
judge on the rest. Left out: training the ensemble.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import ClassVar, NamedTuple

from preceptor.annotate.combine.parts import ask, at_least, checked, spent
from preceptor.annotate.judges.share import Share
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.trace import Trace

SKIPPED = "trusted"


@dataclass(frozen=True)
class Trust:
    """When a step needs no judge. Defaults: the paper's (from memory)."""

    delta_p: float = 0.95
    """Above 1 trusts nothing: every trace is selected, as in the released script."""
    delta_std: float = 0.005
    """Below 0 trusts nothing."""
    threshold: float = 0.5
    """A mean below it is a predicted error."""


PAPER, CODE = Trust(), Trust(delta_p=0.9, delta_std=0.01)
"""The published thresholds (from memory) and those of the released code."""


class Belief(NamedTuple):
    """What an ensemble says of one step."""

    mean: float
    std: float


Beliefs = Sequence[Belief | None]
"""One per step; None where a member gave no score."""


def beliefs(scores: Sequence[Sequence[float | None]], steps: int) -> tuple[Belief | None, ...]:
    """Mean and deviation per step, from one row of scores per member."""
    found: list[Belief | None] = []
    for t in range(steps):
        values = [row[t] for row in scores]
        known = [v for v in values if v is not None]
        sure = known and len(known) == len(values)
        found.append(Belief(statistics.fmean(known), statistics.pstdev(known)) if sure else None)
    return tuple(found)


def vote_beliefs(counts: Sequence[tuple[int, int] | None]) -> tuple[Belief | None, ...]:
    """The same from the votes of one scorer: (for right, votes read) per step."""
    shares = [c[0] / c[1] if c is not None and c[1] else None for c in counts]
    return tuple(None if p is None else Belief(p, (p * (1 - p)) ** 0.5) for p in shares)


def trusted(found: Beliefs, trust: Trust = PAPER) -> bool:
    """Whether every step up to the first predicted error is trusted. A step without a belief is not, nor is a
    trace without steps."""
    for belief in found:
        if belief is None or belief.std > trust.delta_std:
            return False
        if not (belief.mean >= trust.delta_p or belief.mean <= 1 - trust.delta_p):
            return False
        if belief.mean < trust.threshold:
            return True
    return bool(found)


@dataclass(frozen=True)
class ActiveJudge:
    """Scorer of whatever the judge judges; `skipped` says what share it saved.

    A skipped trace has no scores, the error and flag `"trusted"`, and the ensemble's beliefs in `extra`.
    """

    name: ClassVar[str] = "active-judge"
    cost: ClassVar[str] = "the ensemble on every trace and the judge on the untrusted ones"

    members: tuple[Scorer, ...]
    """The ensemble: heads, seeds or models."""
    judge: Scorer
    trust: Trust = PAPER
    votes: bool = False
    """One member whose `counts` are votes: read those instead of its scores."""

    def __post_init__(self) -> None:
        at_least(self.members, 1, self.name)

    @property
    def question(self) -> Question:
        return self.judge.question

    @cached_property
    def source(self) -> Source:
        return Source.of(
            self.name,
            members=[str(member.source) for member in self.members],
            judge=str(self.judge.source),
            trust=asdict(self.trust),
            votes=self.votes,
        )

    def beliefs(self, trace: Trace, parts: Sequence[Judgement]) -> tuple[Belief | None, ...]:
        """What the members' judgements of this trace come to."""
        unknown = (None,) * len(trace.steps)
        if self.votes:
            return vote_beliefs(parts[0].counts or unknown)
        return beliefs([unknown if p.scores is None else p.scores for p in parts], len(trace.steps))

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One call per member for all traces, one call of the judge for the untrusted ones."""
        judged = ask(self.members, traces)
        found = [self.beliefs(trace, parts) for trace, parts in zip(traces, judged, strict=True)]
        sure = [trusted(own, self.trust) for own in found]
        hard = [trace for trace, skip in zip(traces, sure) if not skip]
        verdicts = iter(checked(hard, self.judge.score(hard), str(self.judge.source)) if hard else [])
        return [
            self._skip(trace, own, parts) if skip else self._take(next(verdicts), own, parts)
            for trace, own, parts, skip in zip(traces, found, judged, sure, strict=True)
        ]

    def _take(self, verdict: Judgement, found: Beliefs, parts: Sequence[Judgement]) -> Judgement:
        extra = {**verdict.extra, self.name: _record(found)}
        return replace(verdict, source=self.source, usage=verdict.usage + spent(parts), extra=extra)

    def _skip(self, trace: Trace, found: Beliefs, parts: Sequence[Judgement]) -> Judgement:
        error = ItemError(SKIPPED, "the ensemble is sure of every step up to its first error: not judged")
        return Judgement(
            trace.id,
            self.question,
            self.source,
            None,
            flags=(SKIPPED,),
            usage=spent(parts),
            error=error,
            extra={self.name: _record(found)},
        )


def skipped(judgements: Iterable[Judgement]) -> Share:
    """How many of an `ActiveJudge`'s traces never reached its judge."""
    flags = [SKIPPED in judged.flags for judged in judgements]
    return Share(sum(flags), len(flags))


def _record(found: Beliefs) -> list[list[float] | None]:
    return [None if b is None else [b.mean, b.std] for b in found]
