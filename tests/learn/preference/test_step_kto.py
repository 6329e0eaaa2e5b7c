"""Specifies Step-KTO's records: token spans of judged steps, absent where unknown; the loss is in test_losses.py."""

from __future__ import annotations

from dataclasses import replace

from preceptor.learn.preference import step_kto_attempts
from preceptor.trace import Grade, Verdict
from tests.learn.preference.toys import judged, problem, trace

T = trace("ab\ncde\nAnswer: 42\n")


def test_steps_are_intervals_of_sampled_tokens_and_the_last_has_the_end() -> None:
    (record,) = step_kto_attempts([T], [judged(T, (1.0, 0.2, 0.5))]).records
    assert record.steps == ((0, 3, True), (3, 7, False), (7, 19, True))
    assert len(record.response.ids) == 19
    assert record.good is True


def test_a_step_that_nobody_judged_is_absent_and_without_steps_it_is_kto() -> None:
    (record,) = step_kto_attempts([T], [judged(T, (None, 0.2, None))]).records
    assert record.steps == ((3, 7, False),)
    assert step_kto_attempts([T], [judged(T, (1.0, 0.2, 0.5))], steps=False).records[0].steps == ()


def test_an_undecided_outcome_is_left_out_and_a_record_without_any_label_dropped() -> None:
    unknown = replace(T, grade=Grade(Verdict.UNDECIDED, "timeout"))
    (record,) = step_kto_attempts([unknown], [judged(unknown, (1.0, 1.0, 1.0))]).records
    assert record.good is None
    built = step_kto_attempts([unknown], [judged(unknown, None)])
    assert len(built) == 0
    assert built.dropped == {"no-label": 1}


def test_no_pairs_are_needed() -> None:
    assert len(step_kto_attempts([T], [judged(T, (1.0, 1.0, 1.0))])) == 1
    assert step_kto_attempts([T], [judged(T, (1.0, 1.0, 1.0))]).records[0].problem == problem()
