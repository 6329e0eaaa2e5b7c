"""Plain JSON lines: `{problem, steps, labels | scores, first_error}` and, where known, everything else.

Reading needs a problem, steps and one of `labels` (marks; or -1, 0, 1 as ratings), `scores`, `first_error`;
null is "not judged". Writing leaves out nothing but tokens and costs, so any format passes through it unchanged
(fields: `plain_record`). What was read in this format comes out with the fields it came with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from preceptor.annotate.formats.base import Format, Labelled, ReadOptions, Writing, each
from preceptor.annotate.formats.pieces import implied_error, rest
from preceptor.annotate.formats.plain_record import (
    DEFAULTS,
    filled,
    judgement_of,
    lose_tokens,
    record_of,
    trace_of,
)
from preceptor.annotate.rules import rating_targets
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.trace import Trace
from preceptor.worlds.readers import first_error_scores
from preceptor.worlds.records import Row

NAME = "jsonl"
LABELS = ("scores", "labels", "first_error")
Scores = tuple[float | None, ...]


def looks(fields: Mapping[str, Any]) -> bool:
    return {"problem", "steps"} <= set(fields) and bool({*LABELS, "error"} & set(fields))


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    trace, judgement = parsed(row, options)
    own: dict[str, Any] = {"fields": sorted(row.fields)}
    if more := rest(row.fields, *DEFAULTS, *LABELS, "problem", "steps"):
        own["more"] = more
    again = record_of(trace, judgement)
    raw = {k: v for k, v in row.fields.items() if k in DEFAULTS and again[k] != v}
    if raw:
        own["raw"] = raw
    return [(trace, replace(judgement, extra={**judgement.extra, NAME: own}))]


def parsed(row: Row, options: ReadOptions) -> Labelled:
    """A record without care for writing it again."""
    said = filled(row.fields)
    steps = row.get("steps", list) if said["error"] else row.texts("steps")
    scores, kind = _scores(row, steps, options)
    if kind is not None:
        said["label_kind"] = kind
    if kind == "rating":
        said["ratings"] = row.fields["labels"]
    first = implied_error(scores)
    if "first_error" in row.fields:
        first = row.get("first_error", int, type(None))
    if first is not None and not NO_ERROR <= first < max(len(steps), 1):
        raise row.bad("first_error", str(first), f"-1, null or the index of one of {len(steps)} steps")
    try:
        trace = trace_of(said, row.text("problem"), steps)
        return trace, judgement_of(said, trace, scores, first)
    except (TypeError, ValueError, KeyError, AttributeError) as e:
        if hasattr(e, "field"):
            raise
        raise row.bad("a field", f"{type(e).__name__}: {e}", f"{list(DEFAULTS)} as written by export") from e


def _scores(row: Row, steps: list[str], options: ReadOptions) -> tuple[Scores | None, str | None]:
    """Scores, and the kind of labels they came from."""
    field = next((name for name in LABELS if row.fields.get(name) is not None), "")
    if row.fields.get("error") is not None and field != "scores":
        return None, None
    if field not in ("scores", "labels"):
        first = row.get("first_error", int)
        if not NO_ERROR <= first < len(steps):
            raise row.bad("first_error", str(first), f"-1 or the index of one of {len(steps)} steps")
        return first_error_scores(first, len(steps)), None
    values = row.get(field, list)
    if len(values) != len(steps):
        raise row.bad(field, f"{len(values)} labels", f"one for each of {len(steps)} steps")
    marks = all(v is None or type(v) is bool for v in values)
    if not marks:
        row.inner("", {field: [v for v in values if v is not None]}).numbers(field)
    if field == "scores":
        return tuple(None if v is None else float(v) for v in values), None
    if -1 in values:
        if any(v not in (-1, 0, 1, None) for v in values):
            raise row.bad(field, ascii(values)[:60], "ratings -1, 0, 1 or null")
        return rating_targets(values, neutral=options.neutral), "rating"
    kind = "bool" if marks else "float" if any(type(v) is float for v in values) else "int"
    return tuple(None if v is None else float(v) for v in values), kind


def record(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    own = judgement.extra.get(NAME, {})
    said = record_of(trace, replace(judgement, extra=rest(dict(judgement.extra), NAME)))
    writing.lose(**lose_tokens(trace))
    fields = own.get("fields")
    if fields is None:
        return {k: v for k, v in said.items() if k not in DEFAULTS or v != DEFAULTS[k]}
    derived = {"labels": _labels(said, said["label_kind"])}
    if "labels" in fields:
        derived["label_kind"] = None
        derived["ratings"] = said["ratings"] if said["label_kind"] != "rating" else None
    said |= derived
    kept = {k: own.get("raw", {}).get(k, said[k]) for k in fields if k in said}
    new = {k: v for k, v in said.items() if k in DEFAULTS and k not in fields and v != DEFAULTS[k]}
    return {**own.get("more", {}), **kept, **new}


def _labels(said: dict[str, Any], kind: str | None) -> list[Any] | None:
    if kind == "rating":
        return list(said["ratings"])
    make: Any = {"bool": bool, "int": int}.get(kind or "", float)
    return None if said["scores"] is None else [None if s is None else make(s) for s in said["scores"]]


FORMAT = Format(
    NAME, "plain JSON lines: problem, steps, labels or scores, first_error", looks, items, each(record)
)
