"""From the value of prefixes to the progress of steps: differences, ratios, and a stronger prover.

    StepProgress    A_t = Q_t - Q_{t-1} (process advantage, PAV: Rewarding Progress), or GenPRM's relative
                    progress P_t = Q_t / Q_{t-1}
    BestOfK         Q of the best of K samples of the same policy, 1 - (1 - Q)^K: a prover for free
    AdvantageScore  PAV's search score Q_t + alpha * A_t, A under a prover

Q_0, the chance of success before the first step, is a setting: a number, a callable with a `fingerprint`
(`PassRate` estimates it from graded traces), or None: unknown, and then the first step has no progress.
Differences telescope, sum A_t = Q_T - Q_0; a prover that always or never succeeds gives A = 0 everywhere.

GenPRM's rules for the ratio: 0 where Q_{t-1} = 0, and once a step has Q = 0 every later Q counts as 0. Its
label is P_t >= 0.8. A start of 0 makes P_1 = 0 and is flagged `"start-zero"`; GenPRM drops such problems.
Cost: the members'. Defaults K = 4 and alpha = 0.5 are PAV's, from memory. Left out: rolling out
(`annotate`), GenPRM's choice of rollouts by difficulty.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.parts import Scores, ask, combined, names_of, scores_of
from preceptor.trace import Problem, Trace, content_id


class Estimate(Protocol):
    """The chance of success before the first step."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever an estimate may change."""
        ...

    def __call__(self, problem: Problem) -> float | None:
        """Q_0 of the problem; None where it is not known."""
        ...


Start = float | Estimate | None


@dataclass(frozen=True)
class PassRate:
    """Pass@1 of each problem: the share of right traces among those with a decided grade."""

    rates: Mapping[str, float]
    """Problem id -> rate."""

    @classmethod
    def of(cls, traces: Sequence[Trace]) -> PassRate:
        """From graded traces of the policy whose success Q is about; undecided ones do not count."""
        seen: defaultdict[str, list[bool]] = defaultdict(list)
        for trace in traces:
            if trace.grade is not None and trace.grade.decided:
                seen[trace.problem.id].append(trace.grade.correct)
        return cls({name: sum(right) / len(right) for name, right in seen.items()})

    @cached_property
    def fingerprint(self) -> str:
        return content_id("pass-rate", dict(self.rates))

    def __call__(self, problem: Problem) -> float | None:
        return self.rates.get(problem.id)


def differences(values: Scores, start: float | None) -> list[float | None]:
    """A_t = Q_t - Q_{t-1}; None where either is unknown.

    >>> differences([0.5, 0.25], 0.75)
    [-0.25, -0.25]
    """
    before = [start, *values[:-1]] if values else []
    return [None if q is None or p is None else q - p for q, p in zip(values, before, strict=True)]


def ratios(values: Scores, start: float | None) -> list[float | None]:
    """P_t = Q_t / Q_{t-1}, 0 where Q_{t-1} is 0 and after the first Q_t of 0; None where either is unknown.

    Raises InputError for a negative value.
    """
    if any(q is not None and q < 0 for q in (start, *values)):
        raise InputError(f"got values {[start, *values]}, expected success rates, which are not negative")
    out: list[float | None] = []
    before, dead = start, False
    for q in values:
        if dead or before == 0:
            out.append(0.0)
        else:
            out.append(None if q is None or before is None else q / before)
        dead = dead or q == 0
        before = q
    return out


def best_of_k(value: float, k: int) -> float:
    """1 - (1 - Q)^K: how often one of K independent tries succeeds.

    >>> round(best_of_k(0.2, 4), 4)
    0.5904
    """
    return 1.0 if value >= 1 else -math.expm1(k * math.log1p(-value))


def _need_value(scorer: Scorer) -> None:
    if scorer.question is not Question.VALUE:
        raise InputError(
            f"{scorer.source.name} answers {scorer.question.value!r}, expected a scorer of value: progress "
            "is a change of the chance of success, not of correctness."
        )


def _name(start: Start) -> object:
    return start if start is None or isinstance(start, (int, float)) else start.fingerprint


def _at(start: Start, problem: Problem) -> float | None:
    return start if start is None or isinstance(start, (int, float)) else start(problem)


def _not_a_rate(values: Scores, what: str) -> ItemError | None:
    bad = [q for q in values if q is not None and not 0 <= q <= 1]
    return ItemError("not-a-rate", f"{what}: got the value {bad[0]}, expected [0, 1]") if bad else None


@dataclass(frozen=True)
class StepProgress:
    """Scorer of progress over a scorer of value; a step next to an unknown value has no score."""

    value: Scorer
    start: Start = None
    ratio: bool = False

    question = Question.PROGRESS

    def __post_init__(self) -> None:
        _need_value(self.value)

    @cached_property
    def source(self) -> Source:
        names = names_of([self.value])
        return Source.of("step-progress", members=names, start=_name(self.start), ratio=self.ratio)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(t, j) for t, j in zip(traces, ask(self.value, traces), strict=True)]

    def _judge(self, trace: Trace, judged: Judgement) -> Judgement:
        values, start = scores_of(judged, len(trace.steps)), _at(self.start, trace.problem)
        flags = [] if start is not None or self.start is None else ["start-unknown"]
        if not self.ratio:
            return combined(self, trace, differences(values, start), [judged], flags=flags)
        if error := _not_a_rate((start, *values), "a ratio of success rates"):
            return combined(self, trace, [None] * len(values), [judged], error=error)
        flags += ["start-zero"] if start == 0 else []
        return combined(self, trace, ratios(values, start), [judged], flags=flags)


@dataclass(frozen=True)
class BestOfK:
    """Scorer of value: of the best of `k` samples of the policy that the member's value is about."""

    value: Scorer
    k: int = 4

    question = Question.VALUE

    def __post_init__(self) -> None:
        _need_value(self.value)
        if self.k < 1:
            raise InputError(f"k: got {self.k}, expected at least 1 sample")

    @cached_property
    def source(self) -> Source:
        return Source.of("best-of-k", members=names_of([self.value]), k=self.k)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(t, j) for t, j in zip(traces, ask(self.value, traces), strict=True)]

    def _judge(self, trace: Trace, judged: Judgement) -> Judgement:
        values = scores_of(judged, len(trace.steps))
        if error := _not_a_rate(values, f"best of {self.k}"):
            return combined(self, trace, [None] * len(values), [judged], error=error)
        best = [None if q is None else best_of_k(q, self.k) for q in values]
        return combined(self, trace, best, [judged])


@dataclass(frozen=True)
class AdvantageScore:
    """Scorer of quality: Q_t + alpha * A_t, with A under `prover`, or under the best of `k` without one.

    Without a prover of its own the value is asked, and paid, once. The published prover differs from the
    base policy: under the same one A only repeats what Q says of steps that share a prefix.
    """

    value: Scorer
    prover: Scorer | None = None
    alpha: float = 0.5
    k: int = 4
    start: Start = None
    """Q_0 of the prover; without a prover, of the policy itself (it goes through the best of `k` too)."""

    question = Question.QUALITY

    def __post_init__(self) -> None:
        for scorer in (self.value,) if self.prover is None else (self.value, self.prover):
            _need_value(scorer)
        if self.k < 1:
            raise InputError(f"k: got {self.k}, expected at least 1 sample")

    @cached_property
    def source(self) -> Source:
        members = [self.value] if self.prover is None else [self.value, self.prover]
        k = self.k if self.prover is None else None
        start = _name(self.start)
        return Source.of("advantage-score", members=names_of(members), alpha=self.alpha, k=k, start=start)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        own = ask(self.value, traces)
        strong = [None] * len(own) if self.prover is None else ask(self.prover, traces)
        return [self._judge(*row) for row in zip(traces, own, strong, strict=True)]

    def _judge(self, trace: Trace, own: Judgement, strong: Judgement | None) -> Judgement:
        count, start = len(trace.steps), _at(self.start, trace.problem)
        values = scores_of(own, count)
        parts = [own] if strong is None else [own, strong]
        if strong is None:
            if error := _not_a_rate((start, *values), f"best of {self.k}"):
                return combined(self, trace, [None] * count, parts, error=error)
            under = [None if q is None else best_of_k(q, self.k) for q in values]
            start = None if start is None else best_of_k(start, self.k)
        else:
            under = list(scores_of(strong, count))
        scores = [
            q if q is None or self.alpha == 0 else None if a is None else q + self.alpha * a
            for q, a in zip(values, differences(under, start), strict=True)
        ]
        return combined(self, trace, scores, parts)
