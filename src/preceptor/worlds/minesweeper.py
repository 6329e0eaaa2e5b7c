"""The world `minesweeper`: open the safe cells of a small board, with the exact chance of a mine in every cell.

A step is `open r1c2` or `flag r1c2`, the last line `Answer: ` and the mines in reading order. Oracle: posterior, by
enumerating the boards that fit what is seen when the move is made. A move is *valid* when it opens a cell of
probability 0 or flags one of probability 1; when neither exists, when it opens a cell of the smallest probability
(ours; not found in the paper), even if a mine turns out to be there. As an environment the world says what a cell
shows, so that moves follow from what is seen; in a text written in one go the numbers can only be guessed. Left out:
opening the neighbours of a 0.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import comb

from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.base import StepTruth
from preceptor.worlds.turns import ILLEGAL, REPLY, UNPARSEABLE, Turn, turns_of

SPLITS = {"test": (0,), "dev": (1,), "train": tuple(range(2, 10))}
"""A problem belongs to the split that its content hash modulo 10 falls in."""
MAX_BOARDS = 200_000
PATIENCE = 20_000
"""Boards drawn without a new one before the world gives up."""
_MOVE = re.compile(r"(open|flag) r(\d)c(\d)", re.ASCII)


def neighbours(size: int, cell: int) -> list[int]:
    row, column = divmod(cell, size)
    around = [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    return [r * size + c for r, c in around if 0 <= r < size and 0 <= c < size]


def count(size: int, mines: Sequence[int], cell: int) -> int:
    """The number a cell shows when it is opened."""
    return len(set(mines) & set(neighbours(size, cell)))


class Belief:
    """All boards that fit what is seen."""

    def __init__(self, size: int, mines: int, shown: Mapping[int, int]):
        hidden = [c for c in range(size * size) if c not in shown]
        if comb(len(hidden), mines) > MAX_BOARDS:
            raise ValueError(
                f"minesweeper: got {mines} mines in {len(hidden)} hidden cells, expected at most "
                f"{MAX_BOARDS} boards. Take a smaller board or fewer mines."
            )
        self.size, self.hidden = size, hidden
        boards = list(map(sum, combinations([1 << c for c in hidden], mines)))
        for cell, number in shown.items():
            boards = self._fitting(boards, cell, number)
        self.boards = boards

    def see(self, cell: int, number: int) -> None:
        """A safe cell was opened and shows a number."""
        self.hidden.remove(cell)
        self.boards = self._fitting(self.boards, cell, number)

    def _fitting(self, boards: list[int], cell: int, number: int) -> list[int]:
        near = sum(1 << c for c in neighbours(self.size, cell))
        return [b for b in boards if not b >> cell & 1 and (b & near).bit_count() == number]

    def chances(self) -> dict[int, Fraction]:
        """Chance of a mine in every hidden cell, all fitting boards being equally likely."""
        total = len(self.boards)
        return {c: Fraction(sum(b >> c & 1 for b in self.boards), total) for c in self.hidden}


def right_moves(chances: Mapping[int, Fraction], flagged: Sequence[int] = ()) -> set[tuple[str, int]]:
    """The certain moves; when there are none, every opening of the smallest chance."""
    free = {c: p for c, p in chances.items() if c not in flagged}
    certain = {("open", c) for c, p in free.items() if p == 0} | {
        ("flag", c) for c, p in free.items() if p == 1
    }
    return certain or {("open", c) for c, p in free.items() if p == min(free.values())}


def show(size: int, cell: int) -> str:
    return f"r{cell // size + 1}c{cell % size + 1}"


def board(size: int, mines: Sequence[int], opened: Sequence[int]) -> Problem:
    """The problem with these mines, of which the opened (safe) cells show their numbers."""
    mines = sorted(mines)
    shown = {c: count(size, mines, c) for c in opened}
    cells = [str(shown.get(c, "?")) for c in range(size * size)]
    rows = "\n".join("".join(cells[i : i + size]) for i in range(0, size * size, size))
    answer = " ".join(show(size, c) for c in mines)
    return Problem(
        prompt=f"Minesweeper with {len(mines)} mines; a number counts the mines among the eight neighbours, ? is "
        "hidden. Write one move a line, `open r1c2` for a safe cell or `flag r1c2` for a mine, then `Answer: ` and "
        f"the mines in reading order such as `r1c2 r3c1`.\n{rows}",
        gold=answer,
        id="minesweeper-" + content_id(size, mines, sorted(opened)),
        world="minesweeper",
        grader="exact",
        segmenter="line",
        reference=(*_solution(size, mines, shown), f"Answer: {answer}\n"),
        meta={"size": size, "mines": mines, "opened": sorted(opened)},
    )


def _solution(size: int, mines: Sequence[int], shown: Mapping[int, int]) -> list[str]:
    """Right moves until every safe cell is open; stops where only luck helps and every best guess is a mine."""
    belief, flagged = Belief(size, len(mines), shown), list[int]()
    lines: list[str] = []
    while len(belief.hidden) > len(mines):
        moves = sorted(
            m for m in right_moves(belief.chances(), flagged) if (m[1] in mines) == (m[0] == "flag")
        )
        if not moves:
            break
        what, cell = max(moves, key=lambda m: (m[0] == "open", -m[1]))
        lines.append(f"{what} {show(size, cell)}\n")
        if what == "open":
            belief.see(cell, count(size, mines, cell))
        else:
            flagged.append(cell)
    return lines


def _needs_luck(size: int, mines: Sequence[int], opened: Sequence[int]) -> bool:
    belief = Belief(size, len(mines), {c: count(size, mines, c) for c in opened})
    while len(belief.hidden) > len(mines):
        safe = [c for c, p in belief.chances().items() if p == 0]
        if not safe:
            return True
        for cell in safe:
            belief.see(cell, count(size, mines, cell))
    return False


@dataclass(frozen=True)
class Minesweeper:
    """Generated square boards. One cell is shown at the start, a 0 with all its neighbours; without luck it is a 0."""

    name: str = "minesweeper"

    def problems(
        self,
        split: str = "test",
        n: int = 64,
        seed: int = 0,
        *,
        size: int = 5,
        mines: int = 4,
        luck: bool = False,
    ) -> list[Problem]:
        """`n` boards of a split ("train", "dev" or "test"). Without `luck` each can be solved by certain moves
        alone; with it, each needs at least one guess."""
        if split not in SPLITS:
            raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
        if (
            not 3 <= size <= 6
            or not 1 <= mines <= size * size // 3
            or comb(size * size - 1, mines) > MAX_BOARDS
        ):
            raise ValueError(
                f"got size={size}, mines={mines}, expected a size from 3 to 6 and few enough mines that at most "
                f"{MAX_BOARDS} boards are possible"
            )
        rng = random.Random(stream_seed("minesweeper", split, seed, size, mines, luck))
        found: dict[str, Problem] = {}
        fruitless = 0
        while len(found) < n:
            fruitless += 1
            if fruitless > PATIENCE:
                raise ValueError(
                    f"minesweeper split {split!r}: got n={n}, found only {len(found)} such boards"
                )
            first, *hidden = rng.sample(range(size * size), mines + 1)
            clear = count(size, hidden, first) == 0
            if not clear and not luck:
                continue
            opened = sorted([first, *(neighbours(size, first) if clear else [])])
            own = content_id(size, sorted(hidden), opened)
            if (
                int(own, 16) % 10 in SPLITS[split]
                and _needs_luck(size, hidden, opened) is luck
                and own not in found
            ):
                found[own], fruitless = board(size, hidden, opened), 0
        return list(found.values())

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "unsafe opening", "unsure flag" (it is not set), "illegal move" (cell open or flagged, game
        over), "wrong answer", "after the answer", "unparseable". A mine that is opened ends the game."""
        return [turn.truth for turn in self.turns(problem, steps)]

    def turns(self, problem: Problem, steps: Sequence[str]) -> list[Turn]:
        return turns_of(_Game.of(problem), problem, steps)

    def reply(self, problem: Problem, turns: Sequence[str]) -> str:
        """`> r1c2 shows 1` or `> r1c2 is a mine` to a cell that was opened, `> illegal move`, `> unparseable`; nothing
        to a flag, set or not, for that would tell what is certain."""
        game, kind, line = _Game.of(problem), "", ""
        for turn in turns:
            line = turn.strip()
            kind, _ = game.move(line)
        if kind in (ILLEGAL, UNPARSEABLE):
            return f"{REPLY}{kind}\n"
        if not line.startswith("open"):
            return ""
        cell = line.removeprefix("open ")
        shows = f"shows {game.seen}" if game.reachable else "is a mine"
        return f"{REPLY}{cell} {shows}\n"


class _Game:
    @classmethod
    def of(cls, problem: Problem) -> _Game:
        return cls(problem.meta["size"], problem.meta["mines"], problem.meta["opened"])

    def __init__(self, size: int, mines: Sequence[int], opened: Sequence[int]):
        self.size, self.mines, self.flagged = size, mines, list[int]()
        self.belief = Belief(size, len(mines), {c: count(size, mines, c) for c in opened})
        self.reachable = True
        self.seen = 0
        """The number of the cell that was opened last."""

    def move(self, line: str) -> tuple[str, float]:
        found = _MOVE.fullmatch(line)
        if found is None:
            return UNPARSEABLE, 0.0
        what, row, column = found[1], int(found[2]) - 1, int(found[3]) - 1
        cell = row * self.size + column
        inside = 0 <= row < self.size and 0 <= column < self.size
        if not self.reachable or not inside or cell not in self.belief.hidden or cell in self.flagged:
            return ILLEGAL, 0.0
        right = (what, cell) in right_moves(self.belief.chances(), self.flagged)
        if what == "flag":
            if right:
                self.flagged.append(cell)
            return ("ok" if right else "unsure flag"), float(right)
        if cell in self.mines:
            self.reachable = False
        else:
            self.seen = count(self.size, self.mines, cell)
            self.belief.see(cell, self.seen)
        return ("ok" if right else "unsafe opening"), float(right)
