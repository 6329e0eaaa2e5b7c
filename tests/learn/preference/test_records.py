"""Specifies the records: sampled ids are kept, cut where tokens end, and never given an end they did not have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.errors import InputError, RecordError
from preceptor.learn.preference import Attempt, Pair, Piece, piece, read_records, write_records
from preceptor.learn.preference.records import by_problem, compare
from preceptor.trace import Finish
from tests.learn.preference.toys import END, judged, problem, trace

TEXT = "6*7=41\n41+1=42\nAnswer: 42\n"


def test_pieces_of_a_trace_join_to_the_ids_that_were_sampled() -> None:
    t = trace(TEXT)
    parts = [piece(t, k, k + 1) for k in range(3)]
    assert sum((p.ids for p in parts), ()) == t.token_ids
    assert "".join(p.text for p in parts) == TEXT
    assert parts[0] + parts[1] == piece(t, 0, 2)
    assert piece(t, 0, 0) == Piece("", ())


def test_only_the_last_step_has_the_end_of_text_and_only_where_it_was_sampled() -> None:
    assert END not in piece(trace(TEXT), 0, 2).ids
    assert piece(trace(TEXT), 2, 3).ids[-1] == END
    assert END not in piece(trace(TEXT, finish=Finish.LENGTH), 0, 3).ids


def test_a_token_across_a_boundary_makes_no_piece() -> None:
    t = trace("ab\ncd\n")
    joined = replace(t, token_ids=(5, 6, 7), token_ends=(2, 4, 6), logprobs=None)
    assert piece(joined, 0, 1) is None
    assert piece(joined, 1, 2) is None
    assert piece(joined, 0, 2) == Piece("ab\ncd\n", (5, 6, 7))


def test_text_without_ids_stays_text() -> None:
    t = replace(trace(TEXT), token_ids=None, token_ends=None, logprobs=None)
    assert piece(t, 0, 1) == Piece("6*7=41\n")
    assert (piece(t, 0, 1) + Piece("x", (1,))).ids is None


def test_sides_are_the_same_by_ids_where_both_have_them_else_by_text() -> None:
    assert not Piece("a", (1,)).same(Piece("a", (2,)))
    assert Piece("a", (1,)).same(Piece("a"))


def test_what_cannot_be_compared_is_counted() -> None:
    from collections import Counter

    dropped: Counter[str] = Counter()
    a, b = Piece("a", (1,)), Piece("b", (2,))
    assert compare(problem(), a, a, a, dropped) == []
    assert compare(problem(), a, Piece(""), b, dropped) == []
    assert compare(problem(), None, a, b, dropped) == []
    assert len(compare(problem(), b, a, b, dropped)) == 1
    assert dropped == {"same": 1, "empty": 1, "token-across-boundary": 1}


def test_records_survive_a_file(tmp_path) -> None:
    records = [
        Pair(problem(), Piece("p", (1,)), Piece("c", (2, 0)), Piece("r"), 0.5, {"step": 3}),
        Attempt(problem(), Piece("é", (7, 8)), None, ((0, 1, True), (1, 2, False)), 2.0, {"trace": "t"}),
    ]
    assert write_records(tmp_path / "r.jsonl", records) == 2
    assert read_records(tmp_path / "r.jsonl") == records


def test_a_line_that_cannot_be_read_is_named(tmp_path) -> None:
    (tmp_path / "r.jsonl").write_text('{"chosen": 1}\n')
    with pytest.raises(RecordError, match=r"r\.jsonl:1: got KeyError"):
        read_records(tmp_path / "r.jsonl")


def test_judgements_of_other_traces_are_refused() -> None:
    one, two = trace("42\n"), trace("41\n")
    with pytest.raises(InputError, match="expected one of"):
        by_problem([one, two], [judged(two, [1.0]), judged(one, [1.0])])
    with pytest.raises(InputError, match="one for each"):
        by_problem([one, two], [judged(one, [1.0])])


def test_builders_and_records_load_no_heavy_library() -> None:
    import subprocess
    import sys

    code = "import sys, preceptor.learn.preference; assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
