"""Math-Shepherd (arXiv 2312.08935): a step is as good as the chance to finish right from it.

K rollouts from every proper prefix; hard label: any of them is right; soft label: the rate. The last step is
not rolled out: its label is the grade of the trace. Cost: exactly K (T - 1) continuations per trace of T
steps. Our deviation: undecided rollouts are left out of the rate and counted, where the original counts them
as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Literal

from preceptor.annotate.montecarlo import (
    ROLLOUT_SAMPLING,
    Evidence,
    MonteCarlo,
    lost_prefix,
    obstacle,
    outcome,
    rollout_flags,
)
from preceptor.errors import InputError, ItemError
from preceptor.generation import Policy, Sampling
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.store import Store
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage


@dataclass(frozen=True)
class MathShepherd:
    """Scorer of value by rollouts at every step.

    `scores[t]` is the hard (0 or 1) or soft label; None where every rollout was undecided. `first_error` is
    the first step whose *hard* label is 0, whatever the target; None when a step before it is unknown. Labels
    need not be monotone: (1, 0, 1) is kept as found and flagged `"not-monotone"`, with `first_error` 1.
    """

    policy: Policy
    rollouts: int = 8
    target: Literal["hard", "soft"] = "hard"
    sampling: Sampling = field(default_factory=lambda: ROLLOUT_SAMPLING)
    """The paper's temperature is not known; 0.7 is common in its successors."""
    store: Store | None = field(default=None, repr=False)
    """Where rollouts are kept and looked up; None keeps none."""
    seed: int = 0

    question = Question.VALUE

    def __post_init__(self) -> None:
        if self.target not in ("hard", "soft"):
            raise InputError(f"target: got {self.target!r}, expected 'hard' or 'soft'")
        self._monte_carlo  # noqa: B018 - refuses settings that make no sense, now rather than in `score`

    @cached_property
    def _monte_carlo(self) -> MonteCarlo:
        return MonteCarlo(self.policy, self.rollouts, self.sampling, self.store, self.seed)

    @cached_property
    def source(self) -> Source:
        return Source.of(
            "math-shepherd",
            policy=self.policy.fingerprint,
            rollouts=self.rollouts,
            target=self.target,
            sampling=self.sampling.to_record(),
            seed=self.seed,
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace; the rollouts of all traces are one batched call."""
        obstacles = [obstacle(trace) for trace in traces]
        points = [
            (trace, t)
            for trace, reason in zip(traces, obstacles, strict=True)
            if reason is None
            for t in range(1, len(trace.steps))
        ]
        evidence = iter(self._monte_carlo.evidence(points))
        return [
            self._failed(trace, reason)
            if reason is not None
            else self._judge(trace, [next(evidence) for _ in trace.steps[1:]])
            for trace, reason in zip(traces, obstacles, strict=True)
        ]

    def _judge(self, trace: Trace, evidence: list[Evidence]) -> Judgement:
        usage = Ledger(policy=sum((e.usage for e in evidence), Usage()))
        if (lost := lost_prefix(evidence)) is not None:
            return self._failed(trace, lost, usage)
        last = outcome(trace)
        rates = [*(e.value for e in evidence), float(last.correct) if last.decided else None]
        if all(rate is None for rate in rates):
            reason = f"no rollout and no answer could be graded: {last.reason}"
            return self._failed(trace, ItemError("undecided", reason), usage)
        hard = [None if rate is None else float(rate > 0) for rate in rates]
        known = [label for label in hard if label is not None]
        flags = rollout_flags(evidence)
        if any(a < b for a, b in pairwise(known)):
            flags = (*flags, "not-monotone")
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=tuple(hard if self.target == "hard" else rates),
            counts=(*(e.counts for e in evidence), None),
            undecided=sum(e.undecided + e.failed for e in evidence),
            first_error=first_below(hard, 0.5),
            flags=flags,
            usage=usage,
        )

    def _failed(self, trace: Trace, error: ItemError, usage: Ledger | None = None) -> Judgement:
        return Judgement(trace.id, self.question, self.source, None, usage=usage or Ledger(), error=error)
