"""Small helpers: traces from lines, solutions of generated problems, and a search run to its end."""

from __future__ import annotations

from preceptor.annotate.tree.base import advance
from preceptor.policy import sample
from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds.arithmetic import Arithmetic
from tests.annotate.scripted import problem


def lines(*texts: str, of: Problem | None = None, **more) -> Trace:
    """A trace whose steps are these lines."""
    steps = [f"{text}\n" for text in texts]
    ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
    return Trace(of or problem(), "".join(steps), steps_from_ends(ends), **more)


def long_problems(n: int) -> list[Problem]:
    """Word problems of six to eight operations."""
    return Arithmetic().problems("dev", n, operations=(6, 8))


def attempts(policy, problems, samples: int = 4, seed: int = 7) -> list[Trace]:
    return sample(policy, problems, samples, seed=seed)


def grown(scorer, of: Problem, given=()):
    """The search of one problem, finished."""
    search = scorer.begin(of, given)
    advance(scorer.monte_carlo, [search])
    return search
