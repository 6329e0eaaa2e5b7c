"""Monte Carlo evidence at the prefixes of traces: continue, grade, count. Shared by every rollout annotator.

A rollout is undecided when its grade is, or when the token limit cut it before its answer; it failed when the
policy did. None of these counts as wrong. Rollouts are asked for through `preceptor.store.complete`, with
draws 0..K-1 of one seed, so annotators with the same policy, sampling and seed share them. Left out: how many
rollouts are worth their cost (the annotators decide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.grade import GRADERS, grade, grade_many
from preceptor.store import Store, complete
from preceptor.trace import Finish, Grade, Trace
from preceptor.usage import Usage

ROLLOUT_SAMPLING = Sampling(temperature=0.7, max_tokens=1024)
"""The default of all rollout annotators, so that they share rollouts."""


@dataclass(frozen=True)
class Evidence:
    """What the rollouts from one prefix showed."""

    successes: int
    trials: int
    """Rollouts with a decided grade."""
    undecided: int
    failed: int
    """Rollouts the policy could not give."""
    truncated: int
    """Rollouts that ended at the token limit, whatever their grade."""
    usage: Usage

    @property
    def value(self) -> float | None:
        """Rate of success among decided rollouts; None without any."""
        return self.successes / self.trials if self.trials else None

    @property
    def counts(self) -> tuple[int, int]:
        return (self.successes, self.trials)


@dataclass(frozen=True)
class MonteCarlo:
    """`rollouts` continuations from each prefix asked about, all in one batched call."""

    policy: Policy
    rollouts: int = 8
    sampling: Sampling = field(default_factory=lambda: ROLLOUT_SAMPLING)
    store: Store | None = None
    seed: int = 0
    unit: int = 256

    def __post_init__(self) -> None:
        if self.rollouts < 1:
            raise InputError(f"rollouts: got {self.rollouts}, expected at least 1 for each prefix")
        if self.sampling.temperature == 0 and self.rollouts > 1:
            raise InputError(
                f"rollouts: got {self.rollouts} at temperature 0, which are all the same. Give a "
                "temperature above 0 or rollouts=1."
            )
        if self.sampling.stop:
            raise InputError(
                f"sampling: got stop={self.sampling.stop}, expected none: a rollout must reach its answer. "
                "Drop it."
            )

    def evidence(self, points: Sequence[tuple[Trace, int]]) -> list[Evidence]:
        """Evidence at each (trace, t): the prefix of the first t steps, 1 <= t. A prefix that several points
        share is rolled out once; the first of them carries the cost."""
        asked = [self._requests(trace, t) for trace, t in points]
        flat = [request for requests in asked for request in requests]
        answers = complete(self.policy, flat, self.store, unit=self.unit)
        texts = [(r.problem, r.prefix + a.text) for r, a in zip(flat, answers, strict=True)]
        grades = grade_many(texts, [a.finish for a in answers])
        starts = range(0, len(flat), self.rollouts)
        return [_tally(answers[i : i + self.rollouts], grades[i : i + self.rollouts]) for i in starts]

    def _requests(self, trace: Trace, t: int) -> list[Request]:
        end = trace.steps[t - 1].end
        ids = _prefix_ids(trace, end) if trace.policy == self.policy.fingerprint else None
        return [
            Request(trace.problem, trace.text[:end], ids, draw, self.seed, self.sampling)
            for draw in range(self.rollouts)
        ]


def outcome(trace: Trace) -> Grade:
    """The grade of the trace: its own, or made now."""
    return trace.grade or grade(trace.problem, trace.text, finish=trace.finish)


def obstacle(trace: Trace) -> ItemError | None:
    """Why rollouts cannot judge this trace, if they cannot."""
    if trace.error is not None:
        return ItemError("failed-trace", f"sampling failed: {trace.error.kind}: {trace.error.message}")
    if not trace.steps:
        return ItemError("no-steps", "the trace has no steps")
    rules = GRADERS.get(trace.problem.grader)
    if rules is not None and rules.needs_gold and not (trace.problem.gold or "").strip():
        return ItemError("no-gold", "the problem has no gold answer, so no rollout can be graded")
    if any(step.observation is not None for step in trace.steps):
        return ItemError("needs-environment", "the steps carry observations: text alone cannot be continued")
    return None


def rollout_flags(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """`"failed-rollouts"` and `"truncated-rollouts"`, where there were any."""
    named = {
        "failed-rollouts": any(e.failed for e in evidence),
        "truncated-rollouts": any(e.truncated for e in evidence),
    }
    return tuple(name for name, present in named.items() if present)


def lost_prefix(evidence: Sequence[Evidence]) -> ItemError | None:
    """A prefix is lost when failures left it without one decided rollout; worth another try later."""
    lost = [e for e in evidence if e.failed and not e.trials]
    if not lost:
        return None
    return ItemError(
        "rollouts-failed",
        f"the policy failed on {sum(e.failed for e in lost)} rollouts; {len(lost)} prefixes have none",
    )


def _prefix_ids(trace: Trace, end: int) -> tuple[int, ...] | None:
    """Ids of the sampled tokens before `end`, if a token ends exactly there."""
    if trace.token_ids is None or trace.token_ends is None or end not in trace.token_ends:
        return None
    last = len(trace.token_ends) - 1 - trace.token_ends[::-1].index(end)
    return trace.token_ids[: last + 1]


def _tally(answers: Sequence[Continuation], grades: Sequence[Grade]) -> Evidence:
    successes = trials = failed = truncated = 0
    usage = Usage()
    for answer, found in zip(answers, grades, strict=True):
        usage += answer.usage
        failed += answer.finish is Finish.ERROR
        truncated += answer.finish is Finish.LENGTH
        cut = answer.finish is Finish.LENGTH and found.answer is None
        trials += found.decided and not cut
        successes += found.correct
    return Evidence(successes, trials, len(answers) - trials - failed, failed, truncated, usage)
