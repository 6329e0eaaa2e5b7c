"""Anchors: unsure tokens start a step, whole numbers and commands stay whole, and re-cutting loses nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate.entropy import anchors, recut
from preceptor.annotate.entropy.anchors import cuts_a_whole
from preceptor.errors import InputError, ItemError
from preceptor.generation import Likelihood
from preceptor.trace import Problem, Step, Trace, steps_from_ends

TEXT = "12 plus 30 is 42, surely"
ENDS = tuple(range(1, len(TEXT) + 1))
"""A character is a token."""


def of(entropies: dict[int, float], **settings) -> list[int]:
    return anchors(TEXT, ENDS, [entropies.get(k, 0.0) for k in range(len(TEXT))], **settings)


def test_a_step_starts_where_the_entropy_exceeds_tau_and_not_where_it_equals_it():
    assert of({8: 1.0, 14: 1.0001}, tau=1.0, minimum=1) == [14]
    assert of({8: 1.0, 14: 5.0}, tau=float("inf"), minimum=1) == []


def test_a_fragment_has_at_least_the_minimum_of_tokens_counted_from_the_last_anchor():
    unsure = {3: 2.0, 8: 2.0, 11: 2.0, 17: 2.0}
    assert of(unsure, minimum=8) == [8, 17]
    assert of(unsure, minimum=3) == [3, 8, 11, 17]
    assert of(unsure, minimum=8, last=2) == [11], "the branch began at token 2"


def test_the_first_token_may_be_an_anchor_for_nothing_stands_before_it():
    assert of({0: 2.0}, minimum=8) == [0]


def test_no_anchor_inside_a_number_or_a_latex_command():
    assert of({1: 2.0, 9: 2.0, 15: 2.0}, minimum=1) == []
    inside = [
        ("1", "2"), ("3.", "5"), ("3", ".5"), ("1,0", "00"), ("\\fr", "ac{1}{2}"), ("\\", "("), ("x \\", "sqrt2")
    ]  # fmt: skip
    assert all(cuts_a_whole(a, b) for a, b in inside)
    outside = [
        ("3+4=", "7"),
        ("12", " more"),
        ("it is 12", ". So"),
        ("\\frac", "{1}"),
        ("a", "1"),
        ("", "12"),
    ]
    assert not any(cuts_a_whole(a, b) for a, b in outside)


def test_a_character_of_several_tokens_is_not_cut():
    # the second token is the first half of the character, the third completes it
    assert anchors("a\u00e9b", (1, 1, 2, 3), [0.0, 2.0, 2.0, 2.0], minimum=1) == [3]


def read(entropies: dict[int, float]) -> Likelihood:
    n = len(TEXT)
    return Likelihood(tuple(range(n)), ENDS, (0.0,) * n, tuple(entropies.get(k, 0.0) for k in range(n)))


def whole() -> Trace:
    return Trace(Problem("q"), TEXT, steps_from_ends([5, len(TEXT)]), draw=3)


def test_recutting_gives_new_steps_and_keeps_every_character():
    cut = recut(whole(), read({8: 2.0, 18: 2.0}))
    assert cut.step_texts == ["12 plus ", "30 is 42, ", "surely"]
    assert "".join(cut.step_texts) == TEXT == cut.text
    assert cut.draw == 3
    assert cut.id != whole().id


def test_a_fragment_of_spaces_joins_the_one_before_it():
    assert recut(whole(), read({7: 2.0, 8: 2.0}), minimum=1).step_texts == ["12 plus ", TEXT[8:]]


@pytest.mark.parametrize(
    "wrong",
    [
        replace(read({}), entropies=None),
        replace(read({}), error=ItemError("too-long", "")),
        replace(read({}), token_ends=ENDS[:-1]),
    ],
)
def test_a_reading_that_does_not_belong_to_the_text_is_refused(wrong: Likelihood):
    with pytest.raises(InputError, match="expected"):
        recut(whole(), wrong)


def test_steps_with_observations_are_refused():
    agent = Trace(Problem("q"), TEXT, (Step(0, len(TEXT), observation="seen"),))
    with pytest.raises(InputError, match="observations"):
        recut(agent, read({}))
