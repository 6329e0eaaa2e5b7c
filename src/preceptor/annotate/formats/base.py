"""What a format is: the records of one kind of label file, read and written as (trace, judgement) pairs.

Reading and writing stream; memory does not grow with the file (a JSON list is the exception: it is held whole).
What a data set says beyond steps and labels stays in `judgement.extra` under the format's name, so that the
same file can be written again. What a format has no place for is never dropped in silence: an item that does
not fit is left out and counted, a fact that does not fit is counted, both in the `Report`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from preceptor.annotate.formats import files
from preceptor.annotate.rules import ratings
from preceptor.errors import InputError, ItemError, RecordError
from preceptor.judgement import Judgement
from preceptor.trace import Trace
from preceptor.worlds.records import Row

Labelled = tuple[Trace, Judgement]
SHOWN = 20
"""Bad lines kept in full; all are counted."""


@dataclass(frozen=True)
class ReadOptions:
    """What a file leaves open."""

    neutral: ratings.Neutral = "positive"
    """What a rating of 0 is (PRM800K's convention by default; the common TRL conversion takes "negative")."""
    human: Literal["unjudged", "right"] = "unjudged"
    """What a step is that a labeller wrote (PRM800K); nobody rated it."""


@dataclass(frozen=True)
class WriteOptions:
    """How scores become what the format can hold."""

    threshold: float | None = None
    """A soft score at or above it is a good step. None: items with soft scores do not fit into hard labels."""
    labels: Literal["bool", "float"] | None = None
    """Kind of the labels in formats that hold both; None: as in the first item (see `stepwise`)."""


@dataclass(frozen=True)
class BadLine:
    """A record that could not be read."""

    line: int | None
    error: ItemError


@dataclass
class Report:
    """What became of a file's items; complete once all of them have passed."""

    format: str
    path: str
    items: int = 0
    """Pairs read or taken into the file."""
    records: int = 0
    """Lines or rows read or written."""
    steps: int = 0
    labels: int = 0
    """Steps with a score."""
    failed: int = 0
    """Items without scores; their judgement says why."""
    bad: Counter[str] = field(default_factory=Counter)
    """Records that could not be read, by kind of error."""
    bad_lines: list[BadLine] = field(default_factory=list)
    """The first of them."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Items that the format cannot hold, by reason."""
    lost: Counter[str] = field(default_factory=Counter)
    """Facts that the format has no place for, by name, with the number of items that had them."""

    def count(self, judgement: Judgement) -> None:
        self.items += 1
        self.steps += len(judgement.scores or ())
        self.labels += sum(s is not None for s in judgement.scores or ())
        self.failed += judgement.scores is None

    def refuse(self, error: RecordError) -> None:
        kind = "bad-json" if error.field is None else "bad-field"
        self.bad[kind] += 1
        if len(self.bad_lines) < SHOWN:
            self.bad_lines.append(BadLine(error.line, ItemError(kind, str(error))))

    def to_record(self) -> dict[str, Any]:
        numbers = ("format", "path", "items", "records", "steps", "labels", "failed")
        return {
            **{name: getattr(self, name) for name in numbers},
            "bad": dict(self.bad),
            "bad_lines": [{"line": b.line, **b.error.to_record()} for b in self.bad_lines],
            "left_out": dict(self.left_out),
            "lost": dict(self.lost),
        }


class DoesNotFit(Exception):
    """This item cannot be written in this format; `reason` is a short constant to count by."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass
class Writing:
    """The state of one export."""

    options: WriteOptions
    report: Report
    kind: str | None = None
    """Kind of labels of this file, once the first item has settled it."""

    def lose(self, **facts: Any) -> None:
        """Count the facts that are there (true, not empty, not zero)."""
        self.report.lost.update(name.replace("_", " ") for name, fact in facts.items() if fact)


@dataclass(frozen=True)
class Format:
    """One kind of label file."""

    name: str
    description: str
    looks: Callable[[Mapping[str, Any]], bool]
    """Whether a record, by its fields, is of this kind."""
    items: Callable[[Row, ReadOptions], Sequence[Labelled]]
    """What one record says; raises `RecordError`."""
    records: Callable[[Iterable[Labelled], Writing], Iterator[dict[str, Any]]] | None = None
    """The records of many items; None where the format is only read."""
    save: Callable[[Path, Iterator[dict[str, Any]]], int] = files.write_lines

    @property
    def writes(self) -> bool:
        return self.records is not None

    def read(self, path: str | Path, options: ReadOptions | None = None, *, strict: bool = False) -> Reading:
        """The items of a file. A bad record is counted in `report`; with `strict` it raises `RecordError`."""
        return Reading(self, Path(path), options or ReadOptions(), strict)

    def write(
        self, items: Iterable[Labelled], path: str | Path, options: WriteOptions | None = None
    ) -> Report:
        """Write items; the file appears whole or not at all. `report.records` is how many lines it has."""
        if self.records is None:
            raise InputError(f"format {self.name}: got items to write, but it can only be read.")
        writing = Writing(options or WriteOptions(), Report(self.name, str(path)))
        writing.report.records = self.save(Path(path), self.records(items, writing))
        return writing.report


class Reading:
    """The items of one file in order. `report` belongs to the last pass over them."""

    def __init__(self, format: Format, path: Path, options: ReadOptions, strict: bool):
        self.format, self.path, self.options, self.strict = format, path, options, strict
        self.report = Report(format.name, str(path))

    def __iter__(self) -> Iterator[Labelled]:
        self.report = report = Report(self.format.name, str(self.path))
        for row in files.read_rows(self.path):
            report.records += 1
            try:
                if isinstance(row, RecordError):
                    raise row
                found = tuple(self.format.items(row, self.options))
            except RecordError as error:
                if self.strict:
                    raise
                report.refuse(error)
                continue
            for trace, judgement in found:
                report.count(judgement)
                yield trace, judgement


def each(record: Callable[[Trace, Judgement, Writing], dict[str, Any]]) -> Any:
    """The `records` of a format in which every item is a record of its own."""

    def records(items: Iterable[Labelled], writing: Writing) -> Iterator[dict[str, Any]]:
        for trace, judgement in items:
            try:
                found = record(trace, judgement, writing)
            except DoesNotFit as error:
                writing.report.left_out[error.reason] += 1
                continue
            writing.report.count(judgement)
            yield found

    return records
