"""How much a judge's verdicts depend on what should not matter.

The same traces are judged twice, with one thing changed: the number of the first paragraph (0 or 1), the
final answer shown or hidden, the two verdict words named in one order or the other. Sampled verdicts change by
chance alone, so `resampled` (another seed) is the yardstick beside which the others are to be read.

A trace counts as changed when its first error does. The interval takes traces as independent, so it is too
narrow for many traces of one problem. Cost: two passes of the judge per variation; the first is shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from preceptor.annotate.judges.critique import NOT_HIDDEN, Critique
from preceptor.annotate.judges.share import Share
from preceptor.annotate.judges.step_judge import StepJudge
from preceptor.errors import InputError
from preceptor.judgement import Judgement, first_below
from preceptor.trace import Trace

Judge = TypeVar("Judge", StepJudge, Critique)
CUT = 0.5
"""Scores below it say "wrong"; used for judges that state no first error."""


@dataclass(frozen=True)
class Sensitivity:
    """Verdicts with one thing changed, against verdicts without the change."""

    what: str
    changed: Share
    """Of the traces judged both times, those whose first error changed."""
    unknown: int
    """Traces with no verdict on one side or both, and those in which there was no answer to hide."""
    earlier: int
    """Of the changed, those whose first error moved towards the start ("no error" is the end)."""
    steps_changed: Share
    """Of the steps scored both times, those that crossed `CUT`."""
    shift: float | None
    """Mean change of the score of a step; None where no step was scored both times."""

    def to_record(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "changed": self.changed.to_record(),
            "unknown": self.unknown,
            "earlier": self.earlier,
            "steps_changed": self.steps_changed.to_record(),
            "shift": self.shift,
        }


def compared(what: str, before: Sequence[Judgement], after: Sequence[Judgement]) -> Sensitivity:
    """Two lists of judgements of the same traces, in the same order."""
    if [b.trace for b in before] != [a.trace for a in after]:
        raise InputError(
            "sensitivity: got judgements of different traces, expected the same in the same order"
        )
    both = [(b, a) for b, a in zip(before, after) if (NOT_HIDDEN in b.flags) == (NOT_HIDDEN in a.flags)]
    pairs = [
        (first, second)
        for b, a in both
        if (first := _first_error(b)) is not None and (second := _first_error(a)) is not None
    ]
    moved = [(_place(b), _place(a)) for b, a in pairs if a != b]
    scores = [
        (x, y)
        for b, a in both
        for x, y in zip(b.scores or (), a.scores or ())
        if x is not None and y is not None
    ]
    return Sensitivity(
        what=what,
        changed=Share(len(moved), len(pairs)),
        unknown=len(before) - len(pairs),
        earlier=sum(a < b for b, a in moved),
        steps_changed=Share(sum((x < CUT) != (y < CUT) for x, y in scores), len(scores)),
        shift=math.fsum(y - x for x, y in scores) / len(scores) if scores else None,
    )


def _first_error(judged: Judgement) -> int | None:
    stated = judged.first_error
    return first_below(judged.scores or (), CUT) if stated is None else stated


def _place(first_error: int) -> float:
    return math.inf if first_error < 0 else first_error


def _reseeded(judge: Judge) -> Judge:
    return replace(judge, asking=replace(judge.asking, seed=judge.asking.seed + 1))


CRITIQUE_CHANGES: Mapping[str, Callable[[Critique], Critique]] = {
    "resampled": _reseeded,
    "other first number": lambda judge: replace(judge, base=1 - judge.base),
    "answer shown or hidden": lambda judge: replace(judge, hide_answer=not judge.hide_answer),
}
STEP_CHANGES: Mapping[str, Callable[[StepJudge], StepJudge]] = {
    "resampled": _reseeded,
    "options swapped": lambda judge: replace(judge, swapped=not judge.swapped),
}


def sensitivity(judge: Critique | StepJudge, traces: Sequence[Trace]) -> list[Sensitivity]:
    """One record per variation that the judge has, `resampled` first."""
    before = judge.score(traces)
    if isinstance(judge, Critique):
        if judge.base not in (0, 1):
            raise InputError(f"sensitivity: got a critique numbered from {judge.base}, expected 0 or 1")
        critique = judge
        return [compared(k, before, change(critique).score(traces)) for k, change in CRITIQUE_CHANGES.items()]
    step_judge = judge
    return [compared(k, before, change(step_judge).score(traces)) for k, change in STEP_CHANGES.items()]
