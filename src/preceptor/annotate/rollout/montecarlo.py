"""Monte Carlo evidence at prefixes: continue, grade, count. Shared by every annotator that rolls out.

A rollout is undecided when its grade is, or when the token limit cut it before its answer; it failed when the
policy did. None of these counts as wrong. Rollouts are asked for through `preceptor.store.complete`, numbered by
their draw, so annotators with the same policy, sampling and seed share them, and more draws repeat none. Left
out: how many rollouts are worth their cost (the annotators decide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.grade import GRADERS, grade, grade_many
from preceptor.policy.sample import tokens_until, trace_of
from preceptor.store import Store, complete
from preceptor.trace import Finish, Grade, Problem, Trace
from preceptor.usage import Usage

ROLLOUT_SAMPLING = Sampling(temperature=0.7, max_tokens=1024)
"""The default of all rollout annotators, so that they share rollouts."""


@dataclass(frozen=True)
class Prefix:
    """Where rollouts start: the first characters of an attempt, or nothing of it."""

    problem: Problem
    text: str = ""
    earlier: Trace | None = field(default=None, compare=False, repr=False)
    """A trace that begins with `text`: it gives the sampled ids."""

    @classmethod
    def of(cls, trace: Trace, t: int) -> Prefix:
        """The first `t` steps of a trace; the bare problem for 0."""
        return cls(trace.problem, trace.prefix(t), trace if t else None)

    def ids(self, policy: str) -> tuple[int, ...] | None:
        """Ids of the sampled tokens of `text`, if the policy with this fingerprint wrote them and one ends
        there."""
        if self.earlier is None or self.earlier.policy != policy or self.earlier.token_ids is None:
            return None
        count = tokens_until(self.earlier, len(self.text))
        return None if count is None else self.earlier.token_ids[:count]


@dataclass(frozen=True)
class Rollout:
    """One continuation of a prefix, graded."""

    prefix: Prefix
    request: Request
    continuation: Continuation
    grade: Grade
    """Of prefix and continuation together."""
    policy: str
    """Fingerprint of who wrote it."""

    @property
    def right(self) -> bool | None:
        """None when undecided: not gradable, failed, or cut by the limit before an answer."""
        cut = self.continuation.finish is Finish.LENGTH and self.grade.answer is None
        return self.grade.correct if self.grade.decided and not cut else None

    @cached_property
    def trace(self) -> Trace:
        """Prefix and continuation as one trace, cut into steps."""
        r = self.request
        return trace_of(
            r.problem,
            self.continuation,
            r.prefix,
            earlier=self.prefix.earlier,
            policy=self.policy,
            seed=r.seed,
            draw=r.draw,
        )


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

    def draw(self, prefixes: Sequence[Prefix], draws: Sequence[range] | None = None) -> list[list[Rollout]]:
        """Rollouts from each prefix, in one batched call: the draws named (0..`rollouts`-1 unless told).

        A draw that several places ask for is generated once; the first of them carries the cost.
        """
        wanted = draws if draws is not None else [range(self.rollouts)] * len(prefixes)
        fingerprint = self.policy.fingerprint
        places = [(p, k) for p, ks in zip(prefixes, wanted, strict=True) for k in ks]
        ids = {id(p): p.ids(fingerprint) for p in prefixes}
        asked = [Request(p.problem, p.text, ids[id(p)], k, self.seed, self.sampling) for p, k in places]
        answers = complete(self.policy, asked, self.store, unit=self.unit)
        texts = [(r.problem, r.prefix + a.text) for r, a in zip(asked, answers, strict=True)]
        grades = grade_many(texts, [a.finish for a in answers])
        found = iter(zip(places, asked, answers, grades, strict=True))
        return [
            [Rollout(p, r, a, g, fingerprint) for (p, _), r, a, g in (next(found) for _ in ks)]
            for ks in wanted
        ]

    def evidence(self, points: Sequence[tuple[Trace, int]]) -> list[Evidence]:
        """Evidence at each (trace, t): the prefix of the first t steps; 0 is the bare problem."""
        return [tally(rollouts) for rollouts in self.draw([Prefix.of(trace, t) for trace, t in points])]


def tally(rollouts: Sequence[Rollout]) -> Evidence:
    """Counts and cost of the rollouts of one prefix."""
    rights = [r.right for r in rollouts]
    finishes = [r.continuation.finish for r in rollouts]
    trials, failed = sum(right is not None for right in rights), finishes.count(Finish.ERROR)
    return Evidence(
        successes=rights.count(True),
        trials=trials,
        undecided=len(rollouts) - trials - failed,
        failed=failed,
        truncated=finishes.count(Finish.LENGTH),
        usage=sum((r.continuation.usage for r in rollouts), Usage()),
    )


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
    if trace.sampled is not None or any(step.observation is not None for step in trace.steps):
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
