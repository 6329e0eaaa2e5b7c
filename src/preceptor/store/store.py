"""The store: problems, traces, rollouts and judgements in one append-only, content-addressed SQLite file.

Putting what is already there changes nothing, so every producer may be killed and started again. Each `put_*`
call is one transaction. Left out: deleting, and labels that depend on two judgements (compute them from
both).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import preceptor
from preceptor.errors import InputError, StoreError
from preceptor.generation import Continuation, Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.store import audit, exchange
from preceptor.store.records import (
    COLUMNS,
    IDENTITY,
    Row,
    column,
    judgement_row,
    prefix_id,
    prefix_record,
    prefix_row,
    problem_row,
    rollout_row,
    source_column,
    source_from_column,
    trace_row,
)
from preceptor.store.sqlite import Database
from preceptor.trace import Finish, Problem, Trace

PAGE = 512
"""Rows fetched at a time, so that iterating holds no lock and little memory."""


class Store:
    """Open or create the store in the file `path`; its directory must exist.

    Safe with several processes (each opens its own) and several threads. Raises `StoreError` for a file that
    is not a store or of another schema, a read-only or missing directory, a full disk.

    >>> with Store("labels.store") as store:    # doctest: +SKIP
    ...     store.put_traces(traces)
    ...     print(store.stats()["traces"])
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.database = Database(path)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    def close(self) -> None:
        self.database.close()

    # ---- writing

    def put_problems(self, problems: Iterable[Problem]) -> int:
        """Store problems and return how many were new.

        Raises `StoreError` when another problem has the same id; nothing is stored then.
        """
        problems = list(problems)
        with self.database.transaction("store problems"):
            return self.add_problems(problems, preceptor.__version__)

    def put_traces(self, traces: Iterable[Trace]) -> int:
        """Store traces with their problems; return how many records were new.

        A trace put again adds a record only when its grade is better known than before (none, undecided,
        decided); otherwise the first record stands, with the cost it had then.
        """
        traces = list(traces)
        with self.database.transaction("store traces"):
            return self.add_traces(traces, preceptor.__version__)

    def put_judgements(self, judgements: Iterable[Judgement]) -> int:
        """Store judgements, keyed by trace, source and question; return how many records were new.

        The first judgement with scores stands; one without (a failure) gives way to one with scores. Raises
        `InputError`, and stores nothing, when a trace is not in the store or has another number of steps.
        """
        judgements = list(judgements)
        with self.database.transaction("store judgements"):
            return self.add_judgements(judgements, preceptor.__version__)

    def put_rollouts(self, policy: str, items: Iterable[tuple[Request, Continuation]]) -> int:
        """Store what the policy with this fingerprint answered; return how many were new.

        Failed continuations are left out, so that they are asked for again.
        """
        items = [(r, c) for r, c in items if c.finish is not Finish.ERROR]
        with self.database.transaction("store rollouts"):
            return self.add_rollouts(policy, items, preceptor.__version__)

    # ---- the same inside a transaction of the caller

    def add(self, table: str, rows: Sequence[Row]) -> int:
        return self.database.insert(table, COLUMNS[table], rows)

    def add_problems(self, problems: Sequence[Problem], producer: str) -> int:
        known = {p.id: p for p in self.problems(p.id for p in problems)}
        for problem in problems:
            first = known.setdefault(problem.id, problem)
            for name in IDENTITY:
                if first is not problem and getattr(first, name) != getattr(problem, name):
                    raise StoreError(
                        f"store {self.path}: problem id {problem.id!r}: got {name} "
                        f"{getattr(problem, name)!r:.80}, expected {getattr(first, name)!r:.80} as first "
                        "stored. Give different problems different ids (or leave the id empty), or use "
                        "another store."
                    )
        return self.add("problems", [problem_row(p, producer) for p in known.values()])

    def add_traces(self, traces: Sequence[Trace], producer: str) -> int:
        self.add_problems([t.problem for t in traces], producer)
        return self.add("traces", [trace_row(t, producer) for t in traces])

    def add_rollouts(self, policy: str, items: Sequence[tuple[Request, Continuation]], producer: str) -> int:
        self.add_problems([r.problem for r, _ in items], producer)
        prefixes, rollouts = [], []
        for request, continuation in items:
            shared = prefix_record(request, policy)
            prefixes.append(prefix_row(shared, producer))
            key = request.key(policy)
            rollouts.append(rollout_row(key, prefix_id(shared), request.draw, continuation, producer))
        self.add("prefixes", prefixes)
        return self.add("rollouts", rollouts)

    def add_judgements(self, judgements: Sequence[Judgement], producer: str) -> int:
        rows = self.database.query(
            "SELECT id, json_array_length(record, '$.steps') FROM traces WHERE id IN (SELECT value FROM "
            "json_each(?))",
            (json.dumps([j.trace for j in judgements]),),
        )
        steps = dict(rows)
        for j in judgements:
            if j.trace not in steps:
                raise InputError(
                    f"judgement by {j.source}: got trace {j.trace}, expected one that is in {self.path}. "
                    "Put it first."
                )
            if j.scores is not None and len(j.scores) != steps[j.trace]:
                raise InputError(
                    f"judgement of trace {j.trace} by {j.source}: got {len(j.scores)} scores, expected one "
                    f"for each of {steps[j.trace]} steps. Use None for a step that was not judged."
                )
        return self.add("judgements", [judgement_row(j, producer) for j in judgements])

    # ---- reading

    def problems(self, ids: Iterable[str] | None = None) -> Iterator[Problem]:
        """Problems in order of insertion, all or those with these ids."""
        among = {} if ids is None else {"id": [column(i) for i in ids]}
        for _, text in self._rows("problems", "record", among):
            yield Problem.from_record(json.loads(text))

    def traces(
        self, problem_ids: Iterable[str] | None = None, *, limit: int | None = None
    ) -> Iterator[Trace]:
        """Traces in order of insertion, all or those of these problems; at most `limit`."""
        among = {} if problem_ids is None else {"problem": [column(i) for i in problem_ids]}
        columns = "record, (SELECT record FROM problems p WHERE p.id = a.problem)"
        problem_text, problem = "", None
        for _, text, new_text in self._rows("traces", columns, among, key=("id",), limit=limit):
            if problem is None or new_text != problem_text:
                problem_text, problem = new_text, Problem.from_record(json.loads(new_text))
            yield Trace.from_record(json.loads(text), problem)

    def judgements(
        self,
        source: Source | str | None = None,
        *,
        question: Question | None = None,
        traces: Iterable[str] | None = None,
    ) -> Iterator[Judgement]:
        """Judgements in order of insertion. `source` is a `Source`, its full text (`name@version#config`) or
        just a name; `traces` are ids. Failed ones (`scores` None) are included."""
        among: dict[str, list[str]] = {} if traces is None else {"trace": list(traces)}
        if source is not None:
            among["source"] = [source_column(s) for s in self._sources(source)]
        if question is not None:
            among["question"] = [question.value]
        for _, text in self._rows("judgements", "record", among, key=("trace", "source", "question")):
            yield Judgement.from_record(json.loads(text))

    def judged(self, source: Source, question: Question | None = None) -> set[str]:
        """Ids of the traces that this source gave scores to."""
        rows = self.database.query(
            "SELECT trace FROM judgements WHERE source = ? AND rank = 1 AND question = coalesce(?, question)",
            (source_column(source), None if question is None else question.value),
        )
        return {trace for (trace,) in rows}

    def get_rollouts(self, keys: Iterable[str]) -> dict[str, Continuation]:
        """Key -> continuation as first generated, for the keys that are there."""
        rows = self.database.query(
            "SELECT id, record FROM rollouts WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        return {key: Continuation.from_record(json.loads(text)) for key, text in rows}

    def stats(self) -> dict[str, Any]:
        """Counts, tokens, judgements per source, failed items, size in bytes; JSON values only."""
        return audit.stats(self.database)

    def verify(self) -> list[str]:
        """Everything that contradicts itself, one sentence each; empty for a sound store."""
        return audit.verify(self.database)

    def export(self, path: str | Path) -> int:
        """Write everything as JSON lines (see `exchange.py`) and return how many."""
        return exchange.export(self.database, path)

    def load(self, path: str | Path) -> int:
        """Add everything from an export, or nothing if a line is bad; return how many records were new."""
        return exchange.load(self, path)

    def _sources(self, source: Source | str) -> list[Source]:
        if isinstance(source, Source):
            return [source]
        rows = self.database.query("SELECT DISTINCT source FROM judgements")
        return [s for s in (source_from_column(text) for (text,) in rows) if source in (s.name, str(s))]

    def _rows(
        self,
        table: str,
        columns: str,
        among: Mapping[str, list[str]],
        *,
        key: tuple[str, ...] = (),
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows (seq, columns...) in order, page by page, up to what was there at the start. `among` maps
        columns to the values wanted; with `key`, only the record that stands for each key."""
        where = "".join(f" AND a.{name} IN (SELECT value FROM json_each(:{name}))" for name in among)
        if key:
            same = " AND ".join(f"b.{name} = a.{name}" for name in key)
            better = f"SELECT 1 FROM {table} b WHERE {same} AND b.rank > a.rank AND b.seq <= :upto"
            where += f" AND NOT EXISTS ({better})"
        sql = (
            f"SELECT seq, {columns} FROM {table} a WHERE seq > :last AND seq <= :upto{where} "
            "ORDER BY seq LIMIT :size"
        )
        values: dict[str, Any] = {name: json.dumps(wanted) for name, wanted in among.items()}
        values["upto"] = self.database.query(f"SELECT coalesce(max(seq), 0) FROM {table}")[0][0]
        values["last"], left = 0, limit
        while left is None or left > 0:
            values["size"] = PAGE if left is None else min(PAGE, left)
            rows = self.database.query(sql, values)
            yield from rows
            if len(rows) < values["size"]:
                return
            values["last"] = rows[-1][0]
            left = None if left is None else left - len(rows)
