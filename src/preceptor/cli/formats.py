"""`preceptor formats`: how public reward models are read, and how sure of it we are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import typer

from preceptor.cli import console
from preceptor.cli.options import AsJson
from preceptor.errors import InputError

SHOWN = ("prompt", "tag", "readout", "head", "link", "steps")
HEAD = ("name", "answers", *SHOWN, "aggregate", "threshold", "unsure", "models")


def formats(
    name: Annotated[
        str | None, typer.Argument(help="One family, in full; all as a table when left out.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The table as it stands in docs/formats.md.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the families of reward models that can be opened, or describe one with its traps.

    The column `unsure` counts what is from memory or was not found; one family in full names it. Open one with
    --format:

    \b
      preceptor formats qwen
      preceptor score --scorer model/ --format qwen --traces run.db
    """
    from preceptor.reward.formats import FORMATS

    if name is not None and name not in FORMATS:
        raise InputError(f"formats: got {name!r}, expected one of {sorted(FORMATS)}")
    if name is not None:
        found = record_of(FORMATS[name])
        console.emit(found, as_json, described(found))
        return
    records = [record_of(FORMATS[key]) for key in sorted(FORMATS)]
    rows = [row_of(record, wide=markdown) for record in records]
    words = markdown_table(rows) if markdown else text_table(rows)
    console.emit({"formats": records}, as_json, words)


def record_of(record: Any) -> dict[str, Any]:
    """A record as JSON values; kinds of records differ, and what one does not have is null."""
    question = getattr(record, "question", None)
    return {
        "name": record.name,
        "models": list(record.models),
        "architectures": list(record.architectures),
        "answers": None if question is None else question.value,
        **{key: record.columns().get(key) for key in SHOWN},
        "aggregate": getattr(record, "aggregate", None) or None,
        "threshold": getattr(record, "threshold", None),
        "layout": settings_of(getattr(record, "layout", None)),
        "unsure": list(record.unsure),
        "notes": list(record.notes),
        "needs": list(getattr(record, "needs", ())),
    }


def settings_of(part: Any, name: str = "") -> dict[str, Any]:
    """What a layout says beyond its defaults, nested parts with their field's name in front."""
    found: dict[str, Any] = {}
    for field in fields(part) if is_dataclass(part) else ():
        value = getattr(part, field.name)
        if is_dataclass(value):
            found |= {f"{field.name}": type(value).__name__} | settings_of(value, f"{field.name}.")
        elif value != field.default:
            found[name + field.name] = list(value) if isinstance(value, tuple) else value
    return found


def row_of(record: dict[str, Any], wide: bool) -> list[str]:
    """The cells of one line, in the order of `HEAD`; `wide` names the unsure facts instead of counting them."""
    models = record["models"]
    facts = ", ".join(dict.fromkeys(fact_of(line) for line in record["unsure"]))
    shown = {
        **record,
        "unsure": facts if wide else str(len(record["unsure"]) or "-"),
        "models": f"{models[0]} +{len(models) - 1}" if len(models) > 1 else "".join(models),
    }
    return [cell(shown[key]) for key in HEAD]


def fact_of(line: str) -> str:
    """What an unsure line is about: its words before the first colon, comma or parenthesis.

    >>> fact_of("link, two-way softmax: from memory")
    'link'
    """
    return re.split(r"[:,(]", line, maxsplit=1)[0].strip()


def cell(value: Any) -> str:
    return "-" if value is None or value == "" else str(value)


def text_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [list(HEAD), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = [list(HEAD), ["---"] * len(HEAD), *([c.replace("|", "\\|") for c in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def described(record: dict[str, Any]) -> str:
    """One family in full."""
    keys = ("answers", *SHOWN, "aggregate", "threshold", "architectures")
    lines = [record["name"]]
    for key in keys:
        value = record[key]
        lines.append(f"  {key:<14}{cell(', '.join(value) if isinstance(value, list) else value)}")
    if record["layout"]:
        lines += ["", "layout:", *(f"  {k:<24}{v!r}" for k, v in record["layout"].items())]
    for title in ("models", "unsure", "notes"):
        if record[title]:
            lines += ["", f"{title}:", *(f"  - {line}" for line in record[title])]
    options = "".join(f" --option {need}=..." for need in record["needs"])
    command = f"preceptor score --scorer DIR --format {record['name']}{options} --traces run.db"
    return "\n".join([*lines, "", command])
