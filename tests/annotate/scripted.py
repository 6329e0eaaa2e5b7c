"""A real policy over small problems whose chance of success at every prefix is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Request
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage

GOLD = "42"


def problem(name: str = "q") -> Problem:
    return Problem(f"{name}: what is 6 times 7?", GOLD, grader="numeric")


def trace(steps: int, answer: str = "41", name: str = "q", draw: int = 0, **more) -> Trace:
    """Lines `0`, `1`, ... and an answer line: `steps` steps in all."""
    lines = [f"line {i} of {draw}\n" for i in range(steps - 1)] + [f"Answer: {answer}\n"]
    ends = [sum(map(len, lines[: i + 1])) for i in range(steps)]
    return Trace(
        problem(name), "".join(lines), steps_from_ends(ends), policy="writer", seed=0, draw=draw, **more
    )


@dataclass
class Scripted:
    """Finishes right with probability `value(t)` from a prefix of t steps, by the request's own stream.

    `value` may return None for a continuation that fails, or a text to be written as the answer.
    """

    value: Callable[[int], float | str | None]
    fingerprint: str = "scripted"
    batches: list[list[Request]] = field(default_factory=list)

    @property
    def asked(self) -> list[Request]:
        return [request for batch in self.batches for request in batch]

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.batches.append(list(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Continuation:
        value = self.value(request.prefix.count("\n"))
        if value is None:
            return Continuation.failed("timeout", "scripted failure", Usage(calls=1))
        if value == "cut":
            return Continuation("on and on", Finish.LENGTH, usage=Usage(generated=3, calls=1))
        right = isinstance(value, float) and random.Random(request.stream).random() < value
        answer = value if isinstance(value, str) else GOLD if right else "7"
        return Continuation(
            f"Answer: {answer}\n", Finish.STOP, usage=Usage(generated=5, prefilled=9, calls=1)
        )
