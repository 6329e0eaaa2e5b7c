"""Rows of JSON lines, JSON lists and parquet files, bad ones included; and writing them.

Parquet is read in batches and written in row groups, so neither holds the file. Needs `pyarrow`, which comes
with `datasets`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.errors import InputError, RecordError, StoreError
from preceptor.store.jsonl import dumps, scan_jsonl, write_jsonl
from preceptor.worlds import records
from preceptor.worlds.records import Row

PARQUET = b"PAR1"
GROUP = 4096
"""Rows of one row group."""


def head(path: Path, size: int = 4096) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError as e:
        raise InputError(
            f"{path}: got {e.strerror or e}, expected a readable file of labels. Check the path."
        ) from e


def read_rows(path: Path) -> Iterator[Row | RecordError]:
    """Every record of a file, or the error that tells why it is none. Raises for a file damaged as a whole."""
    start = head(path)
    if start.startswith(PARQUET):
        yield from _read_parquet(path)
    elif start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[" or path.name.endswith(".json.gz"):
        yield from records.read_rows(path)
    else:
        for line, found in scan_jsonl(path):
            yield found if isinstance(found, RecordError) else Row(path, line, found)


def write_lines(path: Path, found: Iterator[dict[str, Any]]) -> int:
    return write_jsonl(path, found)


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    line = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=512):
                for fields in batch.to_pylist():
                    line += 1
                    yield Row(path, line, fields)
    except (pa.ArrowException, OSError) as e:
        raise RecordError(
            path, line + 1, None, f"damaged parquet data ({e})", "a whole .parquet file", "Fetch it again."
        ) from e
    if not line:
        raise InputError(f"{path}: got no row, expected at least one. Check how it was made.")


def write_parquet(path: Path, found: Iterator[dict[str, Any]], columns: dict[str, str]) -> int:
    """Write rows with these columns (`name -> string, list<string>, list<double>, int32, bool`)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "string": pa.string(), "texts": pa.list_(pa.string()), "numbers": pa.list_(pa.float64()),
        "int": pa.int32(), "bool": pa.bool_(),
    }  # fmt: skip
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        try:
            with pq.ParquetWriter(part, schema, compression="zstd") as out:
                while rows := list(islice(found, GROUP)):
                    out.write_table(pa.Table.from_pylist(rows, schema=schema))
                    count += len(rows)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as e:
        if isinstance(e, StoreError):
            raise
        raise StoreError(
            f"{path}: could not write: got {e.strerror or e} after {count} records, expected room for the "
            "file in a writable directory. Check path and space; nothing was changed."
        ) from e
    return count


def packed(value: Any) -> str:
    """JSON text of what has no column of its own."""
    return dumps(value)
