"""The store keeps what it is given, once, under the hash of its content, and gives it back unchanged."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import threading
from pathlib import Path

import pytest

import preceptor
from preceptor.errors import InputError, StoreError
from preceptor.generation import Continuation
from preceptor.judgement import Question, Source
from preceptor.store import Store
from preceptor.trace import Grade, Problem, Trace, Verdict
from tests.store.things import SOURCE, answer, failure, graded, judgement, problem, request, trace


@pytest.fixture
def store(tmp_path: Path):
    with Store(tmp_path / "a.store") as store:
        yield store


def test_traces_come_back_equal_and_in_order_of_insertion(store: Store):
    traces = [trace(n, draw) for n in (5, 1, 3) for draw in (1, 0)]
    assert store.put_traces(traces) == 6
    assert list(store.traces()) == traces
    assert list(store.traces(limit=2)) == traces[:2]
    assert list(store.traces([traces[2].problem.id])) == traces[2:4]
    assert list(store.traces([])) == []
    assert list(store.problems()) == [problem(5), problem(1), problem(3)]


def test_paging_over_many_rows_loses_and_repeats_none(store: Store):
    traces = [trace(n % 7, n) for n in range(1300)]
    store.put_traces(traces)
    assert [t.id for t in store.traces()] == [t.id for t in traces]
    assert [t.id for t in store.traces(limit=1000)] == [t.id for t in traces[:1000]]


def test_writing_while_iterating_neither_blocks_nor_loops_forever(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("preceptor.store.store.PAGE", 1)
    store.put_traces([trace(n) for n in range(3)])
    seen = 0
    for t in store.traces():
        store.put_traces([trace(100 + seen)])
        store.put_judgements([judgement(t)])
        seen += 1
    assert (seen, len(list(store.traces()))) == (3, 6)


def test_putting_the_same_again_changes_nothing_and_the_first_cost_stands(store: Store):
    store.put_traces([trace(1, seconds=9.0)])
    assert store.put_traces([trace(1, seconds=2.0)]) == 0
    assert [t.usage.seconds for t in store.traces()] == [9.0]


def test_a_better_known_grade_stands_and_a_worse_one_does_not(store: Store):
    undecided = trace(1, grade=Grade(Verdict.UNDECIDED, "timeout"))
    for put in (trace(1), undecided, trace(1), graded(1), undecided):
        store.put_traces([put])
    assert [t.grade for t in store.traces()] == [graded(1).grade]
    assert store.stats()["traces"] == 1
    assert store.stats()["grades"] == {"correct": 1}


def test_a_failed_judgement_gives_way_to_a_later_success_and_never_the_reverse(store: Store):
    store.put_traces([trace(1)])
    store.put_judgements([failure(trace(1))])
    assert store.judged(SOURCE) == set()
    assert [j.error.kind for j in store.judgements() if j.error] == ["timeout"]
    assert store.stats()["failed"] == {"traces": 0, "judgements": 1}
    store.put_judgements([judgement(trace(1))])
    store.put_judgements([failure(trace(1))])
    assert list(store.judgements()) == [judgement(trace(1))]
    assert store.judged(SOURCE) == {trace(1).id}
    assert store.stats()["failed"]["judgements"] == 0


def test_judgements_are_found_by_source_name_question_and_trace(store: Store):
    other = Source.of("counter", k=2)
    store.put_traces([trace(1), trace(2)])
    one, two = judgement(trace(1)), judgement(trace(2), other)
    validity = judgement(trace(1), question=Question.VALIDITY)
    store.put_judgements([one, two, validity])
    assert list(store.judgements(SOURCE)) == [one, validity]
    assert list(store.judgements("counter")) == [one, two, validity]
    assert list(store.judgements(str(other))) == [two]
    assert list(store.judgements("nobody")) == []
    assert list(store.judgements(SOURCE, question=Question.VALIDITY)) == [validity]
    assert list(store.judgements(traces=[trace(2).id])) == [two]
    assert store.judged(SOURCE, Question.VALUE) == {trace(1).id}


def test_a_judgement_of_an_unknown_trace_or_of_a_wrong_length_is_refused(store: Store):
    with pytest.raises(InputError, match="Put it first"):
        store.put_judgements([judgement(trace(1))])
    empty = Trace(problem(1), "", ())
    store.put_traces([empty])
    with pytest.raises(InputError, match="got 3 scores, expected one for each of 0 steps"):
        store.put_judgements([judgement(empty)])
    assert list(store.judgements()) == []


def test_rollouts_are_kept_by_key_without_repeating_their_prefix(store: Store):
    prefix = "a long prefix " * 100
    items = [(request(1, prefix, draw), answer(f"{draw}\ud800\n")) for draw in range(50)]
    assert store.put_rollouts("pol", items) == 50
    keys = [r.key("pol") for r, _ in items]
    assert store.get_rollouts([*keys, "absent"]) == {k: c for k, (_, c) in zip(keys, items)}
    assert store.get_rollouts([request(1, prefix, 0).key("other policy")]) == {}
    assert store.stats()["prefixes"] == 1
    assert store.stats()["tokens"]["rollouts"] == 100


def test_failed_rollouts_are_not_kept(store: Store):
    assert store.put_rollouts("pol", [(request(1), Continuation.failed("timeout", "late"))]) == 0
    assert store.get_rollouts([request(1).key("pol")]) == {}


def test_two_problems_of_one_id_are_refused_unless_they_ask_and_answer_the_same(store: Store):
    store.put_problems([Problem("1+1?", "2", id="q1")])
    assert store.put_problems([Problem("1+1?", "2", id="q1", segmenter="sentence", reference=("x",))]) == 0
    with pytest.raises(StoreError, match=r"'q1'.*got gold '3'.*expected '2'.*different ids"):
        store.put_problems([Problem("new", "1", id="q2"), Problem("1+1?", "3", id="q1")])
    with pytest.raises(StoreError, match="got prompt"):
        store.put_traces([Trace(Problem("2+2?", "2", id="q1"), "", ())])
    assert [p.id for p in store.problems()] == ["q1"]


@pytest.mark.parametrize("name", ["é", "\ud800", 'quote " and \\', "0", "%_", ""])
def test_any_text_may_be_a_problem_id(store: Store, name: str):
    asked = Problem("p", "1", id=name)
    store.put_traces([Trace(asked, "", ())])
    assert [t.problem.id for t in store.traces([asked.id])] == [asked.id]
    assert store.verify() == []


def test_records_that_json_cannot_hold_are_refused_and_nothing_is_stored(store: Store):
    with pytest.raises(InputError, match="cannot be written as JSON"):
        store.put_rollouts(
            "p", [(request(1), Continuation("x", trace(1).finish, (1,), (1,), (float("-inf"),)))]
        )
    with pytest.raises(InputError, match="cannot be written as JSON"):
        store.put_problems([Problem("p", id="x", meta={"set": {1}})])
    assert list(store.problems()) == []


def test_every_row_carries_schema_and_producer_and_cannot_be_changed(store: Store):
    store.put_traces([trace(1)])
    store.put_judgements([judgement(trace(1))])
    store.put_rollouts("pol", [(request(1), answer("2"))])
    raw = sqlite3.connect(store.path)
    for table in ("problems", "traces", "prefixes", "rollouts", "judgements"):
        assert set(raw.execute(f"SELECT schema, producer FROM {table}")) == {(1, preceptor.__version__)}
        for verb in (f"DELETE FROM {table}", f"UPDATE {table} SET producer = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(verb)
    assert json.loads(raw.execute("SELECT record FROM traces").fetchone()[0])["seed"] == 3
    raw.close()


def test_stats_are_json_and_count_what_is_there(store: Store):
    store.put_traces([graded(1), graded(2, verdict=Verdict.INCORRECT), trace(3)])
    store.put_judgements([judgement(graded(1)), failure(graded(2))])
    stats = json.loads(json.dumps(store.stats()))
    assert stats["grades"] == {"correct": 1, "incorrect": 1, "ungraded": 1}
    assert stats["judgements"] == [
        {"source": str(SOURCE), "question": "value", "traces": 2, "judged": 1, "failed": 1}
    ]
    assert stats["tokens"]["traces"] == sum(len(trace(n).text) for n in (1, 2, 3))


def test_a_sound_store_verifies_and_every_kind_of_damage_is_named(store: Store):
    store.put_traces([trace(1), trace(2)])
    store.put_judgements([judgement(trace(1))])
    store.put_rollouts("pol", [(request(1), answer("2"))])
    assert store.verify() == []
    raw = sqlite3.connect(store.path)
    for table in ("problems", "traces", "prefixes", "rollouts", "judgements"):
        raw.execute(f"DROP TRIGGER {table}_no_update")
        raw.execute(f"DROP TRIGGER {table}_no_delete")
    raw.execute("UPDATE rollouts SET record = replace(record, '\"2\"', '\"3\"')")
    raw.execute("UPDATE traces SET record = replace(record, '2+2=4', '2+2=5') WHERE seq = 2")
    raw.execute("UPDATE judgements SET record = replace(record, ',null],\"source\"', '],\"source\"')")
    raw.execute("UPDATE problems SET record = substr(record, 1, 20) WHERE seq = 2")
    raw.commit()
    found = "\n".join(store.verify())
    assert "rollouts row 1: the record is not the text that was written" in found
    assert "traces row 2: " in found
    assert "judgements row 1: 2 scores for the 3 steps" in found
    assert "problems row 2: the record cannot be read" in found
    raw.execute("DELETE FROM traces WHERE seq = 1")
    raw.commit()
    assert f"trace {trace(1).id} is not in the store" in "\n".join(store.verify())
    raw.close()


def test_a_commit_is_on_the_disk_and_readers_do_not_wait_for_a_writer(store: Store):
    assert store.database.query("PRAGMA journal_mode") == [("wal",)]
    assert store.database.query("PRAGMA synchronous") == [(2,)], "FULL: a commit is synced before it returns"
    store.put_traces([trace(1)])
    with Store(store.path) as other, other.database.transaction("hold the store"):
        other.add_traces([trace(2)], "test")
        assert [t.draw for t in store.traces()] == [0]


def test_threads_may_share_a_store(store: Store):
    def work(base: int) -> None:
        for n in range(20):
            store.put_traces([trace(base + n)])
            assert len(list(store.traces([problem(base + n).id]))) == 1

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert store.stats()["traces"] == 80
    assert store.verify() == []


def _write(path: Path, base: int) -> None:
    with Store(path) as store:
        for n in range(15):
            store.put_traces([trace(base + n), trace(n)])
            store.put_judgements([judgement(trace(n))])


def test_processes_may_create_and_fill_one_store_at_the_same_time(tmp_path: Path):
    path = tmp_path / "shared.store"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write, args=(path, 1000 * (i + 1))) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert [w.exitcode for w in workers] == [0] * 4
    with Store(path) as store:
        assert store.stats()["traces"] == 4 * 15 + 15
        assert store.stats()["judgements"][0]["judged"] == 15
        assert store.verify() == []
