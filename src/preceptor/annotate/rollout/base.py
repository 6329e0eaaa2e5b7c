"""What all rollout annotators have in common: a policy that completes, how many draws, where they are kept.

A method is a subclass with its own settings and one function, `judge`, over traces that rollouts can judge.
Traces that they cannot judge get their typed error here. Left out: the rules of the methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

from preceptor.annotate.rollout.montecarlo import ROLLOUT_SAMPLING, Evidence, MonteCarlo, obstacle
from preceptor.errors import ItemError
from preceptor.generation import Policy, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage


@dataclass(frozen=True)
class RolloutAnnotator(ABC):
    """A `Scorer` that continues prefixes. Every setting but the store is part of its `source`."""

    name: ClassVar[str]
    cost: ClassVar[str]
    """What a trace of T steps costs, in words: K rollouts per prefix, e its first error."""
    question: ClassVar[Question] = Question.VALUE
    pool: ClassVar[str] = "trace"
    """Which traces are judged together: each alone ("trace"), those of a "problem", or "all"."""

    policy: Policy
    """Who completes."""
    rollouts: int = 8
    """K, per prefix."""
    sampling: Sampling = field(default_factory=lambda: ROLLOUT_SAMPLING)
    store: Store | None = field(default=None, repr=False)
    """Where rollouts are kept and looked up; None keeps none."""
    seed: int = 0

    def __post_init__(self) -> None:
        self.monte_carlo  # noqa: B018 - refuses settings that make no sense, now rather than in `score`

    @cached_property
    def monte_carlo(self) -> MonteCarlo:
        return MonteCarlo(self.policy, self.rollouts, self.sampling, self.store, self.seed)

    @cached_property
    def source(self) -> Source:
        return Source.of(self.name, **self.settings())

    def settings(self) -> dict[str, Any]:
        """Everything that changes the outcome, as JSON values."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "store"}
        return {k: _plain(v) for k, v in values.items()}

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order; rollouts of all traces go together."""
        obstacles = [obstacle(trace) for trace in traces]
        sound = [trace for trace, reason in zip(traces, obstacles, strict=True) if reason is None]
        judged = iter(self.judge(sound) if sound else [])
        return [
            next(judged) if reason is None else self.failed(t, reason)
            for t, reason in zip(traces, obstacles, strict=True)
        ]

    @abstractmethod
    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace that rollouts can judge, in order."""

    def failed(self, trace: Trace, error: ItemError, evidence: Sequence[Evidence] = ()) -> Judgement:
        """A judgement without scores, with what was spent on it."""
        return Judgement(trace.id, self.question, self.source, None, usage=spent(evidence), error=error)


def spent(evidence: Sequence[Evidence]) -> Ledger:
    """What the rollouts cost the policy."""
    return Ledger(policy=sum((e.usage for e in evidence), Usage()))


def _plain(value: Any) -> Any:
    if isinstance(value, Sampling):
        return value.to_record()
    return getattr(value, "fingerprint", None) or getattr(value, "value", value)
