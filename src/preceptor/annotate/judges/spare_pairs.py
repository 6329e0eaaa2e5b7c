"""Preference pairs out of step labels and outcomes, for ORPO and its kin (the second use of SPARE's labels).

A solution's key is (outcome, mean of its step labels as +1 and -1); a pair is a solution that Pareto-dominates
another on it, up to 10 pairs per problem. A right outcome with more wrong steps and a wrong outcome with fewer
are incomparable. The reference may stand in as winner, against wrong solutions only. Not found and ours: which
pairs are kept when there are more (drawn by seed), and that the reference only fills up what the samples leave.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from preceptor.annotate.judges.criteria import dominates
from preceptor.annotate.rollout.montecarlo import outcome
from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.trace import Problem, Trace, stream_seed

Key = tuple[float, float]
PERFECT: Key = (1.0, 1.0)


class Preference(NamedTuple):
    """One pair."""

    problem: Problem
    chosen: str
    rejected: str
    chosen_key: Key
    rejected_key: Key


def preference_key(trace: Trace, judged: Judgement) -> Key | None:
    """(outcome, mean label in [-1, 1]); None where the outcome is undecided or no step has a label."""
    grade = outcome(trace)
    labels = [2.0 * s - 1.0 for s in judged.scores or () if s is not None]
    return (float(grade.correct), sum(labels) / len(labels)) if grade.decided and labels else None


def preferences(
    traces: Sequence[Trace],
    judgements: Sequence[Judgement],
    *,
    limit: int = 10,
    reference: bool = True,
    seed: int = 0,
) -> list[Preference]:
    """Pairs per problem, in the order the problems come in; equal texts count once.

    `reference=False` makes pairs of samples only.
    """
    if limit < 1:
        raise InputError(f"limit: got {limit}, expected at least 1 pair per problem")
    groups: dict[str, tuple[Problem, dict[str, Key]]] = {}
    for trace, judged in zip(traces, judgements, strict=True):
        if judged.trace != trace.id:
            raise InputError(f"judgements: got one of trace {judged.trace}, expected one of {trace.id}")
        _, keys = groups.setdefault(trace.problem.id, (trace.problem, {}))
        if (key := preference_key(trace, judged)) is not None:
            keys.setdefault(trace.text, key)
    pairs = []
    for problem, keys in groups.values():
        own = [
            Preference(problem, a, b, u, v)
            for a, u in keys.items()
            for b, v in keys.items()
            if dominates(u, v)
        ]
        pairs += _some(own, limit, seed, problem)
        if reference and problem.reference and len(own) < limit:
            text = "".join(step if step.endswith("\n") else step + "\n" for step in problem.reference)
            wrong = [Preference(problem, text, b, PERFECT, v) for b, v in keys.items() if not v[0]]
            pairs += _some(wrong, limit - len(own), seed, problem)
    return pairs


def _some(pairs: list[Preference], limit: int, seed: int, problem: Problem) -> list[Preference]:
    if len(pairs) <= limit:
        return pairs
    rng = random.Random(stream_seed("preferences", seed, problem.id))
    return [pairs[i] for i in sorted(rng.sample(range(len(pairs)), limit))]
