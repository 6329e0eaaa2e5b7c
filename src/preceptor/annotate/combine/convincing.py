"""PRM800K's active selection ("Let's Verify Step by Step"): show labellers the most convincing wrong answers.

Per problem, 80 % of the picks (from memory) are the traces with the highest selector score among those whose final
answer is wrong, the others the most convincing of what remains, right ones included. A trace scores the product of
its step scores (`"product"`) or their minimum. An undecided outcome is not wrong. Problems of the evaluation split go
into `never`. Cost: the selector. Left out: training the selector between generations.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.trace import Trace, Verdict


def convincing(
    scores: Sequence[float | None], right: Sequence[bool | None], count: int, *, wrong_share: float = 0.8
) -> list[int]:
    """Up to `count` indices of the samples of one problem, in the order to be labelled.

    Wrong answers first, by score; then the rest, by score. Where wrong answers run out the rest fills up. A sample
    without a score is never picked; ties keep their order.

    >>> convincing([0.9, 0.2, 0.95], [False, False, True], 2)
    [0, 1]
    """
    if len(scores) != len(right) or count < 0 or not 0 <= wrong_share <= 1:
        raise InputError(
            f"convincing: got {len(scores)} scores, {len(right)} outcomes, count={count} and "
            f"wrong_share={wrong_share}, expected as many of both, a count of at least 0 and a share."
        )
    known = [(-s, i) for i, s in enumerate(scores) if s is not None]
    order = [i for _, i in sorted(known)]
    wrong = [i for i in order if right[i] is False][: math.floor(wrong_share * count + 0.5)]
    rest = [i for i in order if i not in set(wrong)]
    return wrong + rest[: count - len(wrong)]


def trace_score(judged: Judgement, how: Literal["product", "min"] = "product") -> float | None:
    """One number per trace; None where a step was not judged."""
    if not judged.scores or None in judged.scores:
        return None
    known = [s for s in judged.scores if s is not None]
    return math.prod(known) if how == "product" else min(known)


def to_label(
    traces: Sequence[Trace],
    judged: Sequence[Judgement],
    per_problem: int,
    *,
    wrong_share: float = 0.8,
    how: Literal["product", "min"] = "product",
    never: Collection[str] = (),
) -> list[Trace]:
    """The traces for labellers, problem by problem; none of a problem whose id is in `never`, equal traces once."""
    groups: dict[str, dict[str, tuple[Trace, float | None]]] = {}
    for trace, own in zip(traces, judged, strict=True):
        if trace.problem.id not in never:
            groups.setdefault(trace.problem.id, {}).setdefault(trace.text, (trace, trace_score(own, how)))
    chosen = []
    for found in groups.values():
        own_traces = [trace for trace, _ in found.values()]
        scores = [score for _, score in found.values()]
        picks = convincing(scores, [_right(t) for t in own_traces], per_problem, wrong_share=wrong_share)
        chosen += [own_traces[i] for i in picks]
    return chosen


def _right(trace: Trace) -> bool | None:
    if trace.grade is None or trace.grade.verdict is Verdict.UNDECIDED:
        return None
    return trace.grade.correct
