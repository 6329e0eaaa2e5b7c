"""Step scores of a trace -> the one number by which whole answers are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import prod
from statistics import fmean
from typing import Literal

from preceptor.annotate.tree.tree import right
from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.trace import Trace

Aggregate = Literal["product", "min", "mean", "last"]
_AGGREGATES: dict[str, Callable[[list[float]], float]] = {
    "product": prod,
    "min": min,
    "mean": fmean,
    "last": lambda scores: scores[-1],
}


def trajectory_score(judged: Judgement, aggregate: Aggregate) -> float | None:
    """None without scores, and where a step has none: a product or least value over fewer steps is another."""
    if aggregate not in _AGGREGATES:
        raise InputError(f"aggregate: got {aggregate!r}, expected one of {sorted(_AGGREGATES)}")
    if not judged.scores:
        return None
    known = [s for s in judged.scores if s is not None]
    if aggregate == "last":
        return judged.scores[-1]
    return float(_AGGREGATES[aggregate](known)) if len(known) == len(judged.scores) else None


def observed(trace: Trace) -> bool:
    """Whether an environment wrote something between the steps; no builder takes such traces."""
    return trace.sampled is not None or any(step.observation is not None for step in trace.steps)


def outcome_of(trace: Trace, dropped: Counter[str]) -> bool | None:
    """Whether the answer is right; None, counted, when undecided, failed, or without a step."""
    if trace.error is not None or not trace.steps:
        dropped["failed" if trace.error is not None else "no-steps"] += 1
        return None
    if observed(trace):
        dropped["observations"] += 1
        return None
    found = right(trace)
    if found is None:
        dropped["undecided"] += 1
    return found
