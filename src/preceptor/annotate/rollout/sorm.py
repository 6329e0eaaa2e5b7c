"""SORM labels (GLoRe, arXiv 2402.10963): a step is right if any rollout reaches the answer *by using it*.

K rollouts at every proper prefix, K = 8 (from memory). A right rollout counts for a step only if the step's last
number stands in what it wrote: one that starts again from scratch would validate every step. A right step makes
all before it right, so labels never rise and name one first error. The last step is graded.

Cost: K (T - 1) rollouts. Our deviations: a trace with the right answer is not rolled out, for its last step
makes all its labels 1 whatever the rollouts say; undecided rollouts are no evidence. Left out: as many right as
wrong labels at each position (`rules.balance_positions`, over a data set); results that are no numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Prefix, Rollout, lost_prefix, outcome, tally
from preceptor.annotate.rollout.rounds import labelled
from preceptor.annotate.rules import outcome_target, propagate, used_success
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, first_below
from preceptor.trace import Grade, Trace


@dataclass(frozen=True)
class StepwiseORM(RolloutAnnotator):
    """Scorer of value under the best continuation seen: 0 or 1, never rising along the trace.

    `counts` are of right rollouts, whether or not they used the step; `"unused-result"` flags a trace in which
    a prefix had right rollouts but none that used its last step. A step is None where no rollout was decided and
    no later step is right.
    """

    name: ClassVar[str] = "sorm"
    cost: ClassVar[str] = "K (T - 1) rollouts, 0 for a right answer"

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """All prefixes of all traces in one batched call."""
        cases = [(trace, outcome(trace)) for trace in traces]
        lengths = [0 if last.correct else len(trace.steps) - 1 for trace, last in cases]
        prefixes = [
            Prefix.of(trace, t) for trace, n in zip(traces, lengths, strict=True) for t in range(1, n + 1)
        ]
        drawn = iter(self.monte_carlo.draw(prefixes))
        return [
            self._judge(trace, last, [next(drawn) for _ in range(n)])
            for (trace, last), n in zip(cases, lengths, strict=True)
        ]

    def _judge(self, trace: Trace, last: Grade, drawn: list[list[Rollout]]) -> Judgement:
        evidence = [tally(rollouts) for rollouts in drawn]
        if (lost := lost_prefix(evidence)) is not None:
            return self.failed(trace, lost, evidence)
        used = [
            used_success(step, [(r.continuation.text, r.right) for r in rollouts])
            for step, rollouts in zip(trace.step_texts, drawn, strict=False)
        ]
        unrolled: list[float | None] = [None] * (len(trace.steps) - 1 - len(used))
        labels = propagate([*used, *unrolled, outcome_target(last)])
        if all(label is None for label in labels):
            reason = f"no rollout and no answer could be graded: {last.reason}"
            return self.failed(trace, ItemError("undecided", reason), evidence)
        flags = ["assumed-correct"] if last.correct else []
        if any(label == 0 and e.successes for label, e in zip(used, evidence, strict=True)):
            flags.append("unused-result")
        found = dict(enumerate(evidence, start=1))
        return labelled(self, trace, labels, found, first_below(labels, 0.5), *flags)
