"""Specifies how steps in characters become steps in sampled tokens, for any tokenizer.

Run with `python -m pytest tests/credit/test_spans.py`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.credit import rollout_of, signals_of, token_spans
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Grade, Problem, Trace, Verdict, steps_from_ends


def ends(pieces: list[str]) -> list[int]:
    return [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]


def test_a_separator_merged_into_a_token_belongs_to_the_step_it_ends() -> None:
    tokens, steps = ["One", ".\n\n", "Two", "."], ["One.\n\n", "Two."]
    assert token_spans(ends(steps), ends(tokens)) == ((0, 2), (2, 4))


def test_a_token_across_the_boundary_belongs_to_the_step_its_last_character_is_in() -> None:
    tokens, steps = ["One", ".\n", "\nTwo", "."], ["One.\n\n", "Two."]
    assert token_spans(ends(steps), ends(tokens)) == ((0, 2), (2, 4))


def test_the_end_of_text_token_belongs_to_the_last_step() -> None:
    assert token_spans([2, 4], [2, 4, 4]) == ((0, 1), (1, 3))


def test_the_first_bytes_of_a_character_go_with_the_token_that_completes_it() -> None:
    # "é" opens the second step; its first byte adds no character
    assert token_spans([2, 4], [2, 2, 3, 4]) == ((0, 1), (1, 4))


def test_a_step_inside_one_token_gets_an_empty_span() -> None:
    assert token_spans([2, 3, 6], [2, 6]) == ((0, 1), (1, 1), (1, 2))


def test_without_steps_or_without_tokens_there_is_nothing_to_own() -> None:
    assert token_spans([], []) == ()
    assert token_spans([3, 5], []) == ((0, 0), (0, 0))


def test_offsets_of_another_text_are_refused() -> None:
    with pytest.raises(InputError, match="beyond the last step"):
        token_spans([3], [2, 5])
    with pytest.raises(InputError, match="non-decreasing"):
        token_spans([3], [2, 1])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 3), max_size=12))
def test_spans_tile_all_tokens_and_agree_with_the_last_character_of_each(
    step_sizes: list[int], token_sizes: list[int]
) -> None:
    step_ends = [sum(step_sizes[: i + 1]) for i in range(len(step_sizes))]
    token_ends = [min(sum(token_sizes[: i + 1]), step_ends[-1]) for i in range(len(token_sizes))]
    spans = token_spans(step_ends, token_ends)
    assert [i for a, b in spans for i in range(a, b)] == list(range(len(token_ends)))
    for i, end in enumerate(token_ends):
        if end > (token_ends[i - 1] if i else 0):
            owner = next(t for t, (a, b) in enumerate(spans) if a <= i < b)
            start = step_ends[owner - 1] if owner else 0
            assert start < end <= step_ends[owner]


def trace(grade: Grade | None, **fields: object) -> Trace:
    text = "1+1=2\nAnswer: 2\n"
    base = {"token_ids": (5, 6, 7), "token_ends": (6, 16, 16), "finish": Finish.STOP}
    return Trace(Problem("1+1?", "2"), text, steps_from_ends([6, 16]), grade=grade, **{**base, **fields})


def test_a_graded_trace_becomes_a_rollout() -> None:
    got = rollout_of(trace(Grade(Verdict.CORRECT, "equal", "2")))
    assert (got.length, got.outcome, got.spans) == (3, 1.0, ((0, 1), (1, 3)))
    assert rollout_of(trace(Grade(Verdict.INCORRECT, "differs", "3"))).outcome == 0.0


def test_undecided_ungraded_and_failed_are_not_wrong() -> None:
    assert rollout_of(trace(Grade(Verdict.UNDECIDED, "timeout"))).outcome is None
    assert rollout_of(trace(None)).outcome is None
    failed = Trace(
        Problem("q"),
        "",
        (),
        Finish.ERROR,
        grade=Grade(Verdict.INCORRECT, "empty"),
        error=ItemError("http-500", "down"),
    )
    assert (rollout_of(failed).outcome, rollout_of(failed).length) == (None, 0)


def test_a_cut_off_trace_counts_as_it_was_graded() -> None:
    assert rollout_of(trace(Grade(Verdict.INCORRECT, "no answer"), finish=Finish.LENGTH)).outcome == 0.0


def test_text_without_sampled_ids_is_refused() -> None:
    with pytest.raises(InputError, match="no sampled token ids"):
        rollout_of(trace(None, token_ids=None))


def test_judgements_become_signals_of_one_question() -> None:
    said = Judgement("t", Question.VALUE, Source("mc"), (0.5, None))
    unsaid = Judgement("u", Question.VALUE, Source("mc"), None, error=ItemError("timeout", "late"))
    assert signals_of([said, unsaid], Question.VALUE).scores == ((0.5, None), None)
    with pytest.raises(InputError, match="got question 'value', expected 'validity'"):
        signals_of([said], Question.VALIDITY)
