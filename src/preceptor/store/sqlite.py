"""The file under the store: SQLite in WAL mode, its schema, transactions, and failures as `StoreError`.

A transaction is on the disk when it returns (`synchronous=FULL`); a process killed inside one leaves no trace
of it. Triggers refuse UPDATE and DELETE, so append-only is a property of the file. Left out: what the records
mean (`records.py`, `store.py`), network file systems (WAL needs shared memory: keep the file on a local
disk).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import preceptor
from preceptor.errors import StoreError

SCHEMA = 1
"""Version of tables and records. A store of another version is refused, not migrated in silence."""

APPLICATION_ID = 0x50524350
Values = Sequence[Any] | Mapping[str, Any]
BUSY_SECONDS = 60.0
"""How long to wait for another process's transaction."""

_HEAD = "seq INTEGER PRIMARY KEY, schema INTEGER NOT NULL, producer TEXT NOT NULL"
_TAIL = "digest TEXT NOT NULL, record TEXT NOT NULL"
TABLES = {
    "problems": f"{_HEAD}, id TEXT NOT NULL UNIQUE, {_TAIL}",
    "traces": f"{_HEAD}, id TEXT NOT NULL, rank INTEGER NOT NULL, problem TEXT NOT NULL, {_TAIL}, "
    "UNIQUE (id, rank)",
    "prefixes": f"{_HEAD}, id TEXT NOT NULL UNIQUE, {_TAIL}",
    "rollouts": f"{_HEAD}, id TEXT NOT NULL UNIQUE, prefix TEXT NOT NULL, draw INTEGER NOT NULL, {_TAIL}",
    "judgements": f"{_HEAD}, trace TEXT NOT NULL, source TEXT NOT NULL, question TEXT NOT NULL, "
    f"rank INTEGER NOT NULL, {_TAIL}, UNIQUE (trace, source, question, rank)",
}
_INDEXES = [
    "CREATE INDEX traces_of_problem ON traces (problem)",
    "CREATE INDEX judged_by ON judgements (source)",
]

_CAUSES = {
    "SQLITE_FULL": ("room on the disk", "Free space and start again; all that was committed is intact."),
    "SQLITE_NOTADB": ("a store made by this package", "Give another path, or move the file away."),
    "SQLITE_READONLY": ("a writable file in a writable directory", "Copy the store to where you may write."),
    "SQLITE_CANTOPEN": (
        "a writable file in an existing directory",
        "Create the directory or correct the path.",
    ),
    "SQLITE_BUSY": (
        "the other process's transaction to end",
        "Stop the process that holds the store, or wait.",
    ),
    "SQLITE_CORRUPT": ("an undamaged file", "Restore a copy, or load an export into a new store."),
    "ProgrammingError": ("an open store", "Open it again."),
    "SQLITE_IOERR": ("a working disk with room", "Check the disk (space, quota, limits) and start again."),
}


class Database:
    """One connection with short transactions; usable from several threads, one at a time."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = threading.RLock()
        if not self.path.parent.is_dir():
            raise StoreError(
                f"store {self.path}: got no directory {self.path.parent}, expected one. Create it or "
                "correct the path."
            )
        if self.path.is_dir():
            raise StoreError(f"store {self.path}: got a directory, expected a file. Name a file inside it.")
        with self._explained("open it"):
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        run = self._connection.execute
        with self.snapshot():
            known = run("PRAGMA application_id").fetchone()[0]
            tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if known != APPLICATION_ID and (known or tables):
            raise StoreError(
                f"store {self.path}: got a SQLite file of some other program (application id {known}), "
                "expected a store made by this package. Give another path."
            )
        _enter_wal(self._connection)
        run("PRAGMA synchronous = FULL")
        with self.transaction("create it"):
            version = run("PRAGMA user_version").fetchone()[0]
            if version == 0:
                _create(self._connection)
            elif version != SCHEMA:
                raise StoreError(
                    f"store {self.path}: got schema version {version}, expected {SCHEMA}. Export it with "
                    "the version of preceptor that wrote it (table meta, key 'producer') and load the "
                    "export here."
                )

    @contextmanager
    def transaction(self, doing: str) -> Iterator[None]:
        """All or nothing, on the disk on return. `doing` completes "could not ..." in a failure's message."""
        with self._lock, self._explained(doing):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one state of the store, whatever other processes write meanwhile."""
        with self._lock, self._explained("read"):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def stream(self, sql: str, values: Values = ()) -> Iterator[tuple[Any, ...]]:
        """Rows one by one; only inside a snapshot."""
        yield from self._connection.execute(sql, values)

    def query(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._explained("read"):
            return self._connection.execute(sql, values).fetchall()

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
        """Add the rows whose key is new and return how many they were; only inside a transaction."""
        before = self._connection.total_changes
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._connection.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING", rows
        )
        return self._connection.total_changes - before

    def close(self) -> None:
        with self._lock, self._explained("close it"):
            self._connection.close()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as e:
            name = getattr(e, "sqlite_errorname", None) or type(e).__name__
            expected, do = next(
                (v for k, v in _CAUSES.items() if name.startswith(k)),
                ("a working store", "Run `preceptor store verify` on it."),
            )
            raise StoreError(
                f"store {self.path}: could not {doing}: got {e} ({name}), expected {expected}. {do}"
            ) from e


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switching the mode does not wait for other connections by itself, so wait here."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as e:
            if not e.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _create(connection: sqlite3.Connection) -> None:
    """All tables, in the caller's transaction: a file is a whole store or an empty one."""
    run = connection.execute
    run("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    for table, columns in TABLES.items():
        run(f"CREATE TABLE {table} ({columns})")
        for verb in ("UPDATE", "DELETE"):
            run(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                "BEGIN SELECT RAISE(ABORT, 'the store is append-only'); END"
            )
    for index in _INDEXES:
        run(index)
    meta = {"schema": str(SCHEMA), "producer": preceptor.__version__, "created": _now()}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", list(meta.items()))
    run(f"PRAGMA application_id = {APPLICATION_ID}")
    run(f"PRAGMA user_version = {SCHEMA}")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
