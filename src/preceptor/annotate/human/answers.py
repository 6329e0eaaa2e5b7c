"""Filled task files as judgements: who said what, how far people agree, and who failed the quality control.

An answer rates steps -1, 0, 1 up to the first -1 (PRM800K's phase 2), or names the first error alone. What a 0 counts
as is `neutral`; the first error is the first -1 whatever that says. A line that cannot be read is a `RecordError` with
its line number, never a guess. An annotator whose answers to the quality-control tasks are right less often
than `pass_share` (0.8 is ours) is reported and their judgements are set apart. Cost: about 30 s per rating.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from preceptor.annotate.formats.files import read_rows
from preceptor.annotate.human.agreement import Agreement, agreement
from preceptor.annotate.human.tasks import FINISHES, Task, Tasks
from preceptor.annotate.judges.share import Share
from preceptor.annotate.rules import first_error_targets, rating_targets
from preceptor.annotate.rules.ratings import Neutral
from preceptor.errors import InputError, RecordError
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.worlds.records import Row


@dataclass(frozen=True)
class Answers:
    """What came back."""

    judgements: tuple[Judgement, ...]
    """One per accepted answer to a task that is no control; source `human:NAME`."""
    refused: tuple[Judgement, ...]
    """The same, of annotators who failed the quality control."""
    agreement: Agreement
    """Over `judgements`."""
    quality: Mapping[str, Share]
    """Annotator -> controls with the exact first error, among those answered; none answered: nothing is known."""
    failed: tuple[str, ...]
    """Annotators below the share that was asked for."""
    unfilled: int
    """Tasks left empty."""
    given_up: Mapping[str, int]
    """Answers `bad_problem` and `give_up`; they label nothing. On a control they count as not right."""
    bad: tuple[RecordError, ...]
    """Lines that could not be used."""


class _Answer(NamedTuple):
    annotator: str
    first_error: int | None
    """None: given up."""
    ratings: tuple[int, ...] | None
    finish: str | None


def read_answers(
    paths: Sequence[str | Path], tasks: Tasks, *, neutral: Neutral = "positive", pass_share: float = 0.8
) -> Answers:
    """The answers in filled task files of `tasks`; several files, and several annotators a file, are fine."""
    rating_targets((), neutral=neutral)  # refuses a rule that makes no sense
    if not 0 <= pass_share <= 1:
        raise InputError(f"pass_share: got {pass_share}, expected a share.")
    known = {task.id: task for task in tasks}
    read: dict[tuple[str, str], _Answer] = {}
    bad: list[RecordError] = []
    unfilled = 0
    for path in paths:
        for row in read_rows(Path(path)):
            try:
                if isinstance(row, RecordError):
                    raise row
                task, answer = _read(row, known)
                if answer is None:
                    unfilled += 1
                elif (task.id, answer.annotator) in read:
                    raise row.bad("task", f"{task.id!r} again by {answer.annotator!r}", "one answer each")
                else:
                    read[task.id, answer.annotator] = answer
            except RecordError as error:
                bad.append(error)
    return _sorted_out(known, read, neutral, pass_share, unfilled, tuple(bad))


def _sorted_out(
    known: Mapping[str, Task],
    read: Mapping[tuple[str, str], _Answer],
    neutral: Neutral,
    pass_share: float,
    unfilled: int,
    bad: tuple[RecordError, ...],
) -> Answers:
    controls: dict[str, list[bool]] = defaultdict(list)
    for (name, who), answer in read.items():
        hits = controls[who]
        if known[name].control:
            hits.append(answer.first_error == known[name].expected)
    quality = {who: Share(sum(hits), len(hits)) for who, hits in sorted(controls.items())}
    failed = tuple(
        who for who, share in quality.items() if share.value is not None and share.value < pass_share
    )
    real = [(known[name].trace, a) for (name, _), a in read.items() if not known[name].control]
    judged = [
        (answer.annotator in failed, _judgement(trace.id, len(trace.steps), answer, neutral))
        for trace, answer in real
        if answer.finish is None
    ]
    accepted = tuple(j for out, j in judged if not out)
    given_up = Counter(answer.finish for _, answer in real if answer.finish is not None)
    refused = tuple(j for out, j in judged if out)
    return Answers(accepted, refused, agreement(accepted), quality, failed, unfilled, dict(given_up), bad)


def _judgement(trace: str, steps: int, answer: _Answer, neutral: Neutral) -> Judgement:
    if answer.ratings is None:
        scores = first_error_targets(answer.first_error, steps)
    else:
        scores = rating_targets((*answer.ratings, *[None] * (steps - len(answer.ratings))), neutral=neutral)
    return Judgement(
        trace,
        Question.VALIDITY,
        Source.of(f"human:{answer.annotator}", neutral=neutral),
        scores,
        first_error=answer.first_error,
        extra={} if answer.ratings is None else {"ratings": list(answer.ratings)},
    )


def _read(row: Row, known: Mapping[str, Task]) -> tuple[Task, _Answer | None]:
    """The task of a line and its answer; None where nothing was filled in."""
    name = row.text("task")
    if name not in known:
        raise row.bad(
            "task", f"unknown task {name!r}", "a task of this set", "Read with the tasks as exported."
        )
    task = known[name]
    answer = row.inner("answer", row.get("answer", dict))
    said = {key: answer.fields.get(key) for key in ("ratings", "first_error", "finish")}
    if all(value is None for value in said.values()):
        return task, None
    annotator = answer.text("annotator").strip()
    finish = None if said["finish"] is None else answer.text("finish")
    if finish is not None:
        if finish not in FINISHES or said["ratings"] is not None or said["first_error"] is not None:
            raise answer.bad("finish", repr(finish), f"one of {list(FINISHES)} without ratings, or null")
        return task, _Answer(annotator, None, None, finish)
    steps = len(task.trace.steps)
    ratings = None if said["ratings"] is None else _ratings(answer, steps)
    named = None if said["first_error"] is None else _first_error(answer, steps)
    if ratings is None:
        return task, _Answer(annotator, named, None, None)
    rated = ratings.index(-1) if -1 in ratings else NO_ERROR
    if named is not None and named != rated:
        raise answer.bad("first_error", str(named), f"{rated}, as rated, or null")
    return task, _Answer(annotator, rated, ratings, None)


def _ratings(answer: Row, steps: int) -> tuple[int, ...]:
    """Ratings up to the first -1, or of all steps; nulls behind the -1 are left out."""
    values = list(answer.get("ratings", list))
    while values and values[-1] is None:
        values.pop()
    for t, value in enumerate(values):
        if type(value) is not int or value not in (-1, 0, 1):
            raise answer.bad(
                f"ratings[{t}]", repr(value), "-1, 0 or 1", "Rate every step up to the first -1."
            )
    end = values.index(-1) + 1 if -1 in values else steps
    if len(values) != end:
        expected = f"{end}: up to the first -1, or all {steps} steps"
        raise answer.bad("ratings", f"{len(values)} ratings", expected, "Rate every step up to the first -1.")
    return tuple(values)


def _first_error(answer: Row, steps: int) -> int:
    value: int = answer.get("first_error", int)
    if not NO_ERROR <= value < steps:
        raise answer.bad("first_error", str(value), f"a step from 0 to {steps - 1}, or -1 for none")
    return value
