"""Specifies the world `minesweeper`: exact chances, and moves judged by what is known when they are made.

Run: python -m pytest tests/worlds/test_minesweeper.py
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from preceptor.grade import grade
from preceptor.worlds.minesweeper import Belief, Minesweeper, board, count, right_moves, show
from preceptor.worlds.turns import Environment

WORLD = Minesweeper()


def brute(size, mines, shown):
    """Chance of a mine in every hidden cell: all grids of 0 and 1, kept when every shown number is right."""
    fitting = []
    for cells in itertools.product((0, 1), repeat=size * size):
        grid = [cells[r * size : (r + 1) * size] for r in range(size)]
        around = {
            (r, c): sum(sum(row[max(0, c - 1) : c + 2]) for row in grid[max(0, r - 1) : r + 2])
            for r in range(size)
            for c in range(size)
        }
        if sum(cells) == mines and all(
            not cells[i] and around[divmod(i, size)] == number for i, number in shown.items()
        ):
            fitting.append(cells)
    return {
        i: Fraction(sum(cells[i] for cells in fitting), len(fitting))
        for i in range(size * size)
        if i not in shown
    }


@pytest.mark.parametrize(
    "size, mines, opened", [(3, 2, [0]), (3, 3, [0, 1]), (3, 2, [4]), (4, 3, [0, 1, 5, 10])]
)
def test_chances_are_those_of_brute_force(size, mines, opened):
    placed = [c for c in range(size * size) if c not in opened][-mines:]
    shown = {c: count(size, placed, c) for c in opened}
    assert Belief(size, mines, shown).chances() == brute(size, mines, shown)


def test_seeing_a_cell_is_knowing_it_from_the_start():
    placed = [3, 9, 15]
    later = Belief(4, 3, {0: count(4, placed, 0)})
    later.see(6, count(4, placed, 6))
    both = Belief(4, 3, {c: count(4, placed, c) for c in (0, 6)})
    assert later.chances() == both.chances()


CORNER = board(3, [8], [0, 1, 2])
"""000 shown in the first row, one mine below right: the middle row is safe."""

FORK = board(3, [6], [1, 4])
"""1 in the middle, 0 above it: the mine is in the lowest row, one of three cells."""


@pytest.mark.parametrize(
    "problem, steps, expected",
    [
        (CORNER, ["open r2c1", "open r2c2"], [("ok", 1.0, True), ("ok", 1.0, True)]),
        # Safe in truth, but not certain while certain moves exist.
        (CORNER, ["open r3c1"], [("unsafe opening", 0.0, True)]),
        (CORNER, ["flag r3c3"], [("unsure flag", 0.0, True)]),
        (CORNER, ["open r2c2", "open r2c1", "open r2c3", "flag r3c3"], [("ok", 1.0, True)] * 4),
        (CORNER, ["open r3c3", "open r2c1"], [("unsafe opening", 0.0, False), ("illegal move", 0.0, False)]),
        (CORNER, ["open r1c1", "open r4c1", "open r0c1"], [("illegal move", 0.0, True)] * 3),
        (CORNER, ["click r2c1", ""], [("unparseable", 0.0, True)] * 2),
        (CORNER, ["Answer: r3c3"], [("ok", 1.0, True)]),
        (CORNER, ["Answer: r3c2"], [("wrong answer", 0.0, False)]),
    ],
)
def test_each_kind_of_move(problem, steps, expected):
    assert [(t.truth.kind, t.reward, t.truth.reachable) for t in WORLD.turns(problem, steps)] == expected


def test_without_certain_moves_the_least_likely_mine_is_right_even_when_it_explodes():
    opened = {c: count(3, FORK.meta["mines"], c) for c in FORK.meta["opened"]}
    chances = Belief(3, 1, opened).chances()
    assert {chances[c] for c in (6, 7, 8)} == {Fraction(1, 3)}
    safe = ["open r1c1", "open r1c3", "open r2c1", "open r2c3"]
    # While safe cells are left no cell of the lowest row is right; once they are open the mine is known.
    assert [t.reward for t in WORLD.turns(FORK, ["open r3c1"])] == [0.0]
    assert [t.reward for t in WORLD.turns(FORK, [*safe, "flag r3c1", "open r3c2"])] == [1.0] * 6

    guess = board(3, [0], [4])  # One mine somewhere around the middle: every cell has chance 1/8.
    turns = WORLD.turns(guess, ["open r1c1", "open r1c2"])
    assert [(t.truth.kind, t.reward, t.truth.reachable) for t in turns] == [
        ("ok", 1.0, False),
        ("illegal move", 0.0, False),
    ]


def test_a_likelier_mine_is_no_right_guess():
    # 1 in the corner: three neighbours with chance 1/3; the other cells share one mine among five: 1/5.
    problem = board(3, [1, 8], [0])
    chances = Belief(3, 2, {0: 1}).chances()
    assert (chances[1], chances[8]) == (Fraction(1, 3), Fraction(1, 5))
    assert right_moves(chances) == {("open", c) for c in (2, 5, 6, 7, 8)}
    assert [t.reward for t in WORLD.turns(problem, ["open r2c1"])] == [0.0], (
        "safe in truth, but a worse guess"
    )
    assert [t.reward for t in WORLD.turns(problem, ["open r3c3"])] == [1.0], (
        "a mine in truth, but the best guess"
    )


@pytest.mark.parametrize("luck", [False, True])
def test_references_are_right_and_graded_correct(luck):
    for problem in WORLD.problems("train", 15, luck=luck):
        assert all(t.valid and t.reachable for t in WORLD.judge(problem, problem.reference)), problem
        assert grade(problem, "".join(problem.reference)).correct
        safe = problem.meta["size"] ** 2 - len(problem.meta["mines"]) - len(problem.meta["opened"])
        assert sum(line.startswith("open") for line in problem.reference) == safe, "every safe cell is opened"


def test_without_luck_certain_moves_alone_open_every_safe_cell():
    for problem in WORLD.problems("dev", 10):
        size, mines = problem.meta["size"], problem.meta["mines"]
        belief = Belief(size, len(mines), {c: count(size, mines, c) for c in problem.meta["opened"]})
        while len(belief.hidden) > len(mines):
            safe = [c for c, p in belief.chances().items() if p == 0]
            assert safe, problem
            for cell in safe:
                belief.see(cell, count(size, mines, cell))


def test_splits_are_disjoint_and_impossible_boards_are_refused():
    ids = {split: {p.id for p in WORLD.problems(split, 20)} for split in ("train", "dev", "test")}
    assert len(set.union(*ids.values())) == 60
    with pytest.raises(ValueError, match="boards are possible"):
        WORLD.problems("test", 1, size=6, mines=9)
    with pytest.raises(ValueError, match="found only"):
        WORLD.problems("test", 500, size=3, mines=1)


def test_a_reply_says_what_was_seen_and_no_more():
    (problem,) = WORLD.problems("train", 1, size=4, mines=3)
    mines, opened = problem.meta["mines"], problem.meta["opened"]
    mine, safe = show(4, mines[0]), show(4, next(c for c in range(16) if c not in (*mines, *opened)))
    cell = (int(safe[1]) - 1) * 4 + int(safe[3]) - 1
    seen = f"> {safe} shows {count(4, mines, cell)}\n"
    assert WORLD.reply(problem, [f"open {safe}\n"]) == seen
    assert WORLD.reply(problem, [f"open {safe}\n", f"open {safe}\n"]) == "> illegal move\n"
    assert WORLD.reply(problem, [f"open {mine}"]) == f"> {mine} is a mine\n"
    assert WORLD.reply(problem, [f"open {mine}", f"open {safe}"]) == "> illegal move\n"
    assert WORLD.reply(problem, ["hello"]) == WORLD.reply(problem, [seen]) == "> unparseable\n"
    assert WORLD.reply(problem, [f"flag {mine}"]) == WORLD.reply(problem, [f"flag {safe}"]) == ""
    assert WORLD.reply(problem, []) == ""
    assert isinstance(WORLD, Environment)


def test_a_step_that_holds_a_reply_is_judged_by_its_turn():
    (problem,) = WORLD.problems("train", 1, size=4, mines=3)
    turns = list(problem.reference)
    told = [t + WORLD.reply(problem, turns[: k + 1]) for k, t in enumerate(turns[:-1])]
    assert all("shows" in t for t in told if t.startswith("open"))
    assert WORLD.turns(problem, [*told, turns[-1]]) == WORLD.turns(problem, turns)
    assert WORLD.turns(problem, ["> r1c1 shows 0\n"])[0].truth.kind == "unparseable"
