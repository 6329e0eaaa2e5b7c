"""A binary tree of depth 3 with known probabilities: a real policy and its exact value function."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Problem, Trace, stream_seed
from preceptor.usage import Ledger, Usage

DEPTH = 3
LEAVES = ["".join(bits) for bits in product("ab", repeat=DEPTH)]


def problem(name: str = "toy", gold: str = "7") -> Problem:
    return Problem(prompt=f"Walk the tree {name}.", gold=gold, id=name, grader="exact", segmenter="line")


def problems(n: int, prefix: str = "toy") -> list[Problem]:
    return [problem(f"{prefix}{i}") for i in range(n)]


def answers(problem_: Problem) -> dict[str, str]:
    """The answer at each leaf: "7" is right and stands at one or two leaves, the others differ."""
    return _answers(problem_.id.split("/")[0])


@cache
def _answers(name: str) -> dict[str, str]:
    rng = random.Random(stream_seed("answers", name))
    right = rng.sample(LEAVES, rng.choice([1, 2]))
    return {leaf: "7" if leaf in right else rng.choice(["1", "2", "3"]) for leaf in LEAVES}


def p_left(problem_: Problem, node: str) -> float:
    """Probability of step "a" at a node; copies of a problem ("toy/1", "toy/2") share the tree."""
    return _p_left(problem_.id.split("/")[0], node)


@cache
def _p_left(name: str, node: str) -> float:
    return random.Random(stream_seed("p", name, node)).uniform(0.2, 0.8)


def value(problem_: Problem, node: str) -> float:
    """Probability that a walk from `node` ends in the right answer."""
    if len(node) == DEPTH:
        return float(answers(problem_)[node] == "7")
    p = p_left(problem_, node)
    return p * value(problem_, node + "a") + (1 - p) * value(problem_, node + "b")


def walked(text: str) -> str:
    return "".join(line[-1] for line in text.split("\n") if line in ("go a", "go b"))


@dataclass
class TreePolicy:
    """Three lines "go a" or "go b", then "Answer: X". One character is one token.

    Each step reads the stream (seed, problem, text before it, draw), so a whole solution and a chain of
    steps with the same draw are the same text.
    """

    fails: Callable[[Request], bool] = lambda request: False
    sent: list[list[Request]] = field(default_factory=list)
    """Every batch received."""
    fingerprint: str = "tree"
    nothing = Usage()

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.sent.append(list(requests))
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        if request.prefix_ids is not None:
            assert "".join(map(chr, request.prefix_ids)) == request.prefix
        if self.fails(request):
            return Continuation.failed("timeout", "no answer in time", Usage(calls=1))
        whole = request.prefix[: request.prefix.rfind("\n") + 1]  # a prefix may end inside a line
        text, finish = "", Finish.BOUNDARY
        while finish is Finish.BOUNDARY:
            before = whole + text
            node = walked(before)
            if len(node) == DEPTH:
                text, finish = text + "Answer: " + answers(request.problem)[node], Finish.STOP
                break
            u = random.Random(stream_seed(request.seed, request.problem.id, before, request.draw)).random()
            p = p_left(request.problem, node)
            left = p >= 0.5 if request.sampling.temperature == 0 else u < p
            text += f"go {'a' if left else 'b'}\n"
            if request.sampling.stop:
                break
        text = text[len(request.prefix) - len(whole) :]
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        return Continuation(
            text=text,
            finish=finish,
            token_ids=tuple(map(ord, text)),
            token_ends=tuple(range(1, len(text) + 1)),
            logprobs=tuple(-0.5 for _ in text),
            usage=Usage(generated=len(text), calls=1, prefilled=len(request.prefix)),
        )


@dataclass
class Oracle:
    """Exact value of every prefix."""

    fail: str | None = None
    """Traces that contain this text get no scores."""
    constant: float | None = None
    sent: list[list[Trace]] = field(default_factory=list)
    source: Source = field(default_factory=lambda: Source("oracle"))
    question: Question = Question.VALUE

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        self.sent.append(list(traces))
        return [self._one(t) for t in traces]

    def _one(self, trace: Trace) -> Judgement:
        usage = Ledger(scorer=Usage(scored=len(trace.problem.prompt + trace.text), calls=1))
        if self.fail is not None and self.fail in trace.text:
            why = ItemError("too-long", "does not fit")
            return Judgement(trace.id, self.question, self.source, None, usage=usage, error=why)
        scores = [value(trace.problem, walked(trace.prefix(t + 1))) for t in range(len(trace.steps))]
        if self.constant is not None:
            scores = [self.constant] * len(scores)
        return Judgement(trace.id, self.question, self.source, tuple(scores), usage=usage)
