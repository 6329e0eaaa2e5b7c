"""Files of step labels: one file a format, each a `Format` in `FORMATS`; read and written as streams.

    prm800k.py           human ratings with alternatives (the path through a line: `prm800k_path.py`)
    math_shepherd.py     markers in the text, + and -
    math_aps.py          Monte Carlo values of prefixes (flat: `math_aps_flat.py`, tree: `math_aps_tree.py`)
    processbench.py      the first wrong paragraph
    prmbench.py          injected errors
    trl_stepwise.py      prompt, completions, labels (`columns.py` is shared by the next four)
    axolotl_stepwise.py, scan.py, unprm.py, fover.py
    rlhflow_chat.py      a chat turn per step
    genprm.py            GenPRM's raw labels, read only
    plain.py             our own JSON lines; parquet.py the same in columns (`plain_record.py`)
    base.py              `Format`, options, the `Report`; `files.py` rows of files; `pieces.py` shared parts

An item is a pair (trace, judgement). To add a format: a file with `looks`, `items` and, to write it, `record`,
ending in one `FORMAT`, and a line here. Its test: write what was read and compare the JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from preceptor.annotate.formats import (
    axolotl_stepwise,
    files,
    fover,
    genprm,
    math_aps,
    math_shepherd,
    parquet,
    plain,
    prm800k,
    prmbench,
    processbench,
    rlhflow_chat,
    scan,
    trl_stepwise,
    unprm,
)
from preceptor.annotate.formats.base import (
    BadLine,
    Format,
    Labelled,
    Reading,
    ReadOptions,
    Report,
    WriteOptions,
)
from preceptor.errors import InputError, RecordError
from preceptor.worlds.records import Row

FORMATS: dict[str, Format] = {
    "prm800k": prm800k.FORMAT,
    "math-shepherd": math_shepherd.FORMAT,
    "math-aps": math_aps.FORMAT,
    "processbench": processbench.FORMAT,
    "prmbench": prmbench.FORMAT,
    "genprm": genprm.FORMAT,
    "trl-stepwise": trl_stepwise.FORMAT,
    "axolotl-stepwise": axolotl_stepwise.FORMAT,
    "rlhflow-chat": rlhflow_chat.FORMAT,
    "scan": scan.FORMAT,
    "unprm": unprm.FORMAT,
    "fover": fover.FORMAT,
    "parquet": parquet.FORMAT,
    "jsonl": plain.FORMAT,
}
"""By name; a file is of the first one that it looks like."""

LOOKED_AT = 20
"""Records looked at to tell a file's format."""


def format_of(name: str) -> Format:
    """The format of that name; `InputError` for an unknown one."""
    if name not in FORMATS:
        raise InputError(f"format: got {name!r}, expected one of {', '.join(FORMATS)}.")
    return FORMATS[name]


def known(path: str | Path) -> Format | None:
    """The format that the first good record of a file looks like; None when it is of none."""
    row = _first(Path(path))
    return next((format for format in FORMATS.values() if format.looks(row.fields)), None)


def guess(path: str | Path) -> Format:
    """The format of a file; `InputError` with its fields when it is of none."""
    found = known(path)
    if found is None:
        raise InputError(
            f"{path}: got records with the fields {sorted(_first(Path(path)).fields)[:12]}, expected those of "
            f"one of {', '.join(FORMATS)}. Rename the fields to those of jsonl: problem, steps, labels."
        )
    return found


def _first(path: Path) -> Row:
    bad: RecordError | None = None
    for row in islice(files.read_rows(path), LOOKED_AT):
        if not isinstance(row, RecordError):
            return row
        bad = bad or row
    raise bad or InputError(f"{path}: got no record, expected labels. Check how it was made.")


def read(
    path: str | Path, format: str | None = None, options: ReadOptions | None = None, *, strict: bool = False
) -> Reading:
    """The labelled traces of a file, one by one; its format is guessed when not given.

    Bad records are counted in the reading's `report`; with `strict` the first one raises `RecordError`.

    >>> for trace, judgement in read("prm800k/phase2_test.jsonl"):    # doctest: +SKIP
    ...     print(trace.problem.prompt, judgement.first_error)
    """
    found = guess(path) if format is None else format_of(format)
    return found.read(path, options, strict=strict)


def write(
    items: Iterable[Labelled], path: str | Path, format: str, options: WriteOptions | None = None
) -> Report:
    """Write labelled traces; the report counts what did not fit into the format."""
    return format_of(format).write(items, path, options)


__all__ = [
    "FORMATS",
    "BadLine",
    "Format",
    "Labelled",
    "ReadOptions",
    "Reading",
    "Report",
    "WriteOptions",
    "format_of",
    "guess",
    "known",
    "read",
    "write",
]
