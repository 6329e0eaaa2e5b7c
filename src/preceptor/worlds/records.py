"""Rows of data files that know where they stand, so that every complaint names file, line and field.

Reads JSON lines (`store/jsonl.py`) and JSON lists, plain or `.gz`. Left out: what the fields mean.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preceptor.errors import InputError, RecordError
from preceptor.store.jsonl import read_jsonl

JSON_NAMES = {str: "text", int: "an integer", float: "a number", bool: "true or false", list: "a list"}
JSON_NAMES |= {dict: "an object", type(None): "null"}


@dataclass(frozen=True)
class Row:
    """One record and its place."""

    path: Path
    line: int
    fields: dict[str, Any]
    inside: str = ""
    """Prefix of field names: `"[12]."` in a JSON list, `"candidates[3]."` in a nested object."""

    def bad(
        self, field: str, got: str, expected: str, do: str = "Correct or drop the record."
    ) -> RecordError:
        return RecordError(self.path, self.line, self.inside + field, got, expected, do)

    def get(self, field: str, *types: type) -> Any:
        """The value of a field, of one of the types. Booleans are not numbers; `float` admits integers."""
        expected = " or ".join(JSON_NAMES[t] for t in types)
        if field not in self.fields:
            raise self.bad(field, f"no such field among {sorted(self.fields)[:12]}", expected)
        value = self.fields[field]
        accepted = (*types, int) if float in types else types
        if type(value) not in accepted:
            raise self.bad(field, _shown(value), expected)
        if type(value) is float and not math.isfinite(value):
            raise self.bad(field, str(value), "a finite number", "Write null for a missing number.")
        if isinstance(value, str):
            self._check_unicode(field, value)
        return value

    def text(self, field: str) -> str:
        """Text that is not blank."""
        value: str = self.get(field, str)
        if not value.strip():
            raise self.bad(field, "blank text", "text")
        return value

    def texts(self, field: str) -> list[str]:
        """A list of texts, not all of them blank."""
        values: list[Any] = self.get(field, list)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.bad(f"{field}[{i}]", _shown(value), "text")
            self._check_unicode(f"{field}[{i}]", value)
        if not any(v.strip() for v in values):
            raise self.bad(field, f"{len(values)} steps without any text", "at least one step")
        return values

    def numbers(self, field: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        values: list[Any] = self.get(field, list)
        for i, value in enumerate(values):
            if type(value) not in (int, float) or not math.isfinite(value):
                raise self.bad(f"{field}[{i}]", _shown(value), "a finite number")
        return tuple(map(float, values))

    def integers(self, field: str) -> list[int]:
        values: list[Any] = self.get(field, list)
        for i, value in enumerate(values):
            if type(value) is not int:
                raise self.bad(f"{field}[{i}]", _shown(value), "an integer")
        return values

    def inner(self, field: str, fields: Any) -> Row:
        """The row of a nested object."""
        if not isinstance(fields, dict):
            raise self.bad(field, _shown(fields), "an object")
        return replace(self, fields=fields, inside=f"{self.inside}{field}.")

    def _check_unicode(self, field: str, text: str) -> None:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as e:
            got = f"a lone surrogate U+{ord(text[e.start]):04X} at character {e.start}"
            raise self.bad(field, got, "text that UTF-8 can hold", "Write the whole character.") from e


def read_rows(path: str | Path) -> Iterator[Row]:
    """The records of a JSON list or a JSON lines file, told apart by the first character.

    Raises `RecordError` for the first record that is not an object, and `InputError` for a file that cannot
    be read or holds nothing.
    """
    path = Path(path)
    if _bytes(path, 4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
        yield from _read_list(path)
    else:
        yield from (Row(path, line, record) for line, record in read_jsonl(path))


def unique(rows: Iterator[Row], field: str) -> Iterator[Row]:
    """Pass rows through; raise `RecordError` at the second one with the same `field`."""
    seen: dict[Any, int] = {}
    for row in rows:
        value = row.get(field, str, int)
        if value in seen:
            got = f"{_shown(value)} again, first on line {seen[value]}"
            raise row.bad(field, got, "ids that differ", "Remove or rename one of them.")
        seen[value] = row.line
        yield row


def _bytes(path: Path, limit: int = -1) -> bytes:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            content: bytes = file.read(limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise RecordError(
            path, None, None, f"damaged gzip data ({e})", "a whole file", "Fetch it again."
        ) from e
    except OSError as e:
        got = e.strerror or str(e)
        raise InputError(f"{path}: got {got}, expected a readable data file. Check the path.") from e
    return content


def _read_list(path: Path) -> Iterator[Row]:
    raw = _bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        got = f"byte 0x{raw[e.start]:02x}"
        raise RecordError(path, line, None, got, "UTF-8 text", "Convert the file to UTF-8.") from e
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at, line, index = _blank(text, text.index("[") + 1), 1, 0
    counted = 0
    while text[at : at + 1] != "]" or index == 0:
        line, counted = line + text.count("\n", counted, at), at
        try:
            record, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as e:
            got = f"{str(e) or type(e).__name__} in record {index}"
            raise RecordError(
                path, line, None, got, "a JSON list of objects", "Fix or fetch it again."
            ) from e
        row = Row(path, line, record, f"[{index}].")
        if not isinstance(record, dict):
            raise RecordError(path, line, f"[{index}]", _shown(record), "an object", "Fix or drop it.")
        yield row
        index, at = index + 1, _blank(text, end)
        if text[at : at + 1] == ",":
            at = _blank(text, at + 1)
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            got = _shown(text[at : at + 20]) if at < len(text) else "the end of the file"
            raise RecordError(path, line, None, got, "',' or ']'", "The file may be cut off; fetch it again.")
    if rest := text[at + 1 :].strip():
        got = f"{_shown(rest)} after the list"
        raise RecordError(path, line, None, got, "the end of the file", "Remove what follows the list.")


def _blank(text: str, at: int) -> int:
    """The first place from `at` on that is not blank."""
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _refuse(constant: str) -> float:
    raise ValueError(f"the number {constant}")


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
