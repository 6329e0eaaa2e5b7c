"""Specifies rows: sampled ids as they are, masks by step, and nothing invented.

Run: python -m pytest tests/learn/data/test_rows.py
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.learn.data import Piece, step_pieces, token_row, whole_row
from preceptor.learn.data.rows import prefix_piece
from tests.learn.data.toys import END, RIGHT, trace


def test_the_pieces_of_a_trace_are_its_steps_with_its_sampled_ids_and_the_end_of_text_in_the_last() -> None:
    pieces = step_pieces(trace(RIGHT), [None, 0.5, 1.0], [None, 0.25, None])
    assert [p.text for p in pieces] == list(RIGHT)
    assert sum((p.token_ids for p in pieces), ()) == (*map(ord, "".join(RIGHT)), END)
    assert [p.trained for p in pieces] == [False, True, True]
    assert pieces[1].value == 0.25


def test_a_trace_without_ids_gives_text_and_a_prefix_that_no_token_ends_gives_text_too() -> None:
    assert {p.token_ids for p in step_pieces(trace(RIGHT, ids=False), [1.0] * 3)} == {None}
    assert prefix_piece(trace(RIGHT), 8, trained=False)[0].token_ids == tuple(map(ord, RIGHT[0]))
    assert prefix_piece(trace(RIGHT), 0, trained=False) == ()


def test_weights_by_token_keep_masked_runs_as_context_and_the_text_whole() -> None:
    made = trace(("ab\n",))
    row = token_row(made, [1.0, 2.0, 3.0, 4.0], [False, True, True, False])
    assert [(p.text, p.trained, p.weights) for p in row.pieces] == [
        ("a", False, (1.0,)),
        ("b\n", True, (2.0, 3.0)),
        ("", False, (4.0,)),
    ]
    with pytest.raises(InputError, match="a weight for each sampled token"):
        token_row(made, [1.0])


def test_weights_that_do_not_fit_the_ids_are_refused() -> None:
    with pytest.raises(InputError, match="2 weights for 1 token ids"):
        Piece("a", weights=(1.0, 2.0), token_ids=(97,))


def test_a_row_survives_its_record_in_full() -> None:
    record = whole_row(trace(RIGHT), 0.5).to_record()
    assert record["pieces"][0]["token_ids"] == list(map(ord, RIGHT[0]))
    assert record["source"] == trace(RIGHT).id


def test_what_an_environment_wrote_is_context_whoever_makes_the_row() -> None:
    """Two turns, `12*7=84` is answered by `ok`: a step is a turn with its reply."""
    text = "12*7=84\nok\n"
    plain = trace((text, "Answer: 84\n"))
    marks = tuple(not 8 <= k < len(text) for k in range(len(plain.token_ids)))
    played = replace(plain, sampled=marks)
    pieces = step_pieces(played, [1.0, 1.0], [0.5, None])
    assert [(p.text, p.trained, p.value) for p in pieces] == [
        ("12*7=84\n", True, None),
        ("ok\n", False, 0.5),
        ("Answer: 84\n", True, None),
    ]
    assert sum((p.token_ids for p in pieces), ()) == played.token_ids
    assert whole_row(played).text == played.text
    n = len(played.token_ids)
    for trained in (None, [True] * n):
        row = token_row(played, [1.0] * n, trained)
        assert [(p.text, p.trained) for p in row.pieces] == [(p.text, p.trained) for p in pieces]
