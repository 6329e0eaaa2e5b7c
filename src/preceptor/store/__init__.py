"""The store: problems, traces, rollouts, judgements; one append-only, content-addressed, crash-safe file.

    store.py      `Store`: put and get, one transaction a call
    rollouts.py   `complete`: the rollout cache that every Monte Carlo method asks through
    exchange.py   export to JSON lines and load, byte for byte
    audit.py      statistics and verification
    records.py    rows from nouns and back
    sqlite.py     the file: schema, transactions, failures as `StoreError`
    jsonl.py      strict JSON lines for everybody

To store one more kind of record: a table in `sqlite.TABLES`, its columns and row in `records.py`, `put_` and
a reader in `Store`, a line type in `exchange.py`, a check in `audit.py`, and a new `sqlite.SCHEMA`.
"""

from preceptor.store.jsonl import read_jsonl, unique_ids, write_jsonl
from preceptor.store.rollouts import complete
from preceptor.store.store import Store

__all__ = ["Store", "complete", "read_jsonl", "unique_ids", "write_jsonl"]
