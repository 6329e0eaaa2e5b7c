"""UnPRM (uncertainty-driven data construction): look for the first error where the policy's uncertainty jumps.

Steps of a wrong trace are visited by descending jump of uncertainty (`jump_search.py`), K rollouts each, until the
success rate, each rollout weighted by exp(mean token log-probability), is below that of the bare problem. From
that step on labels are 0, before it 1; right traces are all 1 without rollouts.

K is 48, or adaptive: of 72 rollouts of the bare problem, the least multiple of 8 (16 or more) with 10 right ones.
The threshold is the problem's rate, so a step that only lowers the chance counts as an error. Cost: K per problem,
shared, and K (visits) per wrong trace. Our deviations: from the step found it walks back while prefixes fail, for
any step after the error fails too (`backwards=False` is as published); undecided rollouts leave the rate. The
rollouts' temperature is not found; 0.7. Left out: choosing traces; other search orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.jump_search import (
    KINDS,
    JumpSearch,
    Uncertainty,
    jump_order,
    step_logprobs,
    uncertainty,
)
from preceptor.annotate.rollout.montecarlo import Evidence, Prefix, Rollout, outcome, tally
from preceptor.annotate.rollout.rounds import at_root, discarded, labelled, no_verdict, unknown
from preceptor.annotate.rules import copy_outcome, first_error_targets, weighted_success
from preceptor.errors import InputError, ItemError
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.trace import Grade, Trace

FIRST, ENOUGH, MULTIPLE, LEAST = 72, 10, 8, 16
"""Adaptive K: rollouts of the bare problem, right ones wanted, K is a multiple of, and at least."""
ROUNDING = 1e-9
"""Equal weighted rates can differ by less than this."""


@dataclass(frozen=True)
class UnPRM(RolloutAnnotator):
    """Scorer of value, hard: 1 before the step found, 0 from it on.

    Needs log-probabilities of the trace and of the rollouts: `"no-logprobs"` where they are missing. A problem
    that the policy does not solve (adaptive: in more than 10 of 72) is left out: `"unsolved-problem"`, with
    the flag `"discarded"`. `counts` are of rollouts unweighted, at visited prefixes.
    """

    name: ClassVar[str] = "unprm"
    cost: ClassVar[str] = "K rollouts per problem and K per visited step of a wrong trace"

    rollouts: int = 48
    adaptive: bool = False
    """Choose K by problem, in place of `rollouts`."""
    uncertainty: Uncertainty = "entropy"
    backwards: bool = True
    """From the step found, walk back to the first of the failing ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uncertainty not in KINDS:
            raise InputError(f"uncertainty: got {self.uncertainty!r}, expected one of {', '.join(KINDS)}")

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One batched call for the problems of wrong traces, then one per round of all searches together."""
        grades = [outcome(trace) for trace in traces]
        wrong = [i for i, last in enumerate(grades) if last.decided and not last.correct]
        orders = {i: order for i in wrong if (order := self.order(traces[i])) is not None}
        count = FIRST if self.adaptive else self.rollouts
        roots = at_root(self.monte_carlo, [traces[i] for i in orders], count)
        cases = {i: _Case(self, traces[i], root, orders[i]) for i, root in zip(orders, roots, strict=True)}
        while active := [case for case in cases.values() if case.probe is not None]:
            points = [(case, case.probe) for case in active if case.probe is not None]
            prefixes = [Prefix.of(case.trace, t) for case, t in points]
            drawn = self.monte_carlo.draw(prefixes, [range(case.rollouts) for case in active])
            for (case, t), rollouts in zip(points, drawn, strict=True):
                case.observe(t, rollouts)
        return [
            cases[i].judgement() if i in cases else self._unsearched(trace, last)
            for i, (trace, last) in enumerate(zip(traces, grades, strict=True))
        ]

    def _unsearched(self, trace: Trace, last: Grade) -> Judgement:
        if (error := no_verdict(last)) is not None:
            return self.failed(trace, error)
        if not last.correct:
            reason = "the trace has no log-probabilities: sample with a local policy"
            return self.failed(trace, ItemError("no-logprobs", reason))
        return labelled(self, trace, copy_outcome(1.0, len(trace.steps)), {}, NO_ERROR, "assumed-correct")

    def rollouts_for(self, root: Sequence[Rollout]) -> int | None:
        """K at each prefix of a problem, from the rollouts of it alone; None to leave the problem out."""
        rights = [r.right is True for r in root]
        if not self.adaptive:
            return self.rollouts if any(rights) else None
        if sum(rights) <= ENOUGH:
            return None
        return next(k for k in range(LEAST, FIRST + 1, MULTIPLE) if sum(rights[:k]) >= ENOUGH)

    def order(self, trace: Trace) -> list[int] | None:
        """Prefix lengths to visit; None where that takes log-probabilities that the trace does not have."""
        if len(trace.steps) <= 3:
            return list(range(2, len(trace.steps)))
        tokens = step_logprobs(trace)
        return None if tokens is None else jump_order([uncertainty(t, self.uncertainty) for t in tokens])


class _Case:
    """One wrong trace, the rate of its problem and its search."""

    def __init__(self, by: UnPRM, trace: Trace, root: list[Rollout], order: list[int]):
        self.by, self.trace = by, trace
        self.found: dict[int, Evidence] = {0: tally(root)}
        self.skipped = False
        self.threshold = 0.0
        self.rollouts = by.rollouts_for(root) or 0
        self.search = JumpSearch(order, len(trace.steps), by.backwards)
        self.error = unknown(self.found[0], "the bare problem")
        if self.error is None and not self.rollouts:
            self.skipped = True
            hits, trials = self.found[0].counts
            reason = f"the policy solved the problem in {hits} of {trials} rollouts"
            self.error = ItemError("unsolved-problem", reason)
        if self.error is None:
            self.threshold = self._rate(root)

    @property
    def probe(self) -> int | None:
        return None if self.error is not None else self.search.probe

    def observe(self, t: int, rollouts: list[Rollout]) -> None:
        self.found[t] = tally(rollouts)
        self.error = unknown(self.found[t], f"{t} steps")
        if self.error is None:
            rate = self._rate(rollouts)
            if self.error is None:
                self.search.observe(t, fails=rate < self.threshold - ROUNDING)

    def _rate(self, rollouts: list[Rollout]) -> float:
        """Weighted success; sets the error where a decided rollout has no log-probabilities."""
        weighed = []
        for rollout in rollouts:
            logprobs = rollout.continuation.logprobs
            if rollout.right is None:
                continue
            if logprobs is None:
                reason = "the policy gives no log-probabilities of its rollouts, which weigh them"
                self.error = ItemError("no-logprobs", reason)
                return 0.0
            weighed.append((sum(logprobs) / max(len(logprobs), 1), rollout.right))
        return weighted_success(weighed) or 0.0

    def judgement(self) -> Judgement:
        evidence = list(self.found.values())
        if self.error is not None and self.skipped:
            return discarded(self.by, self.trace, self.error, evidence)
        if self.error is not None:
            return self.by.failed(self.trace, self.error, evidence)
        error = self.search.first_error
        labels = first_error_targets(error, len(self.trace.steps), policy="wrong")
        return labelled(self.by, self.trace, labels, self.found, error)
