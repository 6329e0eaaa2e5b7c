"""An export is the content of a store: the same bytes for the same content, and all of it comes back."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

import preceptor
from preceptor.errors import RecordError, StoreError
from preceptor.judgement import Source
from preceptor.store import Store
from preceptor.trace import Problem, Trace
from preceptor.usage import Ledger, Usage
from tests.store.things import answer, failure, graded, judgement, request, trace

TRACES = [graded(n, draw) for n in range(6) for draw in range(3)]
OTHER = Source.of("other", k="\ud800")


def fill(store: Store, order: random.Random | None) -> None:
    """The same content, in some order, with other costs, some of it twice."""
    traces = list(TRACES)
    rollouts = [(request(n % 6, "1\n" * (n % 3), n), answer(f"{n}\n")) for n in range(30)]
    judgements = [judgement(t, source) for t in TRACES for source in (Source.of("counter", k=1), OTHER)]
    if order is not None:
        for things in (traces, rollouts, judgements):
            order.shuffle(things)
        traces = [replace(t, usage=Usage(generated=1, seconds=order.random())) for t in traces]
        traces.insert(0, trace(3, 1))
        rollouts = [(r, replace(c, usage=replace(c.usage, prefilled=0, seconds=9.0))) for r, c in rollouts]
        judgements = [replace(j, usage=Ledger(policy=Usage(reused=40))) for j in judgements]
        store.put_rollouts("pol", rollouts)
    store.put_traces(traces)
    if order is not None:
        store.put_judgements([failure(j_of) for j_of in TRACES[:2]])
    store.put_judgements(judgements)
    store.put_rollouts("pol", rollouts)


@pytest.fixture
def filled(tmp_path: Path):
    with Store(tmp_path / "filled.store") as store:
        fill(store, None)
        yield store


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_the_bytes_do_not_depend_on_order_or_cost(tmp_path: Path, filled: Store, name: str):
    filled.export(tmp_path / f"0{name}")
    for seed in range(1, 4):
        with Store(tmp_path / f"{seed}.store") as store:
            fill(store, random.Random(seed))
            assert store.verify() == []
            store.export(tmp_path / f"{seed}{name}")
        assert (tmp_path / f"{seed}{name}").read_bytes() == (tmp_path / f"0{name}").read_bytes()


@pytest.mark.parametrize("name", ["e.jsonl", "e.jsonl.gz"])
def test_a_round_trip_gives_back_everything_but_the_cost(tmp_path: Path, filled: Store, name: str):
    written = filled.export(tmp_path / name)
    assert written == 6 + len(TRACES) + 30 + 2 * len(TRACES)
    with Store(tmp_path / "back.store") as back:
        assert back.load(tmp_path / name) == written
        assert back.load(tmp_path / name) == 0, "loading again adds nothing"
        assert back.verify() == []
        assert {t.id: replace(t, usage=Usage()) for t in back.traces()} == {
            t.id: replace(t, usage=Usage()) for t in TRACES
        }
        key = request(1, "1\n", 1).key("pol")
        assert back.get_rollouts([key])[key] == replace(answer("1\n"), usage=Usage(generated=2))
        assert len(list(back.judgements())) == 2 * len(TRACES)
        assert back.stats()["tokens"]["rollouts"] == filled.stats()["tokens"]["rollouts"]
        back.export(tmp_path / f"again-{name}")
    assert (tmp_path / f"again-{name}").read_bytes() == (tmp_path / name).read_bytes()


def test_every_line_stands_alone_with_type_schema_and_producer(tmp_path: Path, filled: Store):
    filled.export(tmp_path / "e.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [kind for kind, _ in groupby(line["type"] for line in lines)] == [
        "problem", "trace", "rollout", "judgement",
    ]  # fmt: skip
    assert {(line["schema"], line["producer"]) for line in lines} == {(1, preceptor.__version__)}
    assert b"seconds" not in (tmp_path / "e.jsonl").read_bytes()
    assert (tmp_path / "e.jsonl").read_bytes().isascii()


def test_only_records_that_stand_are_exported(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        store.put_traces([trace(1)])
        store.put_traces([graded(1)])
        store.put_judgements([failure(trace(1))])
        store.put_judgements([judgement(trace(1))])
        assert store.export(tmp_path / "e.jsonl") == 3


def spoil(path: Path, number: int, change) -> None:
    lines = path.read_text().splitlines()
    record = json.loads(lines[number])
    change(record)
    lines[number] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "number, change, said",
    [
        (0, lambda r: r.update(type="proof"), r":1: field 'type': got 'proof', expected one of"),
        (3, lambda r: r.update(schema=2), r":4: field 'schema': got 2, expected 1"),
        (0, lambda r: r.pop("prompt"), r":1: field 'prompt'"),
        (7, lambda r: r.update(text=r["text"][:-1] + "x"), r":8: .*is not the hash of the content"),
        (7, lambda r: r.update(text=r["text"] + "x"), r":8: .*cover"),
        (7, lambda r: r.update(problem="gone"), r":8: .*neither before it in the file nor in the store"),
        (7, lambda r: r.update(finish="crashed"), r":8: .*crashed"),
        (25, lambda r: r.update(draw=r["draw"] + 1), r":26: .*is not the hash of the content"),
        (25, lambda r: r["sampling"].update(heat=1), r":26: TypeError|:26: .*heat"),
        (60, lambda r: r.update(scores=[1.0]), r":61: .*got 1 scores"),
        (60, lambda r: r.update(scores="high"), r":61: field 'scores'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_of_the_file_is_added(
    tmp_path: Path, filled: Store, number: int, change, said: str
):
    path = tmp_path / "e.jsonl"
    filled.export(path)
    spoil(path, number, change)
    with Store(tmp_path / "back.store") as back:
        with pytest.raises(RecordError, match=said):
            back.load(path)
        assert list(back.problems()) == []
        assert back.verify() == []


def test_an_export_that_contradicts_the_store_is_refused(tmp_path: Path, filled: Store):
    with Store(tmp_path / "a.store") as a, Store(tmp_path / "b.store") as b:
        a.put_traces([Trace(Problem("1+1?", "2", id="q"), "", ())])
        b.put_problems([Problem("1+1?", "3", id="q")])
        a.export(tmp_path / "e.jsonl")
        with pytest.raises(StoreError, match="got gold '2'"):
            b.load(tmp_path / "e.jsonl")
