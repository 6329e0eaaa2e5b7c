"""The world `sudoku`: fill a 4x4 or 9x9 grid that has one solution.

A step is one digit, `r1c2=3`, the last line `Answer: ` and the whole grid row by row. Oracle: constraint. A digit is
*valid* when it is the one of the unique solution; the reward is 1 or 0. A wrong digit stays on the grid, and the
answer is out of reach from then on. Left out: whether a digit could already be deduced, erasing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.base import StepTruth
from preceptor.worlds.turns import ILLEGAL, UNPARSEABLE, Turn, turns_of

SPLITS = {"test": (0,), "dev": (1,), "train": tuple(range(2, 10))}
"""A problem belongs to the split that the hash of its solution modulo 10 falls in: no solution is in two."""
BLANKS = {4: (1, 11), 9: (1, 50)}
"""Size -> how many empty cells may be asked for."""
PATIENCE = 2_000
"""Grids drawn without a new one before the world gives up."""
_MOVE = re.compile(r"r([1-9])c([1-9])\s*=\s*([1-9])", re.ASCII)


@lru_cache(maxsize=2)
def peers(size: int) -> tuple[tuple[int, ...], ...]:
    """For each cell the cells of its row, column and box."""
    box = {4: 2, 9: 3}[size]

    def houses(i: int) -> tuple[int, ...]:
        row, column = divmod(i, size)
        return row, column + size, (row // box * box + column // box) + 2 * size

    cells = range(size * size)
    return tuple(tuple(j for j in cells if j != i and set(houses(i)) & set(houses(j))) for i in cells)


def solutions(grid: str, rng: random.Random | None = None) -> Iterator[str]:
    """Every completion of a grid (`.` is empty), digits in order or shuffled by `rng`; the most constrained cell
    goes first."""
    size = round(len(grid) ** 0.5)
    near, digits = peers(size), "123456789"[:size]
    best: tuple[int, list[str]] | None = None
    for i, digit in enumerate(grid):
        taken = {grid[j] for j in near[i]}
        if digit != ".":
            if digit in taken:
                return
            continue
        free = [d for d in digits if d not in taken]
        if best is None or len(free) < len(best[1]):
            best = i, free
    if best is None:
        yield grid
        return
    at, free = best
    if rng is not None:
        rng.shuffle(free)
    for digit in free:
        yield from solutions(grid[:at] + digit + grid[at + 1 :], rng)


def unique_solution(grid: str) -> str | None:
    """The solution of a grid that has exactly one."""
    found = solutions(grid)
    first = next(found, None)
    return first if next(found, None) is None else None


def puzzle(grid: str) -> Problem:
    """The problem of completing a grid of 16 or 81 cells, `.` for empty ones."""
    size = round(len(grid) ** 0.5)
    solution = unique_solution(grid) if size in BLANKS and size * size == len(grid) else None
    if solution is None:
        raise ValueError(f"sudoku: got {grid!r}, expected 16 or 81 cells with exactly one solution")
    rows = "\n".join(grid[i : i + size] for i in range(0, len(grid), size))
    fills = [
        f"r{i // size + 1}c{i % size + 1}={solution[i]}\n" for i, digit in enumerate(grid) if digit == "."
    ]
    return Problem(
        prompt=f"Complete the grid so that every row, column and box holds the digits 1 to {size}. Write one digit a "
        f"line such as `r1c2=3`, then `Answer: ` and all {size * size} digits row by row.\n{rows}",
        gold=solution,
        id="sudoku-" + content_id(grid),
        world="sudoku",
        grader="exact",
        segmenter="line",
        reference=(*fills, f"Answer: {solution}\n"),
        meta={"grid": grid},
    )


def _dig(grid: str, blanks: int, rng: random.Random) -> str | None:
    """A full grid with digits taken out while the solution stays unique; None when too few can go."""
    for at in rng.sample(range(len(grid)), len(grid)):
        if grid.count(".") == blanks:
            break
        without = grid[:at] + "." + grid[at + 1 :]
        if unique_solution(without):
            grid = without
    return grid if grid.count(".") == blanks else None


@dataclass(frozen=True)
class Sudoku:
    """Generated grids with one solution."""

    name: str = "sudoku"

    def problems(
        self, split: str = "test", n: int = 64, seed: int = 0, *, size: int = 4, blanks: int = 8
    ) -> list[Problem]:
        """`n` grids of a split ("train", "dev" or "test") with so many empty cells."""
        if split not in SPLITS:
            raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
        if size not in BLANKS or not BLANKS[size][0] <= blanks <= BLANKS[size][1]:
            raise ValueError(f"got size={size}, blanks={blanks}, expected a size of {BLANKS} (size: blanks)")
        rng = random.Random(stream_seed("sudoku", split, seed, size, blanks))
        found: dict[str, Problem] = {}
        fruitless = 0
        while len(found) < n:
            fruitless += 1
            if fruitless > PATIENCE:
                raise ValueError(f"sudoku split {split!r}: got n={n}, found only {len(found)} such grids")
            full = next(solutions("." * size * size, rng))
            grid = _dig(full, blanks, rng) if int(content_id(full), 16) % 10 in SPLITS[split] else None
            if grid is not None and grid not in found:
                found[grid], fruitless = puzzle(grid), 0
        return list(found.values())

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "wrong digit", "illegal move" (no empty cell, no such digit), "wrong answer", "after the
        answer", "unparseable"."""
        return [turn.truth for turn in self.turns(problem, steps)]

    def turns(self, problem: Problem, steps: Sequence[str]) -> list[Turn]:
        return turns_of(_Game(problem.meta["grid"], problem.gold or ""), problem, steps)


class _Game:
    def __init__(self, grid: str, solution: str):
        self.grid, self.solution = grid, solution
        self.size = round(len(grid) ** 0.5)

    @property
    def reachable(self) -> bool:
        return all(digit in (".", right) for digit, right in zip(self.grid, self.solution, strict=True))

    def move(self, line: str) -> tuple[str, float]:
        found = _MOVE.fullmatch(line)
        if found is None:
            return UNPARSEABLE, 0.0
        row, column, digit = map(int, found.groups())
        at = (row - 1) * self.size + column - 1
        if max(row, column, digit) > self.size or self.grid[at] != ".":
            return ILLEGAL, 0.0
        self.grid = self.grid[:at] + found[3] + self.grid[at + 1 :]
        right = found[3] == self.solution[at]
        return ("ok" if right else "wrong digit"), float(right)
