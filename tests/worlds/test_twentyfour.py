"""Specifies the world `game24`: exact reachability by exhaustive play, and the truth about each move.

Run: python -m pytest tests/worlds/test_twentyfour.py
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from preceptor.grade import grade
from preceptor.worlds.twentyfour import Game24, puzzle, reachable

WORLD = Game24()


def table(*numbers):
    return tuple(sorted(map(Fraction, numbers)))


def brute(numbers):
    """All expression values by merging ordered lists, independently of `moves`."""
    if len(numbers) == 1:
        return {numbers[0]}
    values = set()
    for i, j in itertools.permutations(range(len(numbers)), 2):
        rest = [numbers[k] for k in range(len(numbers)) if k not in (i, j)]
        a, b = numbers[i], numbers[j]
        for c in [a + b, a - b, a * b, *([a / b] if b else [])]:
            values |= brute([*rest, c])
    return values


@pytest.mark.parametrize(
    "hand", [(3, 3, 8, 8), (1, 5, 5, 5), (1, 1, 1, 1), (4, 9, 10, 13), (13, 13, 13, 13), (1, 3, 4, 6)]
)
def test_reachability_equals_brute_force(hand):
    assert reachable(table(*hand)) == (24 in brute([Fraction(x) for x in hand]))


def test_the_number_of_solvable_hands_is_the_known_one():
    hands = itertools.combinations_with_replacement(range(1, 14), 4)
    assert sum(reachable(table(*h)) for h in hands) == 1362, "1,362 of the 1,820 hands of 1..13 can make 24"


def test_every_reference_is_valid_reachable_and_graded_correct():
    for problem in WORLD.problems("train", 40):
        assert all(t.valid and t.reachable for t in WORLD.judge(problem, problem.reference)), problem
        assert grade(problem, "".join(problem.reference)).correct


def test_fractions_are_exact():
    problem = puzzle([3, 3, 8, 8])
    steps = ["8/3=(8/3)", "3-(8/3)=(1/3)", "8/(1/3)=24", "Answer: 8/(3-8/3)"]
    assert [t.kind for t in WORLD.judge(problem, steps)] == ["ok"] * 4
    assert WORLD.judge(problem, ["8/3=2"])[0].kind == "wrong result"


@pytest.mark.parametrize(
    "steps, expected",
    [
        # Legal and fatal: validity and reachability are two questions.
        (["4+13=17"], [(True, False, "ok")]),
        (["10-4=6"], [(True, True, "ok")]),
        (["10-4=7", "7+9=16"], [(False, False, "wrong result"), (True, False, "ok")]),
        (["10-5=5", "10-4=6"], [(False, True, "wrong copy"), (True, True, "ok")]),
        (["ten minus four"], [(False, True, "unparseable")]),
        (["4/0=1", "1/(1/0)=3"], [(False, True, "wrong copy"), (False, True, "unparseable")]),
        (["Answer: 24"], [(False, False, "wrong answer")]),
        (["Answer: (10-4)*(13-9)", "10-4=6"], [(True, True, "ok"), (False, True, "after the answer")]),
    ],
)
def test_each_kind_of_move(steps, expected):
    truths = WORLD.judge(puzzle([4, 9, 10, 13]), steps)
    assert [(t.valid, t.reachable, t.kind) for t in truths] == expected


def test_splits_are_disjoint_and_an_impossible_number_is_refused():
    ids = {
        s: {p.id for seed in (0, 1) for p in WORLD.problems(s, 200, seed)} for s in ("train", "dev", "test")
    }
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["dev"]
    assert not ids["dev"] & ids["test"]
    with pytest.raises(ValueError, match="at most"):
        WORLD.problems("test", 5000)
