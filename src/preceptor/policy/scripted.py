"""A policy whose every probability is known: writes arithmetic solutions and errs at a set rate.

At each operation line it errs with probability `error` (a wrong result), as long as everything written
is sound; once something is wrong it carries on without further errors. At the answer line after an error
it answers rightly all the same with probability `repair` (a lucky guess, a silent repair). So the success
probability of any prefix is known in closed form, which is what Monte Carlo labels are tested against.
One character is one token. Left out: other kinds of error (the oracle's tests write those by hand).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.generation import Continuation, Request
from preceptor.trace import Finish, Problem, content_id
from preceptor.usage import Usage
from preceptor.worlds.arithmetic_oracle import State
from preceptor.worlds.word_problems import OPERATIONS


@dataclass(frozen=True)
class ScriptedPolicy:
    """Continues attempts at problems of the world `arithmetic`."""

    error: float = 0.1
    """Probability of a wrong result at an operation line of a sound prefix."""
    repair: float = 0.0
    """Probability of the right answer after an error."""

    @property
    def fingerprint(self) -> str:
        return content_id("scripted", self.error, self.repair)

    def value(self, problem: Problem, prefix: str) -> float:
        """Exact probability that a continuation of `prefix` (whole lines) ends in the right answer."""
        state = _state(problem, prefix)
        if state.answer is not None:
            return float(state.reachable)
        if not state.reachable:
            return self.repair
        missing = len(state.nodes) - len(state.written)
        sound = (1 - self.error) ** missing
        return sound + (1 - sound) * self.repair

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._continue(request) for request in requests]

    def _continue(self, request: Request) -> Continuation:
        rng = random.Random(request.stream)
        state = _state(request.problem, request.prefix)
        greedy = request.sampling.temperature == 0

        def line() -> str | None:
            if state.answer is not None:
                return None
            text = self._line(state, rng, greedy)
            state.take(text)
            return text

        return write_lines(request, line)

    def _line(self, state: State, rng: random.Random, greedy: bool) -> str:
        def happens(probability: float) -> bool:
            return probability > 0.5 if greedy else rng.random() < probability

        last = len(state.nodes) - 1
        if last in state.written:
            carried = int(state.written[last])
            repaired = not state.reachable and happens(self.repair)
            return f"Answer: {state.gold if repaired else carried}\n"
        k = state.pending()[0]
        op, left, right = state.nodes[k]
        a, b = int(state.value(left) or 0), int(state.value(right) or 0)
        result = OPERATIONS[op](a, b)
        if result is None:  # an earlier error made the division inexact
            result = a // b if b else 0
        if state.reachable and happens(self.error):
            result = self._spoil(state, k, result, rng)
        return f"{a}{op}{b}={result}\n"

    def _spoil(self, state: State, k: int, right: int, rng: random.Random) -> int:
        """A wrong result that, carried on by this script, does not end in the right answer by luck."""
        offsets = list(range(1, 10))
        rng.shuffle(offsets)
        return next(right + d for d in offsets if self._carried(state, k, right + d) != state.gold)

    def _carried(self, state: State, k: int, value: int) -> int:
        values = {n: int(v) for n, v in state.written.items()} | {k: value}
        for n, (op, left, right) in enumerate(state.nodes):
            if n not in values:
                a, b = (
                    state.givens[int(r[1:])] if r[0] == "g" else values[int(r[1:])] for r in (left, right)
                )
                result = OPERATIONS[op](a, b)
                values[n] = result if result is not None else (a // b if b else 0)
        return values[len(state.nodes) - 1]


def write_lines(request: Request, next_line: Callable[[], str | None]) -> Continuation:
    """Write lines until there is none, a stop string occurs or the limit cuts; a character is a token."""
    text, finish = "", Finish.STOP
    while (line := next_line()) is not None:
        text += line
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
            break
        if any(s in line for s in request.sampling.stop):
            finish = Finish.BOUNDARY
            break
    return Continuation(
        text=text,
        finish=finish,
        token_ids=tuple(map(ord, text)),
        token_ends=tuple(range(1, len(text) + 1)),
        usage=Usage(generated=len(text), calls=1, prefilled=len(request.prefix)),
    )


def _state(problem: Problem, prefix: str) -> State:
    state = State.of(problem)
    for line in prefix.splitlines(keepends=True):
        state.take(line)
    return state
