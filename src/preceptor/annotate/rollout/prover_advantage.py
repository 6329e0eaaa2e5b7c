"""Process advantages (PAV, arXiv 2410.08146): by how much did a step change the chance of success of a *prover*?

A_t = Q(t) - Q(t-1), Q the success rate of a prover from the first t steps, of the bare problem for t = 0 and the
grade for t = T; so advantages sum to grade - Q(0). Under the policy itself they say nothing that Q does not; the
cheap provers are best-of-n of it, Q = 1 - (1 - Q_pi)^n, from the policy's own rollouts (n = 4, from memory).

Cost: K T rollouts, K of them shared by the traces of a problem. The number of rollouts is not found; K = 8. The
variance of a rate about doubles in the difference, and best-of-n of an estimated rate is biased low. Left out:
the effective reward Q + alpha A (`rules.effective_rewards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Evidence, MonteCarlo, lost_prefix, outcome, tally
from preceptor.annotate.rollout.rounds import at_root, labelled, to_first_zero
from preceptor.annotate.rules import advantages, outcome_target
from preceptor.errors import InputError, ItemError
from preceptor.generation import Policy
from preceptor.judgement import Judgement, Question
from preceptor.trace import Trace


@dataclass(frozen=True)
class ProverAdvantage(RolloutAnnotator):
    """Scorer of progress, in [-1, 1]; None next to a prefix without a decided rollout.

    `counts` are of whoever rolled out, before best-of-n. No first error is stated: an advantage below 0 is a
    loss, not yet an error.
    """

    name: ClassVar[str] = "prover-advantage"
    cost: ClassVar[str] = "K rollouts per problem and K (T - 1) per trace"
    question: ClassVar[Question] = Question.PROGRESS

    prover: Policy | int = 4
    """n: best of n of the policy. Or another policy, which then rolls out in place of `policy`."""
    first_pit: bool = False
    """Stop on wrong traces after the first prefix of value 0 (published, from memory). Steps after it have no
    advantage then, and the sum is no longer known."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.prover, int) and self.prover < 1:
            raise InputError(f"prover: got {self.prover}, expected a policy or at least 1, for best of 1.")

    @cached_property
    def monte_carlo(self) -> MonteCarlo:
        who = self.policy if isinstance(self.prover, int) else self.prover
        return MonteCarlo(who, self.rollouts, self.sampling, self.store, self.seed)

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """All prefixes in one batched call after the bare problems; with `first_pit`, wrong traces in rounds."""
        roots = [tally(rollouts) for rollouts in at_root(self.monte_carlo, traces, self.rollouts)]
        pits = [self.first_pit and _wrong(trace) for trace in traces]
        stopped = [trace for trace, pit in zip(traces, pits, strict=True) if pit]
        whole = [trace for trace, pit in zip(traces, pits, strict=True) if not pit]
        walks = iter(to_first_zero(self.monte_carlo, stopped, [self.rollouts] * len(stopped)))
        points = [(trace, t) for trace in whole for t in range(1, len(trace.steps))]
        drawn = iter(self.monte_carlo.evidence(points))
        return [
            self._judge(trace, root, next(walks) if pit else [next(drawn) for _ in trace.steps[1:]])
            for trace, root, pit in zip(traces, roots, pits, strict=True)
        ]

    def _judge(self, trace: Trace, root: Evidence, evidence: list[Evidence]) -> Judgement:
        found = {0: root, **dict(enumerate(evidence, start=1))}
        if (lost := lost_prefix(list(found.values()))) is not None:
            return self.failed(trace, lost, list(found.values()))
        last = outcome(trace)
        unasked: list[float | None] = [None] * (len(trace.steps) - 1 - len(evidence))
        values = [*(e.value for e in evidence), *unasked, outcome_target(last)]
        gains = advantages(values, root.value, prover_k=self.prover if isinstance(self.prover, int) else 1)
        if all(gain is None for gain in gains):
            reason = f"no step has two known values: {last.reason}"
            return self.failed(trace, ItemError("undecided", reason), list(found.values()))
        if not unasked:
            return labelled(self, trace, gains, found, None)
        ended = "stopped-at-pit" if evidence[-1].value == 0 else "undecided-probe"
        return labelled(self, trace, gains, found, None, ended)


def _wrong(trace: Trace) -> bool:
    last = outcome(trace)
    return last.decided and not last.correct
