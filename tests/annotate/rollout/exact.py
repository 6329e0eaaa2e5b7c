"""Policies whose success rates are met exactly, and traces of the arithmetic world with known values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Request
from preceptor.policy import ScriptedPolicy, sample
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Usage
from preceptor.worlds import arithmetic
from tests.annotate.scripted import GOLD, Scripted

NO_GOLD = Problem("?", None, grader="numeric")
PERFECT = ScriptedPolicy(error=0.0, repair=0.0)
"""Success from a prefix is certain while the answer is reachable, and impossible after."""


def rates(*values: float | str | None) -> Callable[[int], float | str | None]:
    """`values[t]` from t steps on, the bare problem first; the last one stays."""
    return lambda t: values[min(t, len(values) - 1)]


@dataclass
class Exact(Scripted):
    """Of any `cycle` draws in a row, exactly the share `value(t)` is right, the right ones first."""

    cycle: int = 20
    tokens: Callable[[bool], tuple[float, ...] | None] = lambda right: None
    """Log-probabilities of a continuation, by whether it is right."""
    calls: list[tuple[int, int]] = field(default_factory=list)
    """(steps of the prefix, draws) of each batch, one entry a prefix."""

    def _one(self, request: Request) -> Continuation:
        value = self.value(request.prefix.count("\n"))
        if not isinstance(value, float):
            return super()._one(request)
        right = request.draw % self.cycle < round(value * self.cycle)
        text, usage = f"Answer: {GOLD if right else '7'}\n", Usage(generated=5, prefilled=9, calls=1)
        return Continuation(text, Finish.STOP, logprobs=self.tokens(right), usage=usage)

    @property
    def rounds(self) -> list[list[int]]:
        """Prefix lengths asked in each batch, each prefix once."""
        return [
            [prefix.count("\n") for prefix in dict.fromkeys(r.prefix for r in batch)]
            for batch in self.batches
        ]


def attempts(policy: ScriptedPolicy, problems: int = 8, samples: int = 4) -> list[Trace]:
    """Graded traces of arithmetic problems with 3 to 6 operations."""
    return sample(policy, arithmetic("test", problems, operations=(3, 6)), samples=samples, seed=3)


def exact_values(policy: ScriptedPolicy, trace: Trace) -> list[float]:
    """Chance of success after 0, 1, .. T - 1 steps, and the grade."""
    values = [policy.value(trace.problem, trace.prefix(t)) for t in range(len(trace.steps))]
    return [*values, float(trace.grade is not None and trace.grade.correct)]
