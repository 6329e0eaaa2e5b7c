"""Judges that know the truth and answer in the formats of the writers, from nothing but the prompt."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Request
from preceptor.trace import Finish, Problem
from preceptor.usage import Usage
from preceptor.worlds.base import StepTruth
from tests.annotate.judges.oracle import WORLD, Words, between

Writer = Callable[[Problem, Sequence[str], Sequence[StepTruth]], str]


def numbered_steps(request: Request) -> list[str]:
    """The steps of the solution that the prompt shows, by their numbers."""
    parts = re.split(r"^\[(\d+)\] ", between("solution", request.messages[0].content), flags=re.MULTILINE)
    assert parts[1::2] == [str(k) for k in range(1, len(parts) // 2 + 1)]
    return [text.removesuffix("\n") for text in parts[2::2]]


def seen(request: Request) -> tuple[list[str], list[StepTruth]]:
    steps = numbered_steps(request)
    return steps, WORLD.judge(request.problem, steps)


def flipped(truths: Sequence[StepTruth], error: float, stream: int) -> list[StepTruth]:
    rng = random.Random(stream)
    return [StepTruth(t.valid != (rng.random() < error), t.reachable, t.kind) for t in truths]


@dataclass
class Writes(Words):
    """Answers with `writer`; each verdict is wrong with probability `error`, by the request's stream."""

    writer: Writer | None = None

    def answer(self, request: Request) -> Continuation:
        assert self.writer is not None
        steps, truths = seen(request)
        text = self.writer(request.problem, steps, flipped(truths, self.error, request.stream))
        return Continuation(text, Finish.STOP, usage=Usage(generated=len(text), prefilled=100, calls=1))


@dataclass
class Says:
    """Gives these replies in turn, draw by draw; None fails, and what ends in `...` is cut at the limit."""

    texts: tuple[str | None, ...]
    fingerprint: str = "says"
    batches: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.batches.append(list(requests))
        return [self.one(self.texts[r.draw % len(self.texts)]) for r in requests]

    def one(self, text: str | None) -> Continuation:
        usage = Usage(generated=7, prefilled=30, calls=1)
        if text is None:
            return Continuation.failed("timeout", "late", usage)
        return Continuation(text, Finish.LENGTH if text.endswith("...") else Finish.STOP, usage=usage)
