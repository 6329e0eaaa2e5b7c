"""Traces, policies and a source written by hand, for the tests of builders and hooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from preceptor.generation import Continuation, Request, Sampling
from preceptor.grade import grade
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage

PROBLEM = Problem(
    "Mia has 12 boxes with 7 pens each. She gives away 30 pens. How many pens are left?",
    "54",
    world="arithmetic",
    grader="numeric",
    segmenter="line",
    reference=("12*7=84\n", "84-30=54\n", "Answer: 54\n"),
    meta={"givens": [12, 7, 30], "nodes": [["*", "g0", "g1"], ["-", "n0", "g2"]]},
)
RIGHT = ("12*7=84\n", "84-30=54\n", "Answer: 54\n")
WRONG = ("12*7=84\n", "84-30=64\n", "Answer: 64\n")
END = 0
"""The id of the end of text; other ids are code points."""


def trace(
    steps: Sequence[str],
    problem: Problem = PROBLEM,
    draw: int = 0,
    finish: Finish = Finish.STOP,
    ids: bool = True,
) -> Trace:
    """Graded; a character is a token, and an end of text is one more."""
    text = "".join(steps)
    stop = finish is Finish.STOP
    tokens = (*map(ord, text), *([END] if stop else []))
    ends = (*range(1, len(text) + 1), *([len(text)] if stop else []))
    return Trace(
        problem,
        text,
        steps_from_ends(list(accumulate(map(len, steps)))),
        finish,
        grade(problem, text, finish=finish),
        policy="toy",
        seed=0,
        draw=draw,
        token_ids=tokens if ids else None,
        token_ends=ends if ids else None,
        logprobs=(-1.0,) * len(tokens) if ids else None,
    )


@dataclass
class Says:
    """A policy that answers by a function of the request and keeps what it was asked; a character is a token."""

    answer: Callable[[Request], str]
    asked: list[Request] = field(default_factory=list)
    name: str = "says"

    @property
    def fingerprint(self) -> str:
        return self.name

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.asked += requests
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        text, finish = self.answer(request), Finish.STOP
        for stop in request.sampling.stop:
            if stop in text:
                text, finish = text[: text.index(stop) + len(stop)], Finish.BOUNDARY
        end = finish is Finish.STOP
        return Continuation(
            text,
            finish,
            (*map(ord, text), *([END] if end else [])),
            (*range(1, len(text) + 1), *([len(text)] if end else [])),
            usage=Usage(generated=len(text), calls=1),
        )


@dataclass
class Loop:
    """A source as a loop has it."""

    policy: Says
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    usage: Usage = field(default_factory=Usage)
