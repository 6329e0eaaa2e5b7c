"""`preceptor store stats|import|export|verify`.

Import and export stream in units; an import that was interrupted is started again and adds what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, StoreWord, open_store
from preceptor.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from preceptor.annotate.formats import Labelled, Report
    from preceptor.store import Store

UNIT = 1000
"""Items put into a store in one transaction, or fetched from it at a time."""
FILE_FORMATS = (
    "prm800k, math-shepherd, math-aps, processbench, prmbench, genprm, trl-stepwise, axolotl-stepwise, "
    "rlhflow-chat, scan, unprm, fover, parquet or jsonl"
)


class Neutral(str, Enum):
    """What a rating of 0 counts as."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    IGNORED = "ignored"


class Kind(str, Enum):
    """Kind of labels in formats that hold both."""

    BOOL = "bool"
    FLOAT = "float"


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"--store: no such file {path}. Make one with preceptor sample.")
    return path


def stats(store: StoreWord, as_json: AsJson = False) -> None:
    """Counts, tokens and labels per source.

    \b
      preceptor store stats --store run.db
    """
    from preceptor.store import Store

    with Store(_existing(store)) as kept:
        found = kept.stats()
    console.emit(found, as_json, console.table([[k, v] for k, v in _flat(found)], ["store", str(store)]))


def _flat(record: dict, prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in record.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return rows


def import_(
    file: Annotated[Path, typer.Argument(help="A file of step labels; .gz is read transparently.")],
    store: StoreWord,
    format: Annotated[
        str | None, typer.Option("--format", help=f"{FILE_FORMATS}; told by the content when left out.")
    ] = None,
    neutral: Annotated[
        Neutral, typer.Option("--neutral", help="What a rating of 0 counts as.")
    ] = Neutral.POSITIVE,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad record.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the traces and labels of a public file into a store.

    Bad records are counted and told of, the others are stored. A trace that the same source has judged before
    keeps its first labels.

    \b
      preceptor store import phase2_train.jsonl --store labels.db
      preceptor store import data.parquet --format trl-stepwise --store labels.db
    """
    from preceptor.annotate import formats

    reading = formats.read(file, format, formats.ReadOptions(neutral=neutral.value), strict=strict)
    new = 0
    with open_store(store) as kept, console.stage("import", "traces") as line:
        items = iter(reading)
        while unit := list(islice(items, UNIT)):
            kept.put_traces([trace for trace, _ in unit])
            new += kept.put_judgements([judgement for _, judgement in unit])
            line(reading.report.items, 0, f"{sum(reading.report.bad.values())} bad records")
    report = reading.report
    told = "\n".join(f"  {bad.error.message}" for bad in report.bad_lines[:3])
    if not report.items:
        raise InputError(f"{file}: none of {report.records} records is {report.format}:\n{told}")
    result = {**report.to_record(), "store": str(store), "new": new, "already_there": report.items - new}
    words = f"{file} ({report.format}): {_counts(report)}; {new:,} new in {store}"
    if new < report.items:
        words += f", {report.items - new:,} judged before and left as they were"
    console.emit(result, as_json, "\n".join(filter(None, [words, _bad(report), told])))


def _counts(report: Report) -> str:
    failed = f", {report.failed:,} without scores" if report.failed else ""
    return (
        f"{report.items:,} traces of {report.records:,} records, {report.labels:,} of {report.steps:,} steps "
        f"labelled{failed}"
    )


def _bad(report: Report) -> str:
    total = sum(report.bad.values())
    return f"{total:,} bad records left out, the first of them:" if total else ""


def export(
    store: StoreWord,
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help=f"The store's own JSON lines when left out, or {FILE_FORMATS}."),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose labels: the beginning of the source's name.")
    ] = None,
    decided: Annotated[
        bool, typer.Option("--decided", help="Only traces whose answer is known to be right or wrong.")
    ] = False,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Soft scores at or above it become good marks.")
    ] = None,
    labels: Annotated[
        Kind | None, typer.Option("--labels", help="Kind of labels, where the format holds both.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write everything as JSON lines (same content, same bytes), or one source's labels in a public format.

    What does not fit into the format is left out and counted.

    \b
      preceptor store export --store run.db --out run.jsonl
      preceptor store export --store run.db --out train.jsonl --format trl-stepwise --source math-shepherd
    """
    from preceptor.store import Store

    with Store(_existing(store)) as kept:
        if format is not None:
            _export_labels(kept, out, format, source, decided, threshold, labels, as_json)
            return
        if source is not None or decided or threshold is not None or labels is not None:
            raise InputError(
                "store export: got --source, --decided, --threshold or --labels without --format, expected "
                f"--format with them: {FILE_FORMATS}."
            )
        kept.export(out)
    size = out.stat().st_size
    console.emit({"out": str(out), "bytes": size}, as_json, f"{out}: {size:,} bytes")


def _export_labels(
    kept: Store,
    out: Path,
    format: str,
    source: str | None,
    decided: bool,
    threshold: float | None,
    labels: Kind | None,
    as_json: bool,
) -> None:
    from preceptor.annotate import formats

    options = formats.WriteOptions(threshold, None if labels is None else labels.value)
    who = _one_source(kept, source)
    report = formats.write(_items(kept, who, decided), out, format, options)
    why = "; ".join(f"{reason}: {n:,}" for reason, n in report.left_out.most_common())
    if not report.records:
        out.unlink(missing_ok=True)
        do = "Give --threshold for soft scores, or another --format."
        raise InputError(f"{out}: nothing of {who} fits into {format} ({why or 'no traces'}). {do}")
    lost = "; ".join(f"{name}: {n:,}" for name, n in report.lost.most_common())
    words = [
        f"{out} ({format}): {_counts(report)}",
        f"left out: {why}" if why else "",
        f"without a place in {format}: {lost}" if lost else "",
    ]
    record: dict[str, Any] = {**report.to_record(), "source": who, "out": str(out)}
    console.emit(record, as_json, "\n".join(filter(None, words)))


def _one_source(kept: Store, source: str | None) -> str:
    sources = sorted({row["source"] for row in kept.stats()["judgements"]})
    chosen = [name for name in sources if name.startswith(source or "")]
    if len(chosen) != 1:
        raise InputError(
            f"--source: got {source!r}, which names {len(chosen)} of the label sources {sources} in "
            f"{kept.path}; expected exactly one"
        )
    return chosen[0]


def _items(kept: Store, source: str, decided: bool) -> Iterator[Labelled]:
    """The judged traces in the order in which they came, fetched in units."""
    traces = kept.traces()
    while unit := list(islice(traces, UNIT)):
        if decided:
            unit = [t for t in unit if t.grade is not None and t.grade.decided]
        said: dict[str, list[Any]] = {}
        for judgement in kept.judgements(source, traces=[t.id for t in unit]):
            said.setdefault(judgement.trace, []).append(judgement)
        for trace in unit:
            for judgement in said.get(trace.id, ()):
                yield trace, judgement


def verify(store: StoreWord, as_json: AsJson = False) -> None:
    """Check every id against its content and every label against its trace; exit status 1 if anything is off.

    \b
      preceptor store verify --store run.db
    """
    from preceptor.store import Store

    with Store(_existing(store)) as kept:
        problems = kept.verify()
    console.emit(
        {"problems": problems}, as_json, "\n".join(problems) or "every record matches its content hash"
    )
    if problems:
        raise CheckFailed(f"{len(problems)} records of {store} do not verify")
