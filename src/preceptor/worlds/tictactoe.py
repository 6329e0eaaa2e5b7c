"""The world `tictactoe`: play a position to its end for both sides, with the exact value of every move.

A step is one move, `X5` (squares 1 to 9, row by row), the last line `Answer: X`, `Answer: O` or `Answer: draw`:
who wins with best play. Oracle: search. A move is *valid* when its minimax value equals the best one for the side
that moves, so all moves of a lost game can be right; the reward is the ratio of the two values on the scale loss
0, draw 1/2, win 1. Left out: opponents; the writer of the trace moves for both sides.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.base import StepTruth
from preceptor.worlds.turns import ILLEGAL, UNPARSEABLE, Turn, turns_of

SPLITS = {"test": (0, 1), "dev": (2, 3), "train": tuple(range(4, 10))}
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
EMPTY = "." * 9
OUTCOMES = {1: "X", -1: "O", 0: "draw"}
_MOVE = re.compile(r"([XO])\s*([1-9])", re.ASCII)


def mover(board: str) -> str:
    return "X" if board.count("X") == board.count("O") else "O"


def winner(board: str) -> str | None:
    return next((board[a] for a, b, c in LINES if board[a] != "." and board[a] == board[b] == board[c]), None)


def moves(board: str) -> list[str]:
    """Boards after every legal move, by square; none when the game is over."""
    if winner(board):
        return []
    side = mover(board)
    return [board[:i] + side + board[i + 1 :] for i in range(9) if board[i] == "."]


@cache
def value(board: str) -> int:
    """Result of best play: 1 when X wins, -1 when O wins, 0 for a draw."""
    won = winner(board)
    after = moves(board)
    if won or not after:
        return {"X": 1, "O": -1, None: 0}[won]
    return (max if mover(board) == "X" else min)(map(value, after))


def reference(board: str) -> tuple[str, ...]:
    """Best play of both sides, the first best square each time."""
    start, lines = board, []
    while after := moves(board):
        best = next(b for b in after if value(b) == value(board))
        square = next(i for i in range(9) if best[i] != board[i])
        lines.append(f"{mover(board)}{square + 1}\n")
        board = best
    return (*lines, f"Answer: {OUTCOMES[value(start)]}\n")


def position(board: str) -> Problem:
    """The problem of playing on from a board such as `X.O......`, read row by row."""
    rows = "\n".join(board[i : i + 3] for i in (0, 3, 6))
    return Problem(
        prompt="Tic-tac-toe; the squares are numbered 1 to 9, row by row. Play on from this board with best moves "
        f"for both sides, one move a line such as `X5`, then write who wins with best play: `Answer: X`, "
        f"`Answer: O` or `Answer: draw`. {mover(board)} moves first.\n{rows}",
        gold=OUTCOMES[value(board)],
        id=f"tictactoe-{board.replace('.', '-')}",
        world="tictactoe",
        grader="exact",
        segmenter="line",
        reference=reference(board),
        meta={"board": board},
    )


@cache
def _positions() -> tuple[str, ...]:
    """Every position that play from the empty board can reach and that is not over."""
    seen, rest = {EMPTY}, [EMPTY]
    while rest:
        for after in moves(rest.pop()):
            if after not in seen and moves(after):
                seen.add(after)
                rest.append(after)
    return tuple(sorted(seen))


@dataclass(frozen=True)
class TicTacToe:
    """All unfinished positions."""

    name: str = "tictactoe"

    def problems(
        self, split: str = "test", n: int = 64, seed: int = 0, *, played: tuple[int, int] = (1, 6)
    ) -> list[Problem]:
        """`n` positions of a split ("train", "dev" or "test") after so many moves (both ends included); fewer
        exist than may be asked for."""
        if split not in SPLITS:
            raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
        low, high = played
        found = [
            b
            for b in _positions()
            if low <= 9 - b.count(".") <= high and int(content_id("tictactoe", b), 16) % 10 in SPLITS[split]
        ]
        if len(found) < n:
            raise ValueError(f"tictactoe split {split!r}: got n={n}, expected at most {len(found)}")
        random.Random(stream_seed("tictactoe", split, seed, low, high)).shuffle(found)
        return [position(board) for board in found[:n]]

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "worse move", "illegal move" (square taken, wrong side, game over), "wrong answer", "after
        the answer", "unparseable". After a worse move play goes on from the board it leads to."""
        return [turn.truth for turn in self.turns(problem, steps)]

    def turns(self, problem: Problem, steps: Sequence[str]) -> list[Turn]:
        return turns_of(_Game(problem.meta["board"]), problem, steps)


class _Game:
    def __init__(self, board: str):
        self.board, self.gold = board, value(board)

    @property
    def reachable(self) -> bool:
        """Best play from here ends as best play from the start does."""
        return value(self.board) == self.gold

    def move(self, line: str) -> tuple[str, float]:
        found = _MOVE.fullmatch(line)
        if found is None:
            return UNPARSEABLE, 0.0
        side, at = found[1], int(found[2]) - 1
        before = self.board
        if winner(before) or side != mover(before) or before[at] != ".":
            return ILLEGAL, 0.0
        self.board = before[:at] + side + before[at + 1 :]
        sign = 1 if side == "X" else -1
        got, best = (1 + sign * value(b) for b in (self.board, before))
        return ("ok" if got == best else "worse move"), (got / best if best else 1.0)
