"""SCAN: label wrong traces of the problems that the policy is good at, softly just before the error.

"Self-denoising Monte Carlo annotation" (title from memory; code: yyDing1/SCAN-PRM). N samples of the bare problem
give the self-confidence SC(x); problems below a threshold are left out, for there a zero says more of the policy
than of the step. Right traces are all 1 without rollouts. Wrong ones are rolled out step by step to the first
zero; the targets just before it are min(c_t / (K SC), 1) and end with it.

Published: N = 128 at temperature 1.0, 2048 tokens; SC >= 0.75; K = 8; d = 2. Cost: N per problem, shared by its
traces (and by `sample` with the same sampling, seed and store), and K (e + 1) per wrong trace. The rollouts'
temperature is not found; that of the samples, so that both numbers of the ratio are of one distribution. Our
deviation: undecided rollouts leave SC and rates; a trace whose walk meets an undecided prefix has no labels.
Left out: equal numbers of right and wrong traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Evidence, outcome, tally
from preceptor.annotate.rollout.rounds import (
    at_root,
    discarded,
    labelled,
    no_verdict,
    to_first_zero,
    unknown,
)
from preceptor.annotate.rules import copy_outcome, scan_targets
from preceptor.errors import InputError, ItemError
from preceptor.generation import Sampling
from preceptor.grade import grade
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.trace import Grade, Trace


@dataclass(frozen=True)
class Scan(RolloutAnnotator):
    """Scorer of value; its scores are targets, soft just before the error and None after it.

    Left out on purpose, with the flag `"discarded"` and one of these errors: `"low-self-confidence"` (the
    problem), `"no-answer"` (the trace gives none), `"no-zero"` (a wrong trace of which every prefix survives).
    `counts` are those of the walk.
    """

    name: ClassVar[str] = "scan"
    cost: ClassVar[str] = "N rollouts per problem and K (e + 1) per wrong trace"

    samples: int = 128
    """N, from the bare problem."""
    threshold: float = 0.75
    """The least self-confidence of a problem that is kept."""
    distance: int = 2
    """d: this many steps before the error have soft targets."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0, max_tokens=2048))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1 or not 0 < self.threshold <= 1 or self.distance < 0:
            raise InputError(
                f"scan: got samples={self.samples}, threshold={self.threshold}, distance={self.distance}, "
                "expected at least 1 sample, a threshold in (0, 1] and a distance of 0 or more."
            )

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One batched call for all problems, then one per step of all wrong traces together."""
        roots = [tally(rollouts) for rollouts in at_root(self.monte_carlo, traces, self.samples)]
        cases = [(trace, root, outcome(trace)) for trace, root in zip(traces, roots, strict=True)]
        early = [self._without_rollouts(*case) for case in cases]
        wrong = [trace for trace, done in zip(traces, early, strict=True) if done is None]
        walks = iter(to_first_zero(self.monte_carlo, wrong, [self.rollouts] * len(wrong)))
        return [
            self._walked(trace, root, next(walks)) if done is None else done
            for (trace, root, _), done in zip(cases, early, strict=True)
        ]

    def _without_rollouts(self, trace: Trace, root: Evidence, last: Grade) -> Judgement | None:
        """What needs no walk: filtered, right, or wrong in its only step."""
        if (error := unknown(root, "the bare problem") or no_verdict(last)) is not None:
            return self.failed(trace, error, [root])
        confidence = root.value or 0.0
        if confidence < self.threshold:
            reason = f"self-confidence {confidence:.3f} is below {self.threshold:g}"
            return discarded(self, trace, ItemError("low-self-confidence", reason), [root])
        steps = len(trace.steps)
        if last.correct:
            return labelled(self, trace, copy_outcome(1.0, steps), {0: root}, NO_ERROR, "assumed-correct")
        if last.answer is None and grade(trace.problem, trace.text).answer is None:
            return discarded(self, trace, ItemError("no-answer", "the trace gives no answer"), [root])
        return labelled(self, trace, (0.0,), {0: root}, 0) if steps == 1 else None

    def _walked(self, trace: Trace, root: Evidence, evidence: list[Evidence]) -> Judgement:
        found = {0: root, **dict(enumerate(evidence, start=1))}
        if (error := unknown(evidence[-1], f"{len(evidence)} steps")) is not None:
            return self.failed(trace, error, list(found.values()))
        targets = scan_targets([e.value for e in evidence], root.value or 0.0, distance=self.distance)
        if targets is None:
            reason = "the answer is wrong, but every prefix reached the right one"
            return discarded(self, trace, ItemError("no-zero", reason), list(found.values()))
        rest = (None,) * (len(trace.steps) - len(targets))
        return labelled(self, trace, (*targets, *rest), found, len(targets) - 1)
