"""A policy of known quality for Game of 24: plays wisely at a set rate, otherwise at random.

At each move it chooses, with probability `wise` and where one exists, uniformly among the moves after which 24
can still be made, else uniformly among all legal moves. When one number is left it answers with the
expression its moves amount to. The success probability of any sound prefix is computed exactly over all
plays. One character is one token. Left out: wrong sums and miscopied numbers (the oracle's tests write those).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.policy.scripted import write_lines
from preceptor.trace import Problem, content_id
from preceptor.worlds.twentyfour import Table, moves, reachable, read_move, show


@dataclass(frozen=True)
class ScriptedGame24:
    """Continues sound prefixes of attempts at problems of the world `game24`."""

    wise: float = 0.5

    @property
    def fingerprint(self) -> str:
        return content_id("scripted-game24", self.wise)

    def value(self, problem: Problem, prefix: str) -> float:
        """Exact probability that a continuation of `prefix` (whole lines) ends in the right answer."""
        terms, answered = _replay(problem, prefix)
        if answered is not None:
            return float(answered)
        return _value(tuple(sorted(v for v, _ in terms)), self.wise, int(problem.meta["target"]))

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        return [self._continue(request) for request in requests]

    def _continue(self, request: Request) -> Continuation:
        rng = random.Random(request.stream)
        terms, answered = _replay(request.problem, request.prefix)
        target = int(request.problem.meta["target"])

        def line() -> str | None:
            nonlocal answered
            if answered is not None:
                return None
            if len(terms) > 1:
                return self._move(terms, target, rng)
            answered = True
            return f"Answer: {_bare(terms[0][1])}\n"

        return write_lines(request, line)

    def _move(self, terms: list[tuple[Fraction, str]], target: int, rng: random.Random) -> str:
        """Play one move in `terms` and return its line."""
        legal = list(moves(tuple(sorted(v for v, _ in terms))))
        good = [m for m in legal if reachable(m[-1], target)]
        a, op, b, c, _ = rng.choice(good if good and rng.random() < self.wise else legal)
        _play(terms, a, op, b, c)
        return f"{show(a)}{op}{show(b)}={show(c)}\n"


@lru_cache(maxsize=100_000)
def _value(table: Table, wise: float, target: int) -> float:
    if len(table) == 1:
        return float(table[0] == target)
    after = [m[-1] for m in moves(table)]
    good = [t for t in after if reachable(t, target)]
    blind = sum(_value(t, wise, target) for t in after) / len(after)
    if not good:
        return blind
    return wise * sum(_value(t, wise, target) for t in good) / len(good) + (1 - wise) * blind


def _play(terms: list[tuple[Fraction, str]], a: Fraction, op: str, b: Fraction, c: Fraction) -> None:
    left = next(t for t in terms if t[0] == a)
    terms.remove(left)
    right = next(t for t in terms if t[0] == b)
    terms.remove(right)
    terms.append((c, f"({left[1]}{op}{right[1]})"))


def _bare(expression: str) -> str:
    return expression[1:-1] if expression.startswith("(") else expression


def _replay(problem: Problem, prefix: str) -> tuple[list[tuple[Fraction, str]], bool | None]:
    """Numbers with their expressions after `prefix`, and how it answered, if it did."""
    from preceptor.grade import grade

    terms = [(Fraction(n), str(n)) for n in problem.meta["numbers"]]
    for line in prefix.splitlines():
        if line.startswith("Answer:"):
            return terms, grade(problem, line).correct
        move = read_move(line)
        values = [v for v, _ in terms]
        if move is None or move[0] not in values or move[2] not in values:
            raise InputError(f"prefix of {problem.id}: got {line!r}, expected a move on the numbers left")
        _play(terms, *move)
    return terms, None
