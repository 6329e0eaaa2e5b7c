"""What a world is: a family of problems whose steps have an exact truth.

Left out: how traces are sampled or judged by anything but the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from preceptor.trace import Problem


@dataclass(frozen=True)
class StepTruth:
    """The truth about one step, given the steps before it."""

    valid: bool
    """The step is right given what stands before it."""
    reachable: bool
    """After this step the right answer can still be reached by right steps."""
    kind: str = "ok"
    """`"ok"`, or the kind of error, e.g. `"wrong result"`."""


@runtime_checkable
class World(Protocol):
    """A generated family of problems with an exact step oracle."""

    @property
    def name(self) -> str: ...

    def problems(self, split: str = "test", n: int = 64, seed: int = 0) -> list[Problem]:
        """`n` distinct problems, with the world's own knobs at their defaults. Splits are disjoint whatever
        the seeds; the same arguments give the same problems, and a smaller `n` a prefix of a larger one."""
        ...

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """One truth per step text, in order."""
        ...


def first_invalid(truths: Sequence[StepTruth]) -> int:
    """0-based index of the first invalid step, -1 when there is none."""
    return next((t for t, truth in enumerate(truths) if not truth.valid), -1)
