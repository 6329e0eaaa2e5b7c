"""`preceptor store stats|export|verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson, StoreWord
from preceptor.errors import CheckFailed, InputError


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


def export(
    store: StoreWord,
    out: Annotated[Path, typer.Option("--out", help="JSONL file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write everything as JSON lines; the same content gives the same bytes.

    \b
      preceptor store export --store run.db --out run.jsonl
    """
    from preceptor.store import Store

    with Store(_existing(store)) as kept:
        kept.export(out)
    size = out.stat().st_size
    console.emit({"out": str(out), "bytes": size}, as_json, f"{out}: {size:,} bytes")


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
