"""Relative progress labels (GenPRM, arXiv 2504.00891): a step is right if it keeps enough of the chance of success.

P_t = MC(t) / MC(t-1), right if at least 0.8; MC(0) is of the bare problem, under the policy that completes. After
the first 0 everything is 0; the last value is the grade. The ratio is noisy where MC(t-1) is small, so hard
problems get more rollouts: 128 at a prefix where MC(0) < 0.1, 64 below 0.9, 32 from there on, at temperature 0.7.

Cost: N per problem, shared, and K min(z, T - 1) per trace, z the first prefix of value 0: what comes after cannot
change a label, so unlike the published K (T - 1) it is not asked for. N is not found; 128 is ours. Our
deviation: undecided rollouts leave the rate. Left out: choosing traces; the judge that must agree on every label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Evidence, lost_prefix, outcome, tally
from preceptor.annotate.rollout.rounds import at_root, discarded, labelled, to_first_zero, unknown
from preceptor.annotate.rules import outcome_target, progress_labels
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, first_below
from preceptor.trace import Trace


@dataclass(frozen=True)
class RelativeProgress(RolloutAnnotator):
    """Scorer of progress, 0 or 1; labels can rise again after an error, `first_error` is the first 0.

    A problem that the policy never solves has no ratios: its traces are left out with the error
    `"unsolved-problem"` and the flag `"discarded"`. A walk that ended at an undecided prefix has the flag
    `"undecided-probe"`.
    """

    name: ClassVar[str] = "relative-progress"
    cost: ClassVar[str] = (
        "N rollouts per problem and K min(z, T - 1) per trace, z its first zero, K by difficulty"
    )
    question: ClassVar[Question] = Question.PROGRESS

    rollouts: int = 128
    """N, for MC(0)."""
    levels: tuple[tuple[float, int], ...] = ((0.0, 128), (0.1, 64), (0.9, 32))
    """(MC(0) from here on, K at each prefix)."""
    epsilon: float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        starts = [start for start, _ in self.levels]
        if starts[:1] != [0.0] or starts != sorted(set(starts)) or any(k < 1 for _, k in self.levels):
            raise InputError(
                f"levels: got {self.levels}, expected pairs (MC(0) from here on, K) that begin at 0.0 and rise, "
                "each K at least 1."
            )
        progress_labels((), None, epsilon=self.epsilon)  # refuses an epsilon that makes no sense

    def rollouts_at(self, root: float) -> int:
        """K at each prefix of a problem with this MC(0)."""
        return [k for start, k in self.levels if start <= root][-1]

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One batched call for all problems, then one per step of all traces together."""
        roots = [tally(rollouts) for rollouts in at_root(self.monte_carlo, traces, self.rollouts)]
        walked = [(trace, root.value) for trace, root in zip(traces, roots, strict=True) if root.value]
        counts = [self.rollouts_at(value) for _, value in walked]
        walks = iter(to_first_zero(self.monte_carlo, [trace for trace, _ in walked], counts))
        return [
            self._judge(trace, root, next(walks)) if root.value else self._unsolved(trace, root)
            for trace, root in zip(traces, roots, strict=True)
        ]

    def _unsolved(self, trace: Trace, root: Evidence) -> Judgement:
        if (error := unknown(root, "the bare problem")) is not None:
            return self.failed(trace, error, [root])
        reason = f"the policy solved the problem in none of {root.trials} rollouts: nothing to progress from"
        return discarded(self, trace, ItemError("unsolved-problem", reason), [root])

    def _judge(self, trace: Trace, root: Evidence, evidence: list[Evidence]) -> Judgement:
        found = {0: root, **dict(enumerate(evidence, start=1))}
        if (lost := lost_prefix(evidence)) is not None:
            return self.failed(trace, lost, list(found.values()))
        last = outcome(trace)
        unasked: list[float | None] = [None] * (len(trace.steps) - 1 - len(evidence))
        values = [*(e.value for e in evidence), *unasked, outcome_target(last)]
        labels = progress_labels(values, root.value, epsilon=self.epsilon)
        if all(label is None for label in labels):
            reason = f"no step has two known values: {last.reason}"
            return self.failed(trace, ItemError("undecided", reason), list(found.values()))
        flags = []
        if evidence and evidence[-1].value is None:
            flags.append("undecided-probe")
        if last.correct and any(e.value == 0 for e in evidence):
            flags.append("monotone-violation")
        return labelled(self, trace, labels, found, first_below(labels, 0.5), *flags)
