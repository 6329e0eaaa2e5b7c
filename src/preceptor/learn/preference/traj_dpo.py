"""Trajectory DPO (planning-based reasoning by trajectory collection): right against wrong, and right against right.

A trajectory's score is the product (or least) of its steps' values. Pairs: every right answer against every wrong
one; among right ones those whose scores differ by more than `margin`. A step's value is the probability of a set of
classes under a classifier of success counts 0..3 (`class_value`), or any scorer's value.

Published: 10 samples, margin 0.3 to 0.8 (0.8 last), at most 10 wrong ones, beta 0.1, lr 2e-6, 2 epochs. Ours: which
pairs stay where there are more than the limit (the largest gaps in score, unknown scores last). Left out: collecting
trajectories (`preceptor.sample`) and training the classifier (`preceptor.reward`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare_whole
from preceptor.learn.preference.scoring import Aggregate, outcome_of, trajectory_score
from preceptor.trace import Trace

Scored = tuple[Trace, float | None]


def class_value(probabilities: Sequence[float], classes: Collection[int] = (1, 2, 3)) -> float:
    """Total probability of the chosen success counts; {1, 2, 3} is the soft reading, {2, 3} the strict one.

    >>> class_value([0.25, 0.25, 0.5, 0.0], {2, 3})
    0.5
    """
    return sum(probabilities[c] for c in classes)


def traj_dpo_pairs(
    traces: Sequence[Trace],
    judgements: Sequence[Judgement],
    *,
    margin: float = 0.8,
    aggregate: Aggregate = "product",
    max_wrong: int = 10,
    max_right: int = 10,
) -> Built[Pair]:
    """At most `max_wrong` wrong opponents a right trace and `max_right` pairs among right ones a problem."""
    if margin < 0:
        raise InputError(f"margin: got {margin}, expected at least 0; 1 leaves only outcome pairs")
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in by_problem(traces, judgements):
        sides: dict[bool, dict[str, Scored]] = {True: {}, False: {}}
        for trace, judged in group:
            verdict = outcome_of(trace, dropped)
            if verdict is not None:
                sides[verdict].setdefault(trace.text, (trace, trajectory_score(judged, aggregate)))
        right, wrong = list(sides[True].values()), list(sides[False].values())
        for trace, own in right:
            kept = sorted(wrong, key=lambda other: -_gap(own, other[1]))[:max_wrong]
            for other, score in kept:
                pairs += compare_whole(trace, other, dropped, kind="outcome", scores=[own, score])
        pairs += _among_right(right, margin, dropped)[:max_right]
    return Built(tuple(pairs), dropped)


def _among_right(right: Sequence[Scored], margin: float, dropped: Counter[str]) -> list[Pair]:
    known = [(trace, score) for trace, score in right if score is not None]
    dropped["unscored"] += len(right) - len(known)
    found = [(a - b, one, other, [a, b]) for one, a in known for other, b in known if a - b > margin]
    found.sort(key=lambda f: -f[0])
    return [
        p for _, one, other, s in found for p in compare_whole(one, other, dropped, kind="process", scores=s)
    ]


def _gap(one: float | None, other: float | None) -> float:
    return float("-inf") if one is None or other is None else one - other
