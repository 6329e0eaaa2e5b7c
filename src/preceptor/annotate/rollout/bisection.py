"""OmegaPRM's bisection (arXiv 2406.06592): find the first error of a wrong trace by binary search.

If value never rises along a trace, the first step of value 0 is found with K rollouts at each of at most
ceil(log2 T) prefixes, instead of at all T - 1. The searches of all traces advance together, one batched call
a round. Our deviation: probes whose rollouts are all undecided end the search as unknown. Left out: the tree
search around it, which also probes rollouts of rollouts and balances the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.base import RolloutAnnotator, spent
from preceptor.annotate.rollout.montecarlo import Evidence, lost_prefix, outcome, rollout_flags
from preceptor.errors import ItemError
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.trace import Trace


class Bisection:
    """Search for the first prefix of value 0 among the lengths 1..T-1 of a trace of T steps.

    >>> search = Bisection(steps=8)
    >>> while (t := search.probe) is not None:
    ...     search.observe(t, 1.0 if t < 5 else 0.0)
    >>> list(search.values), search.first_zero
    ([4, 6, 5], 5)
    """

    def __init__(self, steps: int):
        self.low, self.high = 1, steps - 1
        self.values: dict[int, float] = {}
        """Prefix length -> value, in the order probed."""
        self.unknown = False
        """A probe had no decided rollout; the search is over."""

    @property
    def probe(self) -> int | None:
        """Length of the next prefix to try; None when the search is over."""
        return None if self.unknown or self.low > self.high else (self.low + self.high) // 2

    @property
    def first_zero(self) -> int | None:
        """The place found, T when every proper prefix survives; None while it is not known."""
        return None if self.unknown or self.low <= self.high else self.low

    def observe(self, t: int, value: float | None) -> None:
        if value is None:
            self.unknown = True
            return
        self.values[t] = value
        if value > 0:
            self.low = t + 1
        else:
            self.high = t - 1


def monotone_violation(values: Mapping[int, float]) -> bool:
    """Is there a prefix of positive value that extends one of value 0?

    The probes of one bisection cannot show it: positive ones always end up left of zero ones. It takes the
    grade of the whole trace, or the probes of several searches, in `values` (prefix length -> value).
    """
    zeros = [t for t, value in values.items() if value == 0]
    return bool(zeros) and any(value > 0 and t > min(zeros) for t, value in values.items())


@dataclass(frozen=True)
class OmegaBisection(RolloutAnnotator):
    """Scorer of value by bisection.

    `scores` holds the rate at probed prefixes, the grade (0 or 1) at the last step, and what monotony implies
    elsewhere: 1 before the first error, 0 at it, None after it. `counts` are given at probed prefixes only. A
    trace with the right answer is taken to have no error: score 1 everywhere, no rollouts, flag
    `"assumed-correct"`.
    """

    name: ClassVar[str] = "omega-bisection"
    cost: ClassVar[str] = "at most K ceil(log2 T) rollouts, 0 for a right answer"

    search_correct: bool = False
    """Search traces with the right answer too. A prefix of value 0 in one contradicts its own ending: it is
    reported as the first error with the flag `"monotone-violation"`."""

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One batched call per round of all searches together."""
        cases = [_Case(trace, self.search_correct) for trace in traces]
        while active := [case for case in cases if case.probe is not None]:
            points = [(case.trace, case.probe) for case in active if case.probe is not None]
            for case, (_, t), evidence in zip(active, points, self.monte_carlo.evidence(points), strict=True):
                case.observe(t, evidence)
        return [self._judge(case) for case in cases]

    def _judge(self, case: _Case) -> Judgement:
        trace, found = case.trace, list(case.evidence.values())
        error = case.error or lost_prefix(found)
        if error is not None:
            return Judgement(trace.id, self.question, self.source, None, usage=spent(found), error=error)
        lengths = range(1, len(trace.steps) + 1)
        flags = rollout_flags(found)
        if case.grade.correct and not self.search_correct:
            flags = (*flags, "assumed-correct")
        if case.search.unknown:
            flags = (*flags, "undecided-probe")
        if monotone_violation({**case.search.values, len(trace.steps): float(case.grade.correct)}):
            flags = (*flags, "monotone-violation")
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=tuple(case.value_at(t) for t in lengths),
            counts=tuple(case.evidence[t].counts if t in case.evidence else None for t in lengths),
            undecided=sum(e.undecided + e.failed for e in found),
            first_error=case.first_error,
            flags=flags,
            usage=spent(found),
        )


class _Case:
    """One trace, its grade and its search."""

    def __init__(self, trace: Trace, search_correct: bool):
        self.trace = trace
        self.evidence: dict[int, Evidence] = {}
        self.search = Bisection(len(trace.steps))
        self.grade = outcome(trace)
        self.error: ItemError | None = None
        if not self.grade.decided:
            self.error = ItemError("undecided", f"the trace could not be graded: {self.grade.reason}")
        self.searched = self.error is None and (search_correct or not self.grade.correct)

    @property
    def probe(self) -> int | None:
        return self.search.probe if self.searched else None

    def observe(self, t: int, evidence: Evidence) -> None:
        self.evidence[t] = evidence
        self.search.observe(t, evidence.value)

    @property
    def first_error(self) -> int | None:
        """0-based, `NO_ERROR`, or None for unknown."""
        right = self.grade.correct
        if right and (not self.searched or self.search.first_zero == len(self.trace.steps)):
            return NO_ERROR
        return None if self.search.first_zero is None else self.search.first_zero - 1

    def value_at(self, t: int) -> float | None:
        """Value of the prefix of t steps: probed, graded or implied."""
        if t in self.search.values:
            return self.search.values[t]
        if t == len(self.trace.steps):
            return float(self.grade.correct)
        survives = max((s for s, value in self.search.values.items() if value > 0), default=0)
        if self.first_error == NO_ERROR or t < survives:
            return 1.0
        return None
