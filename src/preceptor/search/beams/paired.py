"""Two scorers as one: the scores are the first one's, the second one's stand beside them under a name.

For strategies that rank by two numbers: `PavBeam` (value and prover), `BestFirst` (step rewards and value). Cost: both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from preceptor.errors import BackendError, InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.trace import Trace


@dataclass(frozen=True)
class Paired:
    """Scorer with the scores of `first`, and those of `second` in `extra[name]`, one per step or None."""

    first: Scorer
    second: Scorer
    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise InputError("paired: got no name for the second scorer's scores, expected one")

    @property
    def question(self) -> Question:
        return self.first.question

    @cached_property
    def source(self) -> Source:
        members = [str(self.first.source), str(self.second.source)]
        return Source.of("paired", members=members, label=self.name)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        rows = [(s, s.score(traces)) for s in (self.first, self.second)] if traces else []
        for scorer, got in rows:
            if len(got) != len(traces):
                raise BackendError(
                    f"scorer {scorer.source}: got {len(got)} judgements of {len(traces)} traces"
                )
        return [self._joined(t, *both) for t, *both in zip(traces, *(got for _, got in rows), strict=True)]

    def _joined(self, trace: Trace, own: Judgement, other: Judgement) -> Judgement:
        beside = other.scores if other.scores is not None and len(other.scores) == len(trace.steps) else None
        flags = (*own.flags, *other.flags, *(("part-failed",) if beside is None else ()))
        return replace(
            own,
            source=self.source,
            flags=flags,
            usage=own.usage + other.usage,
            extra={**own.extra, self.name: None if beside is None else list(beside)},
        )
