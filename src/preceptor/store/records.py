"""Rows of the store from nouns, and back. Pure functions; SQL lives in `sqlite.py` and `store.py`.

Every row holds its record as ASCII JSON, so that lone surrogates survive, and the digest of that text. Where
one key may be recorded more than once, `rank` says which record stands: the highest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from preceptor.generation import Continuation, Request, Sampling
from preceptor.judgement import Judgement, Source
from preceptor.store.jsonl import dumps
from preceptor.store.sqlite import SCHEMA
from preceptor.trace import Problem, Trace, content_id

Row = tuple[Any, ...]

COLUMNS = {
    "problems": ("schema", "producer", "id", "digest", "record"),
    "traces": ("schema", "producer", "id", "rank", "problem", "digest", "record"),
    "prefixes": ("schema", "producer", "id", "digest", "record"),
    "rollouts": ("schema", "producer", "id", "prefix", "draw", "digest", "record"),
    "judgements": ("schema", "producer", "trace", "source", "question", "rank", "digest", "record"),
}

IDENTITY = ("prompt", "gold", "world", "grader", "meta")
"""What may not differ between two problems of one id: it decides what is asked and what is right."""


def digest(text: str) -> str:
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).hexdigest()


def column(text: str) -> str:
    """Any text as ASCII: itself for plain ids, escapes for the rest."""
    return json.dumps(text)[1:-1]


def source_column(source: Source) -> str:
    return dumps([source.name, source.version, source.config])


def source_from_column(text: str) -> Source:
    return Source(*json.loads(text))


def trace_rank(trace: Trace) -> int:
    """0 not graded, 1 undecided, 2 decided: a later, better grade stands, a worse one does not."""
    return 0 if trace.grade is None else 1 + trace.grade.decided


def judgement_rank(judgement: Judgement) -> int:
    """0 failed, 1 judged: a failure is tried again on the next start, and its success stands."""
    return int(judgement.scores is not None)


def problem_row(problem: Problem, producer: str) -> Row:
    text = dumps(problem.to_record())
    return (SCHEMA, producer, column(problem.id), digest(text), text)


def trace_row(trace: Trace, producer: str) -> Row:
    text = dumps(trace.to_record())
    return (SCHEMA, producer, trace.id, trace_rank(trace), column(trace.problem.id), digest(text), text)


def judgement_row(judgement: Judgement, producer: str) -> Row:
    text = dumps(judgement.to_record())
    source, question = source_column(judgement.source), judgement.question.value
    return (
        SCHEMA, producer, judgement.trace, source, question, judgement_rank(judgement), digest(text), text,
    )  # fmt: skip


def prefix_record(request: Request, policy: str) -> dict[str, Any]:
    """What the rollouts of one prefix share; kept once, however many draws there are."""
    return {
        "policy": policy,
        "problem": request.problem.id,
        "prefix": request.prefix,
        "seed": request.seed,
        "sampling": request.sampling.to_record(),
    }


def prefix_row(record: Mapping[str, Any], producer: str) -> Row:
    text = dumps(record)
    return (SCHEMA, producer, prefix_id(record), digest(text), text)


def prefix_id(record: Mapping[str, Any]) -> str:
    return content_id("prefix", dict(record))


def rollout_row(key: str, prefix: str, draw: int, continuation: Continuation, producer: str) -> Row:
    text = dumps(continuation.to_record())
    return (SCHEMA, producer, key, prefix, draw, digest(text), text)


def request_of(prefix: Mapping[str, Any], draw: int, problem: Problem) -> Request:
    """The request that a stored rollout answered."""
    sampling = dict(prefix["sampling"])
    sampling["stop"] = tuple(sampling["stop"])
    return Request(problem, prefix["prefix"], draw=draw, seed=prefix["seed"], sampling=Sampling(**sampling))
