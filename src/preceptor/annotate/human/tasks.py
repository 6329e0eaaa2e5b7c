"""Tasks for people: one JSON object per trace, to be filled in and read back by `answers.read_answers`.

A task shows the problem, the numbered steps and, if wanted, a proposed label with its source (which anchors people:
leave it out for an evaluation set). Quality-control tasks, whose first error is known, look like any other. Nothing of
the gold answer, grade, reference or `meta` is written unless `show_gold` asks for the answer. Order and ids depend on
content and seed only, so equal arguments give equal tasks and answers can be read back later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.store.jsonl import write_jsonl
from preceptor.trace import Trace, content_id, stream_seed

Style = Literal["ratings", "first-error"]
FINISHES = ("bad_problem", "give_up")
_END = (
    " Put your name into `annotator`. If the problem itself is broken or you cannot tell, write bad_problem or give_up "
    "into `finish` and rate nothing. A proposed label may be wrong."
)
INSTRUCTIONS: dict[Style, str] = {
    "ratings": (
        "Rate the steps in order: 1 for a step that is right, can be checked quickly and moves the solution on; 0 for "
        "one that is right but adds nothing; -1 for one that is wrong, off the topic or not explained well enough to "
        "check. Stop with the first -1. Write the ratings into `ratings`, one number per step." + _END
    ),
    "first-error": (
        "Find the first wrong step. Write its number, as shown, into `first_error`, or -1 if no step is wrong."
        + _END
    ),
}


@dataclass(frozen=True)
class Control:
    """A quality-control item: a trace whose first error is known."""

    trace: Trace
    first_error: int
    """0-based, or `NO_ERROR`."""


@dataclass(frozen=True)
class Task:
    """One trace to be labelled."""

    id: str
    trace: Trace
    proposed: Judgement | None = None
    expected: int | None = None
    """The first error of a quality-control item; None for any other."""

    @property
    def control(self) -> bool:
        return self.expected is not None


@dataclass(frozen=True)
class Tasks:
    """Tasks in the order in which they are shown."""

    tasks: tuple[Task, ...]
    style: Style = "ratings"
    instructions: str = ""
    """Empty: `INSTRUCTIONS` of the style."""
    show_gold: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Traces that cannot be shown, by reason: `"failed-trace"`, `"no-steps"`, `"repeated"`."""

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def records(self) -> Iterator[dict[str, Any]]:
        """What people see, one object per task, with the fields to fill in under `answer`."""
        said = self.instructions or INSTRUCTIONS[self.style]
        asked = "ratings" if self.style == "ratings" else "first_error"
        for task in self.tasks:
            problem = task.trace.problem
            shown = [_step(task.trace, t) for t in range(len(task.trace.steps))]
            yield {
                "task": task.id,
                "instructions": said,
                "problem": problem.prompt,
                "steps": shown,
                **({"gold": problem.gold} if self.show_gold else {}),
                **({} if task.proposed is None else {"proposed": _proposal(task.proposed)}),
                "answer": {"annotator": None, asked: None, "finish": None},
            }

    def write(self, path: str | Path) -> int:
        """JSON lines; the file appears whole or not at all. Returns how many tasks."""
        return write_jsonl(path, self.records())


def make_tasks(
    traces: Sequence[Trace],
    *,
    proposals: Sequence[Judgement | None] = (),
    controls: Sequence[Control] = (),
    style: Style = "ratings",
    instructions: str = "",
    show_gold: bool = False,
    seed: int = 0,
) -> Tasks:
    """Tasks of these traces with the controls mixed in.

    `proposals` are found by their trace, those of controls too: give both kinds some or neither, or the difference
    shows.
    """
    if style not in INSTRUCTIONS:
        raise InputError(f"style: got {style!r}, expected 'ratings' or 'first-error'.")
    proposed = {
        judged.trace: judged for judged in proposals if judged is not None and judged.scores is not None
    }
    left_out = Counter[str]()
    made: dict[str, Task] = {}
    for trace, expected in [(c.trace, c.first_error) for c in controls] + [(t, None) for t in traces]:
        if expected is not None and not NO_ERROR <= expected < len(trace.steps):
            raise InputError(
                f"control of {len(trace.steps)} steps: got first error {expected}, expected a 0-based step or -1."
            )
        if trace.error is not None or not trace.steps:
            left_out["no-steps" if trace.error is None else "failed-trace"] += 1
        elif trace.id in made:
            left_out["repeated"] += 1
        else:
            name = content_id("human-task", seed, trace.id)
            made[trace.id] = Task(name, trace, proposed.get(trace.id), expected)
    order = sorted(made.values(), key=lambda task: (stream_seed("human-order", seed, task.trace.id), task.id))
    return Tasks(tuple(order), style, instructions, show_gold, dict(left_out))


def _step(trace: Trace, t: int) -> dict[str, Any]:
    seen = trace.steps[t].observation
    return {"step": t, "text": trace.step_texts[t], **({} if seen is None else {"observation": seen})}


def _proposal(judged: Judgement) -> dict[str, Any]:
    return {"first_error": judged.first_error, "scores": judged.scores, "source": judged.source.name}
