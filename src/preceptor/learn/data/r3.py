"""R^3: reverse curriculum, rollouts that start inside a demonstration (abstract index 5).

A demonstration of T steps has M starts, k = 1..M, with the first floor(T (M - k) / M) steps given: stage 1 lacks only
the last part, stage M everything, which is plain RL. `mixed` (published) draws a stage for every problem and step;
`staged` moves from stage 1 to M, `steps_per_stage` each. Reward (repo): 1 for a right answer, 0.2 for a wrong one
that is a well-formed number (0.1 in the paper, from memory), 0 otherwise. M = 6, of the 5-6 published.

A start is a problem of its own whose prompt goes on with the given steps, so none of their tokens is trained on;
behind a plain prompt the ids are those of the demonstration itself, behind a chat template the steps stand in the
user's turn. It has no world: an oracle would look for the steps that were given. Left out: PPO's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from preceptor.errors import InputError
from preceptor.grade.numeric import read
from preceptor.learn.data.hooks import Item, Source
from preceptor.trace import Problem, Trace, Verdict, stream_seed


def cuts(steps: int, stages: int) -> list[int]:
    """Steps given at stage 1..M, from most to none.

    >>> cuts(5, 3), cuts(5, 1)
    ([3, 1, 0], [0])
    """
    return [steps * (stages - k) // stages for k in range(1, stages + 1)]


def start(problem: Problem, given: int) -> Problem:
    """The problem behind the first `given` steps of its reference; the problem itself for 0."""
    if given == 0:
        return problem
    text = "".join(problem.reference[:given])
    if not text.endswith("\n"):
        text += "\n"
    return replace(
        problem,
        prompt=f"{problem.prompt}\n{text[:-1]}",
        id=f"{problem.id}@{given}",
        reference=problem.reference[given:],
        world="",
        meta={**problem.meta, "of": problem.id, "given": given},
    )


def starts(problem: Problem, stages: int = 6) -> list[Problem]:
    """The different starts of one problem, from stage 1 to M: the published mixed training set."""
    return [start(problem, g) for g in dict.fromkeys(cuts(len(problem.reference), stages))]


def reward(trace: Trace, partial: float = 0.2) -> float | None:
    """1, `partial` or 0; None where there is no verdict."""
    grade = trace.grade
    if trace.error is not None or grade is None or grade.verdict is Verdict.UNDECIDED:
        return None
    if grade.correct:
        return 1.0
    return partial if grade.answer is not None and read(grade.answer) is not None else 0.0


@dataclass(frozen=True)
class R3:
    """Hook: starts in place of problems, and the reward."""

    stages: int = 6
    schedule: Literal["mixed", "staged"] = "mixed"
    steps_per_stage: int = 100
    """Not found, ours; of `staged` alone."""
    partial: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.stages < 1 or self.steps_per_stage < 1 or self.schedule not in ("mixed", "staged"):
            raise InputError(
                f"r3: got {self!r}, expected stages and steps_per_stage >= 1 and schedule 'mixed' or 'staged'."
            )

    def stage(self, problem: Problem, step: int) -> int:
        """1..M."""
        if self.schedule == "staged":
            return min(self.stages, 1 + step // self.steps_per_stage)
        return 1 + stream_seed("r3", self.seed, step, problem.id) % self.stages

    def prepare(self, problems: Sequence[Problem], step: int) -> list[Problem]:
        places = [cuts(len(p.reference), self.stages)[self.stage(p, step) - 1] for p in problems]
        return [start(p, given) for p, given in zip(problems, places, strict=True)]

    def amend(self, items: Sequence[Item], source: Source) -> list[Item]:
        return [replace(x, outcome=reward(x.trace, self.partial)) for x in items]
