"""The world `arithmetic`: word problems (`word_problems.py`) and their oracle (`arithmetic_oracle.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from preceptor.trace import Problem
from preceptor.worlds import arithmetic_oracle, word_problems
from preceptor.worlds.base import StepTruth


@dataclass(frozen=True)
class Arithmetic:
    """Multi-step word problems with exact validity, first error and reachability of every line."""

    name: str = "arithmetic"

    def problems(
        self,
        split: str = "test",
        n: int = 64,
        seed: int = 0,
        *,
        operations: tuple[int, int] = (2, 8),
        distractors: tuple[int, int] = (0, 2),
        largest: int = 200,
    ) -> list[Problem]:
        """`n` problems of a split ("train", "dev" or "test"). Ranges are inclusive; `largest` bounds every
        number that is computed, and with it the difficulty of the sums."""
        stream = word_problems.generate(
            split, seed, operations=operations, distractors=distractors, largest=largest
        )
        return list(islice(stream, n))

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        return arithmetic_oracle.judge(problem, steps)
