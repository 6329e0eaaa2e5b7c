"""Specifies the world `sudoku`: one solution a grid, and digits judged by it.

Run: python -m pytest tests/worlds/test_sudoku.py
"""

from __future__ import annotations

import itertools

import pytest

from preceptor.grade import grade
from preceptor.worlds.sudoku import Sudoku, puzzle, solutions, unique_solution

WORLD = Sudoku()
GRID = ".1233.4.2..41..."
SOLUTION = "4123324123141432"


def complete(rows):
    """Whether every row, column and box of a 4x4 grid holds four digits."""
    columns = list(zip(*rows))
    boxes = [[rows[r + i][c + j] for i in (0, 1) for j in (0, 1)] for r in (0, 2) for c in (0, 2)]
    return all(len(set(house)) == 4 for house in (*rows, *columns, *boxes))


ALL = ["".join(map("".join, rows)) for rows in itertools.product(itertools.permutations("1234"), repeat=4)
       if len(set(zip(*rows))) == 4 and complete(rows)]  # fmt: skip


def test_the_solver_finds_every_grid_and_only_grids():
    assert len(ALL) == 288
    assert sorted(solutions("." * 16)) == sorted(ALL)


def test_generated_grids_have_exactly_the_solution_they_name():
    for problem in WORLD.problems("train", 40):
        grid = problem.meta["grid"]
        fitting = [full for full in ALL if all(g in (".", f) for g, f in zip(grid, full))]
        assert fitting == [problem.gold]
        assert grid.count(".") == 8


def test_a_grid_with_two_solutions_or_none_is_refused():
    assert unique_solution("." * 16) is None
    assert unique_solution("11" + "." * 14) is None
    with pytest.raises(ValueError, match="exactly one solution"):
        puzzle("12" + "." * 14)
    with pytest.raises(ValueError, match="16 or 81"):
        puzzle("1" * 25)


@pytest.mark.parametrize(
    "steps, expected",
    [
        (["r1c1=4"], [("ok", 1.0, True)]),
        # Allowed by every row, column and box at sight, but not the solution's.
        (["r2c2=4", "r1c1=4"], [("wrong digit", 0.0, False), ("ok", 1.0, False)]),
        (["r3c2=1", "r3c2=3"], [("wrong digit", 0.0, False), ("illegal move", 0.0, False)]),
        (["r1c2=1", "r5c1=1", "r1c1=5"], [("illegal move", 0.0, True)] * 3),
        (["r1c1", "put 4 first"], [("unparseable", 0.0, True)] * 2),
        ([f"Answer: {SOLUTION}", "r1c1=4"], [("ok", 1.0, True), ("after the answer", 0.0, True)]),
        ([f"Answer: {SOLUTION[:-1]}1"], [("wrong answer", 0.0, False)]),
    ],
)
def test_each_kind_of_move(steps, expected):
    problem = puzzle(GRID)
    assert problem.gold == SOLUTION
    assert [(t.truth.kind, t.reward, t.truth.reachable) for t in WORLD.turns(problem, steps)] == expected


def test_every_reference_is_right_in_both_sizes():
    for problem in [*WORLD.problems("train", 20), *WORLD.problems("train", 2, size=9, blanks=30)]:
        assert all(t.valid and t.reachable for t in WORLD.judge(problem, problem.reference)), problem
        assert grade(problem, "".join(problem.reference)).correct


def test_a_known_grid_of_nine():
    grid = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
    right = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
    assert unique_solution(grid) == right
    assert [t.kind for t in WORLD.judge(puzzle(grid), ["r1c3=4", "r1c4=2"])] == ["ok", "wrong digit"]


def test_splits_share_no_solution_and_a_smaller_n_is_a_prefix():
    found = {split: WORLD.problems(split, 40) for split in ("train", "dev", "test")}
    golds = {split: {p.gold for p in problems} for split, problems in found.items()}
    assert not golds["train"] & golds["test"]
    assert not golds["train"] & golds["dev"]
    assert not golds["dev"] & golds["test"]
    assert WORLD.problems("dev", 5) == found["dev"][:5]
    with pytest.raises(ValueError, match="blanks"):
        WORLD.problems("test", 1, blanks=16)
