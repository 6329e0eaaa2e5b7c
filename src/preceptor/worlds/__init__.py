"""Worlds: problem families whose truth is known, and readers of public data sets.

    base.py               what a world is: `World`, `StepTruth`
    arithmetic.py         word problems with 2-8 dependent operations; generation in `word_problems.py`,
                          the truth about every line in `arithmetic_oracle.py`
    twentyfour.py         Game of 24 with exact reachability
    deduction.py          facts, rules and a hypothesis; generation in `deduction_facts.py`, truth in `truth_tables.py`
    turns.py              worlds of turns with a reward for each: `TurnWorld`
    tictactoe.py, sudoku.py, minesweeper.py   oracles by search, constraint and posterior
    programs.py           small functions with tests; truth by execution
    readers.py            public data sets as problems, traces and human judgements
    load.py               `load_problems("world:arithmetic" | FILE | DIRECTORY)`
    default_policy/, game24_policy/   small policies that ship with the package (`scripts/train_default_policy.py`,
                          `scripts/train_game24_policy.py`)
    arithmetic_judge/, game24_judge/  small judges of their solutions (`scripts/train_judge.py`)

One more world: a file with a class that satisfies `World`, and a line in `WORLDS`.
"""

from pathlib import Path
from typing import Any

from preceptor.trace import Problem
from preceptor.worlds.arithmetic import Arithmetic
from preceptor.worlds.base import StepTruth, World, first_invalid
from preceptor.worlds.deduction import Deduction
from preceptor.worlds.load import load_problems
from preceptor.worlds.minesweeper import Minesweeper
from preceptor.worlds.programs import Programs
from preceptor.worlds.sudoku import Sudoku
from preceptor.worlds.tictactoe import TicTacToe
from preceptor.worlds.twentyfour import Game24

WORLDS: dict[str, World] = {
    "arithmetic": Arithmetic(),
    "deduction": Deduction(),
    "game24": Game24(),
    "minesweeper": Minesweeper(),
    "programs": Programs(),
    "sudoku": Sudoku(),
    "tictactoe": TicTacToe(),
}

DEFAULT_POLICY = Path(__file__).parent / "default_policy"
"""Directory of the shipped policy, in the standard Hugging Face format."""


def arithmetic(split: str = "test", n: int = 64, seed: int = 0, **knobs: Any) -> list[Problem]:
    """Word problems; see `Arithmetic.problems`."""
    return Arithmetic().problems(split, n, seed, **knobs)


def game24(split: str = "test", n: int = 64, seed: int = 0) -> list[Problem]:
    """Game of 24 puzzles; see `Game24.problems`."""
    return Game24().problems(split, n, seed)


__all__ = [
    "DEFAULT_POLICY",
    "WORLDS",
    "StepTruth",
    "World",
    "arithmetic",
    "first_invalid",
    "game24",
    "load_problems",
]
