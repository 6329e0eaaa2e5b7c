"""What is in a store, and whether it is sound. Reads one snapshot, row by row; changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from preceptor.generation import Continuation
from preceptor.judgement import Judgement
from preceptor.store.records import (
    COLUMNS,
    column,
    digest,
    judgement_rank,
    prefix_id,
    request_of,
    source_column,
    source_from_column,
    trace_rank,
)
from preceptor.store.sqlite import SCHEMA, Database
from preceptor.trace import Problem, Trace

Check = Callable[[Database, dict[str, Any], dict[str, Any]], Iterator[str]]

_STANDING_TRACES = (
    "SELECT record FROM traces a "
    "WHERE NOT EXISTS (SELECT 1 FROM traces b WHERE b.id = a.id AND b.rank > a.rank)"
)


def stats(database: Database) -> dict[str, Any]:
    """Counts, tokens, judgements per source, failed items, size in bytes; JSON values only.

    `tokens` counts what was generated once, when it was stored: of rollouts, and of traces (a trace sampled
    through the rollout store appears in both).
    """
    with database.snapshot():

        def one(sql: str) -> Any:
            return next(database.stream(sql))[0]

        verdicts = database.stream(
            f"SELECT coalesce(json_extract(record, '$.grade.verdict'), 'ungraded'), count(*) "
            f"FROM ({_STANDING_TRACES}) GROUP BY 1 ORDER BY 1"
        )
        sources = database.stream(
            "SELECT source, question, count(DISTINCT trace), sum(rank = 1) FROM judgements GROUP BY 1, 2 "
            "ORDER BY 1, 2"
        )
        judged = [
            {
                "source": str(source_from_column(source)), "question": question, "traces": traces,
                "judged": done, "failed": traces - done,
            }
            for source, question, traces, done in sources
        ]  # fmt: skip
        generated = "coalesce(sum(json_extract(record, '$.usage.generated')), 0)"
        return {
            "path": str(database.path),
            "schema": SCHEMA,
            "bytes": one("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"),
            "problems": one("SELECT count(*) FROM problems"),
            "traces": one("SELECT count(DISTINCT id) FROM traces"),
            "grades": dict(verdicts),
            "prefixes": one("SELECT count(*) FROM prefixes"),
            "rollouts": one("SELECT count(*) FROM rollouts"),
            "judgements": judged,
            "tokens": {
                "rollouts": one(f"SELECT {generated} FROM rollouts"),
                "traces": one(f"SELECT {generated} FROM ({_STANDING_TRACES})"),
            },
            "failed": {
                "traces": one(f"SELECT count(json_extract(record, '$.error')) FROM ({_STANDING_TRACES})"),
                "judgements": sum(row["failed"] for row in judged),
            },
        }


def verify(database: Database) -> list[str]:
    """Everything that contradicts itself, one sentence each; empty for a sound store.

    Checks SQLite's own structures; that every record is the text that was written, parses, and hashes to its
    id; that every judgement's trace, trace's problem and rollout's prefix exists; that scores and steps agree
    in number.
    """
    with database.snapshot():
        found = [text for (text,) in database.stream("PRAGMA integrity_check") if text != "ok"]
        for table, check in _CHECKS.items():
            found += _verify_table(database, table, check)
    return [f"{database.path}: {text}" for text in found]


def _verify_table(database: Database, table: str, check: Check) -> Iterator[str]:
    names = ("seq", *COLUMNS[table])
    for values in database.stream(f"SELECT {', '.join(names)} FROM {table} ORDER BY seq"):
        row = dict(zip(names, values, strict=True))
        place = f"{table} row {row['seq']}"
        if row["schema"] != SCHEMA:
            yield f"{place}: schema {row['schema']}, expected {SCHEMA}"
        if digest(row["record"]) != row["digest"]:
            yield f"{place}: the record is not the text that was written"
        try:
            for text in check(database, row, json.loads(row["record"])):
                yield f"{place}: {text}"
        except (ValueError, TypeError, KeyError, IndexError) as e:
            yield f"{place}: the record cannot be read: {type(e).__name__}: {e}"


def _problem(database: Database, row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    if column(Problem.from_record(record).id) != row["id"]:
        yield f"id {row['id']} is not the id in the record, {record['id']!r}"


def _trace(database: Database, row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    problem = _find(database, "problems", column(record["problem"]))
    if problem is None:
        yield f"problem {record['problem']!r} is not in the store"
        return
    trace = Trace.from_record(record, Problem.from_record(problem))
    if not row["id"] == record["id"] == trace.id:
        yield f"id {row['id']} is not the hash of the content, {trace.id}"
    if (row["rank"], row["problem"]) != (trace_rank(trace), column(trace.problem.id)):
        yield "rank or problem is not that of the record"


def _prefix(database: Database, row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    if row["id"] != prefix_id(record):
        yield f"id {row['id']} is not the hash of the content, {prefix_id(record)}"


def _rollout(database: Database, row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    Continuation.from_record(record)
    prefix = _find(database, "prefixes", row["prefix"])
    problem = prefix and _find(database, "problems", column(prefix["problem"]))
    if not prefix or not problem:
        yield f"prefix {row['prefix']} or its problem is not in the store"
        return
    key = request_of(prefix, row["draw"], Problem.from_record(problem)).key(prefix["policy"])
    if row["id"] != key:
        yield f"id {row['id']} is not the hash of the content, {key}"


def _judgement(database: Database, row: dict[str, Any], record: dict[str, Any]) -> Iterator[str]:
    judgement = Judgement.from_record(record)
    own = (judgement.trace, source_column(judgement.source), judgement.question.value)
    if (row["trace"], row["source"], row["question"]) != own or row["rank"] != judgement_rank(judgement):
        yield "trace, source, question or rank is not that of the record"
    trace = _find(database, "traces", judgement.trace)
    if trace is None:
        yield f"trace {judgement.trace} is not in the store"
    elif judgement.scores is not None and len(judgement.scores) != len(trace["steps"]):
        yield f"{len(judgement.scores)} scores for the {len(trace['steps'])} steps of trace {judgement.trace}"


def _find(database: Database, table: str, name: str) -> dict[str, Any] | None:
    row = next(database.stream(f"SELECT record FROM {table} WHERE id = ?", (name,)), None)
    return None if row is None else json.loads(row[0])


_CHECKS: dict[str, Check] = {
    "problems": _problem,
    "traces": _trace,
    "prefixes": _prefix,
    "rollouts": _rollout,
    "judgements": _judgement,
}
