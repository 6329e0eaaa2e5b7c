"""Random batches with every signal that any method of the table reads; the same seed gives the same batch."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from preceptor.credit import METHODS, Rollout, Signals
from preceptor.judgement import Question

SCALARS = sorted(
    {n.removeprefix("scalars.") for m in METHODS.values() for n in m.needs if n.startswith("scalars.")}
)
Pair = tuple[list[Rollout], Signals]


def some(rng: np.random.Generator, absent: float = 0.15) -> float | None:
    """A number of [0, 1], often one of its ends, sometimes none."""
    return None if rng.random() < absent else float(rng.choice([0.0, 0.5, 1.0, *rng.random(4).round(3)]))


def rollout(rng: np.random.Generator, prompt: str) -> Rollout:
    sizes = rng.integers(0, 4, rng.integers(0, 6)).tolist()
    ends = np.cumsum([0, *sizes]).tolist()
    length = ends[-1] + (int(rng.integers(0, 4)) if rng.random() < 0.3 else 0)
    mask = None if rng.random() < 0.5 else tuple(bool(x) for x in rng.random(length) < 0.7)
    path = rng.integers(0, 2, len(sizes)).tolist()
    return Rollout(
        prompt,
        length,
        some(rng),
        tuple(pairwise(ends)),
        mask,
        answer=None if rng.random() < 0.2 else str(rng.choice(["1", "2", "3"])),
        nodes=tuple(tuple(path[: t + 1]) for t in range(len(sizes))),
    )


def signals_for(
    rollouts: list[Rollout], rng: np.random.Generator, question: Question = Question.VALUE
) -> Signals:
    def flags(r: Rollout) -> tuple[bool, ...] | None:
        return None if rng.random() < 0.2 else tuple(bool(x) for x in rng.random(len(r.spans)) < 0.3)

    return Signals(
        scores=tuple(None if rng.random() < 0.1 else tuple(some(rng) for _ in r.spans) for r in rollouts),
        question=question,
        start=tuple(some(rng, 0.3) for _ in rollouts),
        tokens=tuple(
            None if rng.random() < 0.1 else tuple(rng.normal(size=r.length).tolist()) for r in rollouts
        ),
        verdicts=tuple(tuple(flags(r) for _ in range(rng.integers(0, 4))) for r in rollouts),
        scalars={name: tuple(some(rng) for _ in rollouts) for name in SCALARS},
        step=int(rng.integers(0, 300)),
    )


def batch(seed: int, question: Question | None = None) -> Pair:
    rng = np.random.default_rng(seed)
    prompts = ["a", "b", "c"] if seed % 2 else ["a", "a", "b"]
    rollouts = [rollout(rng, str(rng.choice(prompts))) for _ in range(rng.integers(2, 12))]
    return rollouts, signals_for(
        rollouts, rng, question or [Question.VALUE, Question.VALIDITY][seed % 3 == 2]
    )


def pick(pair: Pair, order: list[int]) -> Pair:
    """The batch of some of its rollouts, in this order."""
    rollouts, s = pair
    return [rollouts[i] for i in order], replace(
        s,
        scores=tuple(s.scores[i] for i in order),
        start=tuple(s.start[i] for i in order),
        tokens=tuple(s.tokens[i] for i in order),
        verdicts=tuple(s.verdicts[i] for i in order),
        scalars={name: tuple(row[i] for i in order) for name, row in (s.scalars or {}).items()},
    )


def agreeing(outcomes: list[float]) -> Pair:
    """One token, one step a rollout, and every signal says what the outcome says."""
    rollouts = [Rollout("q", 1, r, ((0, 1),), answer=str(r), nodes=(i,)) for i, r in enumerate(outcomes)]
    return rollouts, Signals(
        scores=tuple((r,) for r in outcomes),
        start=(0.0,) * len(outcomes),
        tokens=tuple((r,) for r in outcomes),
        verdicts=tuple(((r == 0,),) for r in outcomes),
        scalars=dict.fromkeys(SCALARS, tuple(outcomes)),
    )


def shifted(pair: Pair, by: float) -> Pair:
    """A constant on every outcome, step score, start value and scalar."""
    rollouts, s = pair
    return [r if r.outcome is None else replace(r, outcome=r.outcome + by) for r in rollouts], replace(
        s,
        scores=tuple(
            None if row is None else tuple(None if x is None else x + by for x in row) for row in s.scores
        ),
        start=tuple(None if x is None else x + by for x in s.start or ()),
        scalars={
            name: tuple(None if x is None else x + by for x in row) for name, row in (s.scalars or {}).items()
        },
    )
