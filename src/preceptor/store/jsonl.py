"""JSON lines, strictly: one object a line, UTF-8, finite numbers, every complaint with file, line and field.

`.gz` files are read and written transparently. Files appear whole or not at all. Left out: schemas of known
data sets (their readers say which fields they need) and appending (the store is for that).
"""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO

from preceptor.errors import InputError, PreceptorError, RecordError, StoreError

FieldType = type | tuple[type, ...]


def dumps(value: Any) -> str:
    """One line of ASCII JSON with sorted keys; lone surrogates survive as escapes.

    Raises `InputError` for what JSON cannot hold: NaN, infinities, sets, bytes.
    """
    try:
        return json.dumps(value, ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as e:
        raise InputError(
            f"a record cannot be written as JSON: got {e}, expected only text, finite numbers, booleans, "
            "None, lists and objects. Convert the value first (None for a missing number)."
        ) from e


def read_jsonl(
    path: str | Path, required: Mapping[str, FieldType] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (1-based line number, object) for every non-blank line, without loading the file.

    `required` maps field names to the accepted type or types; `float` accepts integers, a boolean is never
    a number, and `type(None)` admits null. Raises `RecordError` for the first bad line and `InputError`
    for a file that is absent, unreadable or holds no record.
    """
    lines = scan_jsonl(path, required)
    for line, record in lines:
        if isinstance(record, RecordError):
            if Path(path).suffix == ".gz":
                deque(lines, maxlen=0)  # damage further on explains the bad line: say that instead
            raise record
        yield line, record


def scan_jsonl(
    path: str | Path, required: Mapping[str, FieldType] | None = None
) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
    """Like `read_jsonl`, but a bad line comes as the `RecordError` that tells of it, and reading goes on."""
    path, line, found = Path(path), 0, False
    try:
        with _open_binary(path) as file:
            for line, raw in enumerate(file, start=1):
                if raw.strip():
                    found = True
                    try:
                        record: dict[str, Any] | RecordError = _parse(raw, path, line, required or {})
                    except RecordError as e:
                        record = e
                    yield line, record
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise RecordError(
            path,
            line + 1,
            None,
            f"damaged gzip data ({e})",
            "a whole .gz file",
            "Fetch or compress it again.",
        ) from e
    except OSError as e:
        raise InputError(
            f"{path}: got {e.strerror or e}, expected a readable JSON lines file. Check the path."
        ) from e
    if not found:
        raise InputError(
            f"{path}: got an empty file, expected one JSON object a line. Check how it was made."
        )


def write_jsonl(path: str | Path, records: Iterable[Mapping[str, Any]]) -> int:
    """Write one object a line and return how many; `path` changes only when all of them are on the disk.

    The same records give the same bytes, compressed (`.gz`) or not. Raises `StoreError` when the file cannot
    be written (full disk, missing directory); what stood at `path` before is untouched then.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        try:
            with open(part, "wb") as raw:
                with _compressed(raw) if path.suffix == ".gz" else nullcontext(raw) as out:
                    for record in records:
                        out.write(dumps(record).encode("ascii") + b"\n")
                        count += 1
                raw.flush()
                os.fsync(raw.fileno())
            os.replace(part, path)
            _sync_directory(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as e:
        if isinstance(e, PreceptorError):
            raise
        do = (
            "Free space"
            if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else "Check path and permissions"
        )
        raise StoreError(
            f"{path}: could not write: got {e.strerror or e} after {count} records, expected room for the "
            f"file in a writable directory. {do} and run again; nothing was changed."
        ) from e
    return count


def unique_ids(
    records: Iterable[tuple[int, dict[str, Any]]], path: str | Path, field: str = "id"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Pass (line, object) pairs through; raise `RecordError` at the second line with the same `field`."""
    seen: dict[str, int] = {}
    for line, record in records:
        value = dumps(record[field])
        if value in seen:
            got = f"{value} again, first on line {seen[value]}"
            raise RecordError(path, line, field, got, "ids that differ", "Remove or rename one of them.")
        seen[value] = line
        yield line, record


def _open_binary(path: Path) -> gzip.GzipFile | BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


def _parse(raw: bytes, path: Path, line: int, required: Mapping[str, FieldType]) -> dict[str, Any]:
    def bad(field: str | None, got: str, expected: str, do: str) -> RecordError:
        return RecordError(path, line, field, got, expected, do)

    try:
        text = raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as e:
        got = f"byte 0x{raw[e.start]:02x} at column {e.start + 1}"
        raise bad(None, got, "UTF-8 text", "Convert the file to UTF-8.") from e
    try:
        record = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError as e:
        raise bad(None, "brackets nested too deeply", "a flat JSON object", "Fix or drop the line.") from e
    except ValueError as e:
        raise bad(None, str(e), "one JSON object with finite numbers", "Fix or drop the line.") from e
    if not isinstance(record, dict):
        raise bad(None, f"a JSON {type(record).__name__}", "an object", "Write one {...} a line.")
    for field, types in required.items():
        accepted = types if isinstance(types, tuple) else (types,)
        names = " or ".join("null" if t is type(None) else t.__name__ for t in accepted)
        if field not in record:
            raise bad(field, "nothing", names, f"Add {field!r} to the record.")
        if not _is_a(record[field], accepted):
            shown = dumps(record[field])
            got = f"{shown[:60]}{'...' if len(shown) > 60 else ''}"
            raise bad(field, got, names, f"Correct {field!r}.")
    return record


def _is_a(value: Any, accepted: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in accepted
    if isinstance(value, int) and float in accepted:
        return True
    return isinstance(value, accepted)


def _refuse(constant: str) -> float:
    raise ValueError(f"the number {constant}")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]}, which overflows")
    return number


def _compressed(raw: IO[bytes]) -> gzip.GzipFile:
    """No name and no time in the header, so that equal content gives equal bytes."""
    return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
