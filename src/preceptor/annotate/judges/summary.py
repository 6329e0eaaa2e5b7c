"""A long trace as its key steps, each with the place it stands for (the first stage of OPV, `opv.py`).

Lossy on purpose, so every key step keeps its span in the source, and the final answer must survive. Grammar of
the summariser's reply: one line `[a] text` or `[a-b] text` per key step. Pure functions; no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from preceptor.annotate.judges.checks import one_line
from preceptor.grade import canonical, grade
from preceptor.trace import Problem, Trace
from preceptor.worlds.base import StepTruth

_KEY = re.compile(r"[ \t]*\[(\d{1,4})(?:[ \t]*-[ \t]*(\d{1,4}))?\][ \t]*(\S.*)")
_IDLE = ("unparseable", "unneeded step", "after the answer")
"""Kinds of steps that lead nowhere."""


@dataclass(frozen=True)
class Summary:
    """Key steps of a trace, each with the steps of the trace that it stands for."""

    trace: Trace
    steps: tuple[str, ...]
    covers: tuple[tuple[int, int], ...]
    """First and last step of the trace, 0-based, inclusive; the last ones rise."""

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each key step stands in the trace's text, in characters."""
        own = self.trace.steps
        return tuple((own[a].start, own[b].end) for a, b in self.covers)

    @property
    def text(self) -> str:
        return "".join(f"{step}\n" for step in self.steps)

    @property
    def keeps_answer(self) -> bool:
        """The grader finds the same answer, and gives the same verdict, here and in the trace."""
        problem, finish = self.trace.problem, self.trace.finish
        before, after = (grade(problem, text, finish=finish) for text in (self.trace.text, self.text))
        if before.answer is None or after.answer is None:
            return before.answer is after.answer
        same = canonical(problem, before.answer) == canonical(problem, after.answer)
        return same and before.verdict is after.verdict


def as_it_is(trace: Trace) -> Summary:
    """The trace as its own summary."""
    steps = tuple(one_line(text) for text in trace.step_texts)
    return Summary(trace, steps, tuple((t, t) for t in range(len(steps))))


def read_summary(text: str, trace: Trace) -> Summary | None:
    """A summary of lines `[a] text` or `[a-b] text`, steps counted from 1; None when a line is none of these,
    names steps the trace does not have, or does not end later than the one before."""
    found = [_KEY.fullmatch(line) for line in text.splitlines() if line.strip()]
    keys = [(int(m[1]) - 1, int(m[2] or m[1]) - 1, m[3].strip()) for m in found if m is not None]
    bounds = [(a, b) for a, b, _ in keys]
    sound = all(0 <= a <= b < len(trace.steps) for a, b in bounds)
    rising = all(before[1] < after[1] for before, after in pairwise(bounds))
    if not keys or len(keys) < len(found) or not sound or not rising:
        return None
    return Summary(trace, tuple(step for *_, step in keys), tuple(bounds))


def written_summary(problem: Problem, steps: Sequence[str], truths: Sequence[StepTruth]) -> str:
    """The reply of a summariser who knows which lines lead nowhere, wrong ones kept."""
    kept = [(t, step) for t, (step, truth) in enumerate(zip(steps, truths), 1) if truth.kind not in _IDLE]
    return "\n".join(f"[{t}] {one_line(step)}" for t, step in kept)
