"""What supervision data are made of ("Guiding Through Complexity", catalogue index 101): two error rates, and a filter.

Outcome error rate: share of traces with a wrong answer. Step error rate: share of wrong steps among the judged ones. At
one outcome error rate, other step error rates moved MATH accuracy by up to 30 points, so `report` prints both and
`at_step_error_rate` chooses traces for a step error rate with the outcome error rate held. The search (a seeded draw,
then best exchanges of one trace for one of equal outcome) is ours. Cost: none. Left out: the sub-task data.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from preceptor.annotate.judges.share import Share
from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.trace import Trace, stream_seed

Item = tuple[Trace, Judgement]
Kind = tuple[int, int]
"""Wrong steps and judged steps of a trace."""


@dataclass(frozen=True)
class DataReport:
    """The two error rates of labelled traces. `str()` prints them with 95 % intervals."""

    outcome_errors: Share
    """Wrong answers among decided traces."""
    step_errors: Share
    """Wrong steps among judged ones."""
    hidden_errors: Share
    """Right answers with a wrong step, among right answers with judged steps."""
    undecided: int
    """Traces whose outcome is not known; in neither of the rates on outcomes."""
    unlabelled: int
    """Traces without a judged step."""

    def __str__(self) -> str:
        return (
            f"outcome error rate {self.outcome_errors}\nstep error rate {self.step_errors}\n"
            f"right answers with a wrong step {self.hidden_errors}\n"
            f"{self.undecided} traces of unknown outcome, {self.unlabelled} without step labels"
        )


def report(items: Iterable[Item], *, threshold: float = 0.5) -> DataReport:
    """Both rates of (trace, judgement) pairs, such as `Labels`; a step is wrong below `threshold`."""
    rows = [(_right(trace), _kind(judged, threshold)) for trace, judged in items]
    decided = [right for right, _ in rows if right is not None]
    hidden = [kind[0] > 0 for right, kind in rows if right and kind[1]]
    return DataReport(
        Share(decided.count(False), len(decided)),
        Share(sum(kind[0] for _, kind in rows), sum(kind[1] for _, kind in rows)),
        Share(sum(hidden), len(hidden)),
        len(rows) - len(decided),
        sum(not kind[1] for _, kind in rows),
    )


def at_step_error_rate(
    items: Sequence[Item], rate: float, size: int, *, threshold: float = 0.5, seed: int = 0
) -> list[Item]:
    """`size` of the items, in their order, with a step error rate near `rate` at the outcome error rate of all.

    As near as single exchanges get it: read what was reached off `report`. Only traces with a decided outcome and a
    judged step take part.
    """
    kinds = [_kind(judged, threshold) for _, judged in items]
    groups: dict[bool, list[int]] = {True: [], False: []}
    for i, (trace, _) in enumerate(items):
        right = _right(trace)
        if right is not None and kinds[i][1]:
            groups[right].append(i)
    total = len(groups[True]) + len(groups[False])
    if not 0 <= rate <= 1 or not 0 < size <= total:
        raise InputError(
            f"got rate={rate} and size={size}, expected a share and a size from 1 to {total}, the traces with an "
            "outcome and step labels."
        )
    wrong = round(size * len(groups[False]) / total)
    pools = [
        _Pool.drawn(groups[right], kinds, n, seed) for right, n in ((True, size - wrong), (False, wrong))
    ]
    while (best := _best(pools, rate)) is not None:
        pool, out, into = best
        pool.exchange(out, into)
    return [items[i] for i in sorted(i for pool in pools for own in pool.taken.values() for i in own)]


@dataclass
class _Pool:
    """The traces of one outcome, by kind: equal kinds are interchangeable."""

    taken: dict[Kind, list[int]] = field(default_factory=lambda: defaultdict(list))
    left: dict[Kind, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def drawn(cls, members: list[int], kinds: Sequence[Kind], count: int, seed: int) -> _Pool:
        pool, order = cls(), list(members)
        random.Random(stream_seed("step-error-rate", seed)).shuffle(order)
        for place, i in enumerate(order):
            (pool.taken if place < count else pool.left)[kinds[i]].append(i)
        return pool

    def exchange(self, out: Kind, into: Kind) -> None:
        gone, come = self.taken[out].pop(), self.left[into].pop()
        self.left[out].append(gone)
        self.taken[into].append(come)


def _best(pools: Sequence[_Pool], rate: float) -> tuple[_Pool, Kind, Kind] | None:
    """The exchange after which the step error rate is nearest, if any is nearer than now."""
    kinds = [(kind, len(own)) for pool in pools for kind, own in pool.taken.items()]
    wrong = sum(kind[0] * n for kind, n in kinds)
    steps = sum(kind[1] * n for kind, n in kinds)
    found, nearest = None, abs(wrong / steps - rate) - 1e-12
    for pool in pools:
        outs, ins = ([kind for kind, own in side.items() if own] for side in (pool.taken, pool.left))
        for out in outs:
            for into in ins:
                off = abs((wrong - out[0] + into[0]) / (steps - out[1] + into[1]) - rate)
                if off < nearest:
                    found, nearest = (pool, out, into), off
    return found


def _kind(judged: Judgement, threshold: float) -> Kind:
    known = [s for s in judged.scores or () if s is not None]
    return sum(s < threshold for s in known), len(known)


def _right(trace: Trace) -> bool | None:
    return trace.grade.correct if trace.grade is not None and trace.grade.decided else None
