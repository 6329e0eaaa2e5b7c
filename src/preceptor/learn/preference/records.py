"""What preference training is fed: pairs and labelled attempts, as plain records that keep the sampled ids.

A `Piece` is text with the ids it was sampled as; ids None means that nobody sampled it (a person, a critic, a
server without ids), and training encodes the text once. Nothing is decoded and encoded again, and no end-of-text
token is added: a piece ends with one only where it was sampled. Left out: agents' observations.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from preceptor.errors import InputError, RecordError
from preceptor.judgement import Judgement
from preceptor.policy.sample import tokens_until
from preceptor.trace import Problem, Trace

R = TypeVar("R", "Pair", "Attempt")


@dataclass(frozen=True)
class Piece:
    """A stretch of text and its sampled ids."""

    text: str = ""
    ids: tuple[int, ...] | None = None

    def __add__(self, other: Piece) -> Piece:
        ids = None if self.ids is None or other.ids is None else self.ids + other.ids
        return Piece(self.text + other.text, ids)

    def same(self, other: Piece) -> bool:
        """Equal for training: the same ids, or the same text where ids are not known of both."""
        known = self.ids is not None and other.ids is not None
        return self.ids == other.ids if known else self.text == other.text

    def to_record(self) -> dict[str, Any]:
        return {"text": self.text, "ids": None if self.ids is None else list(self.ids)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Piece:
        return cls(record["text"], None if record["ids"] is None else tuple(record["ids"]))


@dataclass(frozen=True)
class Pair:
    """Two continuations of one prefix. Only their own tokens are trained on."""

    problem: Problem
    prefix: Piece
    """What both go on from, after the prompt; empty: whole answers are compared."""
    chosen: Piece
    rejected: Piece
    weight: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Where it comes from; JSON values. `"head"` is the objective of `mah_dpo`."""

    def to_record(self) -> dict[str, Any]:
        pieces = {name: getattr(self, name).to_record() for name in ("prefix", "chosen", "rejected")}
        return {"problem": self.problem.to_record(), **pieces, "weight": self.weight, "meta": dict(self.meta)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Pair:
        pieces = {name: Piece.from_record(record[name]) for name in ("prefix", "chosen", "rejected")}
        return cls(
            Problem.from_record(record["problem"]), **pieces, weight=record["weight"], meta=record["meta"]
        )


@dataclass(frozen=True)
class Attempt:
    """One whole answer with what is known of it: for losses that need no pairs."""

    problem: Problem
    """Its prompt is what the answer is conditioned on."""
    response: Piece
    good: bool | None = None
    """The outcome; None: undecided."""
    steps: tuple[tuple[int, int, bool], ...] = ()
    """`[a, b)` in the response's tokens and whether that step is good; steps that nobody judged are absent."""
    weight: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def to_record(self) -> dict[str, Any]:
        return {
            "problem": self.problem.to_record(),
            "response": self.response.to_record(),
            "good": self.good,
            "steps": [list(s) for s in self.steps],
            "weight": self.weight,
            "meta": dict(self.meta),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Attempt:
        return cls(
            Problem.from_record(record["problem"]),
            Piece.from_record(record["response"]),
            record["good"],
            tuple((a, b, good) for a, b, good in record["steps"]),
            record["weight"],
            record["meta"],
        )


@dataclass(frozen=True)
class Built(Generic[R]):
    """What a builder made, and what it could not use, counted by reason."""

    records: tuple[R, ...]
    dropped: Mapping[str, int] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.records)


def piece(trace: Trace, first: int, last: int) -> Piece | None:
    """Steps `first` .. `last - 1` of a trace; None where a token straddles an end.

    The trace's last step has what was sampled after its text, the end-of-text token if there was one.
    """
    start, end = len(trace.prefix(first)), len(trace.prefix(last))
    text = trace.text[start:end]
    if trace.token_ids is None or trace.token_ends is None:
        return Piece(text)
    a = tokens_until(trace, start)
    b = len(trace.token_ids) if last == len(trace.steps) else tokens_until(trace, end)
    return None if a is None or b is None else Piece(text, trace.token_ids[a:b])


def compare(
    problem: Problem,
    prefix: Piece | None,
    chosen: Piece | None,
    rejected: Piece | None,
    dropped: Counter[str],
    weight: float = 1.0,
    **meta: Any,
) -> list[Pair]:
    """One pair, or none with its reason in `dropped`: a token across a boundary, nothing written, a tie."""
    if prefix is None or chosen is None or rejected is None:
        dropped["token-across-boundary"] += 1
    elif not (chosen.text and rejected.text):
        dropped["empty"] += 1
    elif chosen.same(rejected):
        dropped["same"] += 1
    else:
        return [Pair(problem, prefix, chosen, rejected, weight, meta)]
    return []


def compare_whole(
    better: Trace, worse: Trace, dropped: Counter[str], weight: float = 1.0, **meta: Any
) -> list[Pair]:
    """A pair of whole answers to one problem."""
    sides = [piece(t, 0, len(t.steps)) for t in (better, worse)]
    meta = {"chosen_trace": better.id, "rejected_trace": worse.id, **meta}
    return compare(better.problem, Piece("", ()), sides[0], sides[1], dropped, weight, **meta)


def by_problem(
    traces: Sequence[Trace], judgements: Sequence[Judgement]
) -> list[list[tuple[Trace, Judgement]]]:
    """Traces with their judgements, a list a problem, in the order the problems come in."""
    if len(traces) != len(judgements):
        raise InputError(f"judgements: got {len(judgements)}, expected one for each of {len(traces)} traces")
    groups: dict[tuple[str, str], list[tuple[Trace, Judgement]]] = {}
    for trace, judged in zip(traces, judgements, strict=True):
        if judged.trace != trace.id:
            raise InputError(f"judgements: got one of trace {judged.trace}, expected one of {trace.id}")
        groups.setdefault((trace.problem.id, trace.problem.prompt), []).append((trace, judged))
    return list(groups.values())


def write_records(path: str | Path, records: Iterable[Pair | Attempt]) -> int:
    """One JSON object a line; how many."""
    count = 0
    with Path(path).open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record.to_record(), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_records(path: str | Path) -> list[Pair | Attempt]:
    """The inverse; RecordError names the line that cannot be read."""
    found: list[Pair | Attempt] = []
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                found.append((Pair if "chosen" in record else Attempt).from_record(record))
            except (ValueError, KeyError, TypeError) as error:
                got = f"{type(error).__name__}: {error}"
                expected = "a pair or an attempt"
                raise RecordError(
                    path, number, None, got, expected, "Write it with write_records."
                ) from error
    return found
