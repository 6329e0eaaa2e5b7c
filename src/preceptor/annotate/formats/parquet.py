"""Parquet: the plain record in columns, the rest of it as JSON text in the column `more`; row groups streamed.

Files of other writers are read too, if their columns are those of a known format (TRL's data sets on the Hub).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from preceptor.annotate.formats import files, plain
from preceptor.annotate.formats.base import Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.plain_record import DEFAULTS, lose_tokens, record_of
from preceptor.judgement import Judgement
from preceptor.trace import Trace
from preceptor.worlds.records import Row

COLUMNS = {
    "problem": "string", "steps": "texts", "scores": "numbers", "first_error": "int", "gold": "string",
    "answer": "string", "verdict": "string", "generator": "string", "question_answered": "string",
    "source": "string", "more": "string",
}  # fmt: skip


def looks(fields: Mapping[str, Any]) -> bool:
    return {"problem", "steps", "scores", "more"} <= set(fields)


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    more = row.get("more", str, type(None))
    try:
        rest = json.loads(more) if more else {}
    except ValueError as e:
        raise row.bad("more", ascii(more)[:40], "JSON text") from e
    fields = {k: v for k, v in row.fields.items() if k != "more" and (v is not None or k == "first_error")}
    return [plain.parsed(replace(row, fields={**fields, **rest}), options)]


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    writing.lose(**lose_tokens(trace))
    said = record_of(trace, judgement)
    more = {k: v for k, v in said.items() if k not in COLUMNS and v != DEFAULTS[k]}
    return {**{k: said[k] for k in COLUMNS if k != "more"}, "more": files.packed(more) if more else None}


def save(path: Path, records: Iterator[dict[str, Any]]) -> int:
    return files.write_parquet(path, records, COLUMNS)


FORMAT = Format(
    "parquet", "parquet: the plain record in columns, row groups streamed", looks, items, each(record), save
)
