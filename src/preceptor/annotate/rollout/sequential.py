"""Math-Shepherd up to the first zero: walk along the trace, and stop at the first prefix that no rollout saves.

Hard labels of Math-Shepherd (arXiv 2312.08935) up to the first error, at a cost that the error's place sets: K
rollouts at 1, 2, ... steps until none of K is right. The last step is graded. A false zero, of chance
(1 - p)^K at a prefix of true value p, cuts the trace. Cost: K min(e + 1, T - 1), e = T without an error. Our
deviation: a prefix without a decided rollout ends the walk as unknown. Left out: labels after the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Evidence, lost_prefix, outcome
from preceptor.annotate.rollout.rounds import labelled, to_first_zero
from preceptor.annotate.rules import any_success, outcome_target
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, first_below
from preceptor.trace import Trace


@dataclass(frozen=True)
class StopAtZero(RolloutAnnotator):
    """Scorer of value, sequential and hard.

    `scores` is 1 before the first error, 0 at it, None after it. A trace with the right answer that has a prefix
    of value 0 contradicts its own ending: the zero stands, with the flag `"monotone-violation"`. A walk
    that ended at an undecided prefix has the flag `"undecided-probe"` and no known first error.
    """

    name: ClassVar[str] = "stop-at-zero"
    cost: ClassVar[str] = "K min(e + 1, T - 1) rollouts"

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One batched call per step of all traces together."""
        walks = to_first_zero(self.monte_carlo, traces, [self.rollouts] * len(traces))
        return [self._judge(trace, evidence) for trace, evidence in zip(traces, walks, strict=True)]

    def _judge(self, trace: Trace, evidence: list[Evidence]) -> Judgement:
        if (lost := lost_prefix(evidence)) is not None:
            return self.failed(trace, lost, evidence)
        last, steps = outcome(trace), len(trace.steps)
        labels = [any_success(e.counts) for e in evidence]
        survived = len(labels) == steps - 1 and all(labels)
        labels += [None] * (steps - len(labels))
        if survived:
            labels[-1] = outcome_target(last)
        if all(label is None for label in labels):
            reason = f"no rollout and no answer could be graded: {last.reason}"
            return self.failed(trace, ItemError("undecided", reason), evidence)
        flags = []
        if evidence and evidence[-1].value is None:
            flags.append("undecided-probe")
        if last.correct and 0.0 in labels:
            flags.append("monotone-violation")
        found = dict(enumerate(evidence, start=1))
        return labelled(self, trace, labels, found, first_below(labels, 0.5), *flags)
