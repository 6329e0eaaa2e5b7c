"""Specifies the world `tictactoe`: exact values, and moves judged by them for the side that moves.

Run: python -m pytest tests/worlds/test_tictactoe.py
"""

from __future__ import annotations

from collections import Counter

import pytest

from preceptor.grade import grade
from preceptor.worlds.tictactoe import EMPTY, LINES, TicTacToe, _positions, moves, position, value, winner
from preceptor.worlds.turns import TurnWorld

WORLD = TicTacToe()
CORNERS = "X...O...X"
"""O to move: an edge draws, a corner loses."""


def naive(cells, side):
    """Negamax over a list of cells: the value for the side to move, written apart from the world."""
    for a, b, c in LINES:
        if cells[a] is not None and cells[a] == cells[b] == cells[c]:
            return -1
    free = [i for i in range(9) if cells[i] is None]
    if not free:
        return 0
    return max(-naive([*cells[:i], side, *cells[i + 1 :]], not side) for i in free)


def test_values_are_those_of_a_naive_search():
    boards = [p.meta["board"] for p in WORLD.problems("train", 150, played=(3, 6))]
    for board in boards:
        side = board.count("X") > board.count("O")
        cells = [None if c == "." else c == "O" for c in board]
        assert value(board) == naive(cells, side) * (-1 if side else 1), board


def test_the_known_numbers_of_the_game():
    assert len(_positions()) == 4520, "unfinished positions"
    assert value(EMPTY) == 0
    assert sum(1 for b in _positions() if b.count(".") == 8) == 9
    finished = {a for b in _positions() for a in moves(b) if not moves(a)}
    assert Counter(winner(b) for b in finished) == {"X": 626, "O": 316, None: 16}


@pytest.mark.parametrize(
    "board, steps, kinds, rewards",
    [
        # X can win at 3 (row), draw or lose elsewhere.
        ("XX.OO....", ["X3"], ["ok"], [1.0]),
        ("XX.OO....", ["X6"], ["worse move"], [0.5]),
        ("XX.OO....", ["X9", "O6"], ["worse move", "ok"], [0.0, 1.0]),
        # Spaces do not matter; the other side, a taken square and no move at all change nothing.
        ("XX.OO....", ["O3", "X1", "X0", "take 3", "X 3"], ["illegal move"] * 2 + ["unparseable"] * 2 + ["ok"],
         [0.0] * 4 + [1.0]),
        ("XX.OO....", ["X3", "O6"], ["ok", "illegal move"], [1.0, 0.0]),
        ("XX.OO....", ["X3", "Answer: X", "O6"], ["ok", "ok", "after the answer"], [1.0, 1.0, 0.0]),
        ("XX.OO....", ["Answer: draw"], ["wrong answer"], [0.0]),
        (CORNERS, ["O2"], ["ok"], [1.0]),
        (CORNERS, ["O3"], ["worse move"], [0.0]),
    ],
)  # fmt: skip
def test_each_kind_of_move(board, steps, kinds, rewards):
    turns = WORLD.turns(position(board), steps)
    assert [t.truth.kind for t in turns] == kinds
    assert [t.reward for t in turns] == rewards
    assert [t.truth.valid for t in turns] == [k == "ok" for k in kinds]


def test_in_a_lost_game_every_best_move_is_right():
    """Outcome alone would give the loser nothing."""
    lost = [p for p in WORLD.problems("train", 800, played=(2, 5)) if p.gold == "O" and "X moves" in p.prompt]
    assert len(lost) > 10
    for problem in lost:
        turns = WORLD.turns(problem, problem.reference)
        assert [t.reward for t in turns] == [1.0] * len(turns)
        assert "X" in {line[0] for line in problem.reference[:-1]}, "X moves, and loses"


def test_a_worse_move_puts_the_answer_out_of_reach_until_it_is_given_back():
    problem = position("XX.OO....")
    # X misses the win, O misses the block: X can win again.
    assert [t.reachable for t in WORLD.judge(problem, ["X6", "O9", "X3"])] == [False, True, True]


def test_every_reference_is_right_and_splits_are_disjoint():
    found = {split: WORLD.problems(split, 150) for split in ("train", "dev", "test")}
    for problem in found["train"]:
        assert all(t.valid and t.reachable for t in WORLD.judge(problem, problem.reference)), problem
        assert grade(problem, "".join(problem.reference)).correct
    assert len({p.id for problems in found.values() for p in problems}) == 450
    assert {p.gold for p in found["train"]} == {"X", "O", "draw"}
    assert WORLD.problems("test", 10) == found["test"][:10]
    with pytest.raises(ValueError, match="at most"):
        WORLD.problems("test", 5000)
    assert isinstance(WORLD, TurnWorld)
