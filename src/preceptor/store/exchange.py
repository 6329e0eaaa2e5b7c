"""A store as one JSON lines file, and back: the same content gives the same bytes in whatever order it came.

Each line is one object with `type` (`problem`, `trace`, `rollout`, `judgement`, in this order, each sorted by
key), `schema`, `producer` and the record's fields; keys are sorted, text is ASCII, `.gz` is compressed. Lines
stand alone, so exports may be concatenated and filtered. What a record *cost* is history, not content (a
resumed run reuses what a killed one paid for): `usage` is left out, apart from a rollout's generated tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import RecordError
from preceptor.generation import Continuation
from preceptor.judgement import Judgement
from preceptor.store.jsonl import read_jsonl, write_jsonl
from preceptor.store.records import prefix_id, prefix_record, prefix_row, request_of, rollout_row, trace_row
from preceptor.store.sqlite import SCHEMA, Database
from preceptor.trace import Problem, Trace

if TYPE_CHECKING:
    from preceptor.store.store import Store

_ORDERED = {
    "problem": "SELECT schema, producer, record, NULL, NULL FROM problems ORDER BY id",
    "trace": "SELECT schema, producer, record, NULL, NULL FROM traces a WHERE NOT EXISTS "
    "(SELECT 1 FROM traces b WHERE b.id = a.id AND b.rank > a.rank) ORDER BY id",
    "rollout": "SELECT r.schema, r.producer, r.record, p.record, json_object('id', r.id, 'draw', r.draw) "
    "FROM rollouts r JOIN prefixes p ON p.id = r.prefix ORDER BY r.id",
    "judgement": "SELECT schema, producer, record, NULL, NULL FROM judgements a WHERE NOT EXISTS "
    "(SELECT 1 FROM judgements b WHERE b.trace = a.trace AND b.source = a.source "
    "AND b.question = a.question AND b.rank > a.rank) ORDER BY trace, source, question",
}

_REQUIRED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "problem": {"id": str, "prompt": str, "grader": str, "meta": dict},
    "trace": {"id": str, "problem": str, "text": str, "steps": list, "finish": str},
    "rollout": {
        "id": str, "policy": str, "problem": str, "prefix": str, "draw": int, "seed": int, "sampling": dict,
        "text": str, "finish": str,
    },
    "judgement": {"trace": str, "question": str, "source": list, "scores": (list, type(None))},
}  # fmt: skip


def export(database: Database, path: str | Path) -> int:
    """Write every record that stands, from one snapshot; the file appears whole or not at all."""
    with database.snapshot():
        return write_jsonl(path, _lines(database))


def _lines(database: Database) -> Iterator[dict[str, Any]]:
    for kind, sql in _ORDERED.items():
        for schema, producer, record, *shared in database.stream(sql):
            line = {"type": kind, "schema": schema, "producer": producer, **json.loads(record)}
            usage = line.pop("usage", {})
            if kind == "rollout":
                for part in shared:
                    line.update(json.loads(part))
                line["usage"] = {"generated": usage.get("generated", 0)}
            yield line


def load(store: Store, path: str | Path) -> int:
    """Add the records of an export in one transaction; return how many were new.

    Raises `RecordError` for a line that is malformed, of another schema, names a problem that is neither in
    the file before it nor in the store, or whose id is not the hash of its content; nothing is added then.
    """
    lines = read_jsonl(path, {"type": str, "schema": int, "producer": str})
    problems: dict[str, Problem] = {}
    added = 0
    with store.database.transaction(f"load {path}"):
        for line, record in lines:
            added += _add(store, Path(path), line, record, problems)
    return added


def _add(store: Store, path: Path, line: int, record: dict[str, Any], problems: dict[str, Problem]) -> int:
    kind, producer = record["type"], record["producer"]
    if kind not in _REQUIRED:
        raise RecordError(
            path, line, "type", repr(kind), f"one of {sorted(_REQUIRED)}", "Is this a store's export?"
        )
    if record["schema"] != SCHEMA:
        do = "Load it with the version of preceptor that wrote it."
        raise RecordError(path, line, "schema", str(record["schema"]), str(SCHEMA), do)
    for field, types in _REQUIRED[kind].items():
        if not isinstance(record.get(field), types) or (field not in record):
            raise RecordError(path, line, field, repr(record.get(field))[:60], str(types), "Export it again.")
    try:
        return _ADD[kind](store, record, producer, problems)
    except (ValueError, TypeError, KeyError, IndexError) as e:
        raise RecordError(
            path, line, None, f"{type(e).__name__}: {e}", f"a {kind}", "Export it again."
        ) from e


def _problem_of(store: Store, record: dict[str, Any], problems: dict[str, Problem]) -> Problem:
    name = record["problem"]
    if name not in problems:
        found = next(store.problems([name]), None)
        if found is None:
            raise ValueError(f"problem {name!r} stands neither before it in the file nor in the store")
        problems[name] = found
    return problems[name]


def _check_id(record: dict[str, Any], own: str) -> None:
    if record["id"] != own:
        raise ValueError(f"id {record['id']!r} is not the hash of the content, {own!r}")


def _add_problem(store: Store, record: dict[str, Any], producer: str, problems: dict[str, Problem]) -> int:
    problem = Problem.from_record(record)
    problems[problem.id] = problem
    return store.add_problems([problem], producer)


def _add_trace(store: Store, record: dict[str, Any], producer: str, problems: dict[str, Problem]) -> int:
    trace = Trace.from_record(record, _problem_of(store, record, problems))
    _check_id(record, trace.id)
    return store.add("traces", [trace_row(trace, producer)])


def _add_rollout(store: Store, record: dict[str, Any], producer: str, problems: dict[str, Problem]) -> int:
    policy, draw = record["policy"], record["draw"]
    request = request_of(record, draw, _problem_of(store, record, problems))
    _check_id(record, request.key(policy))
    shared = prefix_record(request, policy)
    store.add("prefixes", [prefix_row(shared, producer)])
    answer = Continuation.from_record(record)
    return store.add("rollouts", [rollout_row(record["id"], prefix_id(shared), draw, answer, producer)])


def _add_judgement(store: Store, record: dict[str, Any], producer: str, problems: dict[str, Problem]) -> int:
    return store.add_judgements([Judgement.from_record(record)], producer)


_ADD = {
    "problem": _add_problem,
    "trace": _add_trace,
    "rollout": _add_rollout,
    "judgement": _add_judgement,
}
