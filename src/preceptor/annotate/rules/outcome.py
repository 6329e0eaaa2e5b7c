"""Targets from the outcome alone: copied to every step or token, or on the last step only.

Copied outcomes are FreePRM's pseudo labels, BiRM's cheap value labels and, per token, OVM's targets: on a
fixed policy their minimum is the value of the prefix, not the validity of the step. `last_only` makes an
outcome reward model of a process reward model. An undecided outcome is None everywhere, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.trace import Grade


def outcome_target(grade: Grade | None) -> float | None:
    """1 for a right answer, 0 for a wrong one, None when undecided or not graded."""
    return None if grade is None or not grade.decided else float(grade.correct)


def copy_outcome(outcome: float | None, steps: int) -> tuple[float | None, ...]:
    """The outcome at each of `steps` steps (or response tokens)."""
    return (outcome,) * steps


def last_only(targets: Sequence[float | None], outcome: float | None = None) -> tuple[float | None, ...]:
    """Only the last step keeps a target: `outcome` if given, else its own."""
    if not targets:
        return ()
    last = targets[-1] if outcome is None else outcome
    return (None,) * (len(targets) - 1) + (last,)
