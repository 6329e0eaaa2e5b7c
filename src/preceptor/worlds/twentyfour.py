"""The world `game24`: make 24 from four numbers, with exact reachability.

A step is one move, `A*B=C`: two of the numbers still on the table are replaced by the result; fractions
stand in parentheses, `8/3=(8/3)`. The last line is `Answer: EXPRESSION`, graded by the grader
`countdown`. A move is *valid* when both numbers are on the table and the sum is right, which says nothing
about whether it is wise: that is *reachability*, decided by searching every play with exact fractions.
Left out: targets other than 24 (`target` in `meta` would carry one).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations_with_replacement

from preceptor.grade import grade
from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.base import StepTruth

TARGET = 24
SPLITS = {"test": (0, 1), "dev": (2, 3), "train": tuple(range(4, 10))}
_NUMBER = r"(-?\d{1,6}|\(-?\d{1,6}/\d{1,6}\))"
_MOVE = re.compile(rf"{_NUMBER}\s*([-+*/])\s*{_NUMBER}\s*=\s*{_NUMBER}", re.ASCII)

Table = tuple[Fraction, ...]
"""The numbers on the table, sorted."""


def moves(table: Table) -> Iterator[tuple[Fraction, str, Fraction, Fraction, Table]]:
    """Every distinct legal move: (left, operation, right, result, table after)."""
    seen = set()
    for i, a in enumerate(table):
        for j, b in enumerate(table):
            if i == j:
                continue
            rest = [x for k, x in enumerate(table) if k not in (i, j)]
            results = [("-", a - b)]
            if b:
                results.append(("/", a / b))
            if i < j:
                results += [("+", a + b), ("*", a * b)]
            for op, c in results:
                after = tuple(sorted([*rest, c]))
                if (a, op, b) not in seen:
                    seen.add((a, op, b))
                    yield a, op, b, c, after


@lru_cache(maxsize=200_000)
def reachable(table: Table, target: int = TARGET) -> bool:
    """Whether some sequence of moves turns the table into the target alone."""
    if len(table) == 1:
        return table[0] == target
    return any(reachable(after, target) for *_, after in moves(table))


def show(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"({value})"


def _read(text: str) -> Fraction | None:
    try:
        return Fraction(text.strip("()"))
    except ZeroDivisionError:
        return None


def reference(table: Table, target: int = TARGET) -> tuple[str, ...]:
    """One right solution, answer line included; empty when there is none."""
    terms = [(value, show(value)) for value in table]
    lines: list[str] = []
    while len(terms) > 1:
        now = tuple(sorted(v for v, _ in terms))
        good = [m for m in moves(now) if reachable(m[-1], target)]
        if not good:
            return ()
        a, op, b, c, _ = good[0]
        left = next(t for t in terms if t[0] == a)
        terms.remove(left)
        right = next(t for t in terms if t[0] == b)
        terms.remove(right)
        terms.append((c, f"({left[1]}{op}{right[1]})"))
        lines.append(f"{show(a)}{op}{show(b)}={show(c)}\n")
    return (*lines, f"Answer: {terms[0][1][1:-1]}\n") if terms[0][0] == target else ()


def puzzle(numbers: Sequence[int]) -> Problem:
    """The problem of making 24 from `numbers`, each used exactly once."""
    numbers = sorted(numbers)
    listed = " ".join(map(str, numbers))
    lines = reference(tuple(map(Fraction, numbers)))
    return Problem(
        prompt=f"Use each of the numbers {listed} exactly once with + - * / to make {TARGET}.",
        gold=str(TARGET),
        id="game24-" + "-".join(map(str, numbers)),
        world="game24",
        grader="countdown",
        segmenter="line",
        reference=lines,
        meta={"numbers": numbers, "target": TARGET},
    )


@dataclass(frozen=True)
class Game24:
    """All solvable puzzles of four numbers from 1 to 13."""

    name: str = "game24"

    def problems(self, split: str = "test", n: int = 64, seed: int = 0) -> list[Problem]:
        """`n` solvable puzzles of a split ("train", "dev" or "test"); fewer exist than may be asked for."""
        if split not in SPLITS:
            raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
        hands = [
            h
            for h in combinations_with_replacement(range(1, 14), 4)
            if int(content_id("game24", h), 16) % 10 in SPLITS[split]
        ]
        random.Random(stream_seed("game24", split, seed)).shuffle(hands)
        found: list[Problem] = []
        for hand in hands:
            if len(found) == n:
                break
            if reachable(tuple(map(Fraction, hand))):
                found.append(puzzle(hand))
        if len(found) < n:
            raise ValueError(f"game24 split {split!r}: got n={n}, expected at most {len(found)}")
        return found

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "wrong result", "wrong copy" (a number not on the table), "wrong answer", "after the
        answer", "unparseable". After a wrong result its stated value lies on the table, and no expression
        of the given numbers can be right any more; a line that is no move changes nothing."""
        table = tuple(sorted(Fraction(x) for x in problem.meta["numbers"]))
        target = int(problem.meta["target"])
        truths: list[StepTruth] = []
        spoiled, answered = False, None
        for step in steps:
            line = step.strip()
            if answered is not None:
                truths.append(StepTruth(False, answered, "after the answer"))
            elif line.startswith("Answer:"):
                answered = grade(problem, line).correct
                truths.append(StepTruth(answered, answered, "ok" if answered else "wrong answer"))
            else:
                kind, table = _play(table, line)
                spoiled = spoiled or kind == "wrong result"
                truths.append(StepTruth(kind == "ok", not spoiled and reachable(table, target), kind))
        return truths


def read_move(line: str) -> tuple[Fraction, str, Fraction, Fraction] | None:
    """(left, operation, right, stated result) of a line; None when it is no move."""
    found = _MOVE.fullmatch(line.strip())
    if found is None:
        return None
    a, b, c = _read(found[1]), _read(found[3]), _read(found[4])
    return None if a is None or b is None or c is None else (a, found[2], b, c)


def _play(table: Table, line: str) -> tuple[str, Table]:
    """Kind of the move and the table after it (unchanged when the line is no legal move)."""
    move = read_move(line)
    if move is None:
        return "unparseable", table
    a, op, b, c = move
    rest = list(table)
    for used in (a, b):
        if used not in rest:
            return "wrong copy", table
        rest.remove(used)
    right = (a / b if b else None) if op == "/" else {"+": a + b, "-": a - b, "*": a * b}[op]
    return ("ok" if right == c else "wrong result"), tuple(sorted([*rest, c]))
