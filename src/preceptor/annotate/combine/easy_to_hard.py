"""Easy-to-hard generalisation (catalogue index 103): labels for easy problems only, evaluation on hard ones.

Easy: MATH level of at most 3 (`problem.meta["level"]`, as 3 or "Level 3"), or, our addition for data without levels, a
measured pass rate from a threshold on. Problems of unknown level are apart (the paper keeps those PRM800K problems that
are not in MATH). Also its dense reward from step scores: what a step lowers the running minimum (or product) by, and
0.25/T per step. Cost: none; pass rates are of samples that are there. Left out: the 736-token limit, and RL itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.annotate.rules import outcome_target
from preceptor.errors import InputError
from preceptor.trace import Problem, Trace

UNKNOWN_OUTCOME = 0.25
"""The paper's outcome reward of a problem without an answer key."""
_LEVEL = re.compile(r"(?:level\s*)?(\d{1,2})", re.IGNORECASE)


@dataclass(frozen=True)
class Difficulty:
    """Problems by difficulty, each list in the order given."""

    easy: tuple[Problem, ...]
    hard: tuple[Problem, ...]
    unknown: tuple[Problem, ...]


def level(problem: Problem) -> int | None:
    """The level in `meta`; None where there is none or it says no number."""
    found = _LEVEL.fullmatch(str(problem.meta.get("level", "")).strip())
    return int(found[1]) if found else None


def by_level(problems: Iterable[Problem], *, top: int = 3) -> Difficulty:
    """Easy up to level `top`."""
    return _split((problem, None if (n := level(problem)) is None else n <= top) for problem in problems)


def by_pass_rate(
    problems: Iterable[Problem], rates: Mapping[str, float], *, least: float = 0.5
) -> Difficulty:
    """Easy from a pass rate of `least` on (0.5 is ours); `rates` by problem id."""
    return _split((p, rates[p.id] >= least if p.id in rates else None) for p in problems)


def pass_rates(traces: Iterable[Trace]) -> dict[str, float]:
    """Problem id -> share of right ones among its decided traces, such as `store.traces()`; equal traces count once.

    A problem without a decided trace has no rate.
    """
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for trace in traces:
        outcome = outcome_target(trace.grade)
        if outcome is not None:
            found[trace.problem.id][trace.id] = outcome
    return {problem: sum(own.values()) / len(own) for problem, own in found.items()}


def dense_rewards(
    scores: Sequence[float],
    *,
    how: Literal["min", "product"] = "min",
    upper: float = 1.0,
    bonus: float = 0.25,
) -> tuple[float, ...]:
    """The reward of each step; `bonus` is shared by all steps.

    Without it the sum is min(scores) - upper (0 where no score is below), or for "product" the product of the scores
    minus 1, times `upper`: the return equals the aggregated score up to a constant.
    """
    if how not in ("min", "product"):
        raise InputError(f"how: got {how!r}, expected 'min' or 'product'.")
    low, rewards = upper, []
    for score in scores:
        after = min(low, score) if how == "min" else low * score
        rewards.append(after - low + bonus / len(scores))
        low = after
    return tuple(rewards)


def _split(found: Iterable[tuple[Problem, bool | None]]) -> Difficulty:
    rows = list(found)
    easy, hard, unknown = (tuple(p for p, e in rows if e is wanted) for wanted in (True, False, None))
    return Difficulty(easy, hard, unknown)
