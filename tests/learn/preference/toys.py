"""A policy that writes from a book, a character a token; traces and judgements by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preceptor.annotate.rollout.montecarlo import MonteCarlo
from preceptor.generation import Continuation, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.preference import Attempt, Pair, Piece
from preceptor.policy.sample import trace_of
from preceptor.trace import Finish, Problem, Trace

END = 0
"""The id of the end of text, which adds no character."""


def problem(name: str = "q") -> Problem:
    return Problem(f"{name}: what is 6 times 7?", "42", grader="numeric")


def continuation(text: str, finish: Finish = Finish.STOP) -> Continuation:
    """One id a character; a text that ends is followed by the sampled end-of-text id."""
    last = (END,) if finish is Finish.STOP else ()
    ends = (*range(1, len(text) + 1), *([len(text)] if last else []))
    return Continuation(text, finish, (*map(ord, text), *last), ends, (-1.0,) * len(ends))


def trace(text: str, name: str = "q", draw: int = 0, policy: str = "book", **more) -> Trace:
    return trace_of(problem(name), continuation(text, **more), policy=policy, seed=0, draw=draw)


def judged(trace: Trace, scores: Sequence[float | None] | None, first_error: int | None = None) -> Judgement:
    scores = None if scores is None else tuple(scores)
    return Judgement(trace.id, Question.VALIDITY, Source("hand"), scores, first_error=first_error)


@dataclass
class Book:
    """Draw d from a prefix is the d-th entry of its page, going round."""

    pages: Mapping[str, Sequence[str]]
    fingerprint: str = "book"
    asked: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.asked += requests
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        page = self.pages.get(request.prefix)
        if page is None:
            return Continuation.failed("no-page", f"nothing is written behind {request.prefix!r}")
        return continuation(page[request.draw % len(page)])


def rolled(pages: Mapping[str, Sequence[str]], rollouts: int = 4) -> MonteCarlo:
    return MonteCarlo(Book(pages), rollouts, Sampling())


def pairs(n: int = 6) -> list[Pair]:
    """Steps in the tiny tokenizer's words: sevens against eights, behind a shared line; no ids, encoded once."""
    prefix = Piece("45-9=36\n")
    return [Pair(problem(f"q{i}"), prefix, Piece(f"{i}+1=7\n"), Piece(f"{i}+1=8\n")) for i in range(n)]


def attempts(n: int = 6) -> list[Attempt]:
    """Right with sevens, wrong with eights; the first step is good in all."""
    found = []
    for i in range(n):
        good = i % 2 == 0
        response = Piece(f"{i}+1={7 if good else 8}\n")
        found.append(Attempt(problem(f"q{i}"), response, good, ((0, 2, True), (2, 5, good))))
    return found
