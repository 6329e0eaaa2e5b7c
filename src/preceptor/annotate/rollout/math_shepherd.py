"""Math-Shepherd (arXiv 2312.08935): a step is as good as the chance to finish right from it.

K rollouts from every proper prefix; hard label: any of them is right; soft label: the rate. The last step is
not rolled out: its label is the grade of the trace. Cost: exactly K (T - 1) continuations per trace of T
steps. Our deviation: undecided rollouts are left out of the rate and counted, where the original counts them
as wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from preceptor.annotate.rollout.base import RolloutAnnotator, spent
from preceptor.annotate.rollout.montecarlo import Evidence, lost_prefix, outcome, rollout_flags
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, first_below
from preceptor.trace import Trace


@dataclass(frozen=True)
class MathShepherd(RolloutAnnotator):
    """Scorer of value by rollouts at every step.

    `scores[t]` is the hard (0 or 1) or soft label; None where every rollout was undecided. `first_error` is
    the first step whose *hard* label is 0, whatever the target; None when a step before it is unknown. Labels
    need not be monotone: (1, 0, 1) is kept as found and flagged `"not-monotone"`, with `first_error` 1.

    `rollouts` is 8 as published. The paper's temperature is not known; 0.7 is common in its successors.
    """

    name: ClassVar[str] = "math-shepherd"
    cost: ClassVar[str] = "K (T - 1) rollouts"

    target: Literal["hard", "soft"] = "hard"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target not in ("hard", "soft"):
            raise InputError(f"target: got {self.target!r}, expected 'hard' or 'soft'")

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        points = [(trace, t) for trace in traces for t in range(1, len(trace.steps))]
        evidence = iter(self.monte_carlo.evidence(points))
        return [self._judge(trace, [next(evidence) for _ in trace.steps[1:]]) for trace in traces]

    def _judge(self, trace: Trace, evidence: list[Evidence]) -> Judgement:
        if (lost := lost_prefix(evidence)) is not None:
            return self.failed(trace, lost, evidence)
        last = outcome(trace)
        rates = [*(e.value for e in evidence), float(last.correct) if last.decided else None]
        if all(rate is None for rate in rates):
            reason = f"no rollout and no answer could be graded: {last.reason}"
            return self.failed(trace, ItemError("undecided", reason), evidence)
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
            usage=spent(evidence),
        )
