"""What is known of a scorer before a problem is searched: nothing, or what an earlier run tells.

The earlier run must be by the same policy and scorer, on other problems than those that are searched. Where its
solutions were graded, the grades tell which samples were right; where there was no answer to grade by, the votes do.
Any strategy that samples whole solutions will do:

    preceptor solve --strategy weighted-vote --set n=8 ... --out runs/warm
    preceptor solve --strategy trusted-search --set prior=runs/warm ...

What it spent is spent once for a policy and a scorer, and is not in the ledger of later runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from preceptor.errors import InputError
from preceptor.search.adaptive.trust import BROAD, SHAPE, SLOPES, Floats, Sample, learned, separation
from preceptor.search.result import Candidate, Solution
from preceptor.search.resume import restored
from preceptor.search.tree import Node, Tree
from preceptor.store import read_jsonl
from preceptor.trace import Problem


@dataclass(frozen=True, repr=False)
class Prior:
    """Probability of each hypothesis of `trust.py`: kind, aggregator, a, b."""

    weights: tuple[float, ...]
    separation: float = 0.0
    """How well the scorer's steps tell right solutions from wrong ones; 0 where no grades told."""
    problems: int = 0
    """How many it was learned from."""

    def __post_init__(self) -> None:
        if len(self.weights) != int(np.prod(SHAPE)) or abs(sum(self.weights) - 1) > 1e-6:
            raise InputError(
                f"prior of trust: got {len(self.weights)} weights that sum to {sum(self.weights):g}, expected "
                f"{int(np.prod(SHAPE))} that sum to 1. Use Prior.learned or Prior.of_run."
            )

    @property
    def array(self) -> Floats:
        return np.array(self.weights).reshape(SHAPE)

    @property
    def slopes(self) -> dict[float, float]:
        """Probability of each b: 0, the scores say nothing; 1, they mean what they say."""
        return dict(zip(SLOPES, map(float, self.array.sum((0, 1, 2))), strict=True))

    def __repr__(self) -> str:
        digest = hashlib.sha256(repr(self.weights).encode()).hexdigest()[:8]
        slope = sum(b * p for b, p in self.slopes.items())
        return (
            f"Prior({digest}, {self.problems} problems, slope {slope:.2f}, separation {self.separation:.2f})"
        )

    @classmethod
    def learned(cls, solutions: Iterable[Solution], graded: bool = True) -> Prior:
        """From problems with several whole solutions each; `graded=False` does not look at grades.

        InputError where none has a scored answer.
        """
        found = [_of_candidates(s, graded) for s in solutions]
        usable = [own for own in found if any(s.answer is not None and s.scores is not None for s in own)]
        if not usable:
            raise InputError(
                f"prior of trust: got {len(found)} problems without a scored solution, expected some. Give a run of a "
                "strategy that samples whole solutions, with the scorer (weighted-vote, best-of-n)."
            )
        return cls(
            tuple(map(float, learned(usable).ravel())),
            separation([s for own in usable for s in own]),
            len(usable),
        )

    @classmethod
    def of_run(cls, directory: str | Path, graded: bool = True) -> Prior:
        """From a directory that `preceptor solve` wrote."""
        home = Path(directory)
        names = ("problems.jsonl", "solutions.jsonl", "trees.jsonl")
        if not all((home / name).is_file() for name in names):
            raise InputError(
                f"prior of trust: got {home}, expected the directory of a finished `preceptor solve`"
            )
        problems = [Problem.from_record(r) for _, r in read_jsonl(home / names[0])]
        rows = zip(read_jsonl(home / names[1]), read_jsonl(home / names[2]), problems, strict=True)
        try:
            return cls.learned((restored(s, t, p) for (_, s), (_, t), p in rows), graded)
        except InputError:
            raise  # says what is wrong
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"prior of trust: {home} is damaged ({error!r}). Run `preceptor solve` again."
            ) from error


UNKNOWN = Prior(tuple(map(float, BROAD.ravel())))
"""Of a scorer of which nothing is known."""


def samples(tree: Tree, nodes: Sequence[Node]) -> list[Sample]:
    """Finished solutions; free are those sampled from the beginning."""
    return [Sample(tree.path(n).text, n.canon, n.scores, n.parent == 0 and n.start == 0) for n in nodes]


def _of_candidates(solution: Solution, graded: bool) -> list[Sample]:
    return [
        Sample(c.trace.text, c.canon, c.scores, right=_right(c) if graded else None)
        for c in solution.candidates
    ]


def _right(candidate: Candidate) -> bool | None:
    grade = candidate.trace.grade
    return grade.correct if grade is not None and grade.decided else None
