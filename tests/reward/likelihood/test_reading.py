"""Which tokens belong to a step, a span, an answer; what a reader is asked, and what it costs."""

from __future__ import annotations

import pytest

from preceptor.errors import BackendError
from preceptor.generation import Request
from preceptor.reward.likelihood import answer_span, boxed_span, marker_span
from preceptor.reward.likelihood.reading import read, span_tokens, step_tokens, whole_texts
from preceptor.trace import Finish, Problem, Step, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram


def text_trace(text: str, **fields) -> Trace:
    return Trace(Problem("q"), text, steps_from_ends([len(text)]), **fields)


def test_a_token_over_a_boundary_belongs_to_the_step_it_ends_in():
    # tokens "ab", "c\nd" (straddles the end of step 0 at 4), "e"
    assert step_tokens([2, 5, 6], [(0, 4), (4, 6)]) == [slice(0, 1), slice(1, 3)]


def test_bytes_that_only_begin_a_character_and_the_end_of_text_join_no_earlier_step():
    # "a\n", then a character whose first byte adds no text (end 2 again), then the end-of-text token
    assert step_tokens([1, 2, 2, 3, 3], [(0, 2), (2, 3)]) == [slice(0, 2), slice(2, 4)]


def test_an_empty_step_has_no_tokens():
    assert step_tokens([1, 2], [(0, 0), (0, 2), (2, 2)]) == [slice(0, 0), slice(0, 2), slice(2, 2)]


@pytest.mark.parametrize("cuts", [[6], [2, 6], [1, 2, 3, 4, 5, 6], [2, 4, 6]])
def test_boundaries_do_not_depend_on_how_steps_are_chunked(cuts):
    ends = [2, 3, 5, 6]
    spans = [(s.start, s.end) for s in steps_from_ends(cuts)]
    for own, (_, end) in zip(step_tokens(ends, spans), spans, strict=True):
        assert own.stop == sum(e <= end for e in ends)


def test_a_span_takes_every_token_that_touches_it_and_no_neighbour():
    assert span_tokens([1, 4, 6, 8], 2, 6) == slice(1, 3)
    assert span_tokens([1, 4, 6, 8], 4, 6) == slice(2, 3)
    assert span_tokens([1, 4], 2, 2) == slice(1, 1)


@pytest.mark.parametrize(
    "text, expected",
    [
        (r"\boxed{1} no, \boxed{ {a}+{b} }.", "{a}+{b}"),
        (r"it is \fbox{7}", "7"),
        (r"so \boxed 5 $", "5"),
        (r"\boxed{1} then \boxed{2", None),
        (r"\boxed{ }", None),
        ("none", None),
    ],
)
def test_the_box_read_is_the_last_one(text, expected):
    span = boxed_span(text_trace(text))
    assert (None if span is None else text[slice(*span)]) == expected


def test_the_marker_read_is_the_last_one_and_never_a_cut_line():
    text = "Answer: 4\n4+4=8\nAnswer: 18"
    whole, cut = text_trace(text), text_trace(text, finish=Finish.LENGTH)
    assert text[slice(*marker_span(whole))] == "18"
    assert text[slice(*marker_span(cut))] == "4"
    assert marker_span(text_trace("Answer:\n12")) is None
    assert answer_span(text_trace("Answer: 3, so \\boxed{")) is None  # a broken box is no licence to look on


def test_equal_questions_are_asked_once_and_paid_once():
    reader, request = Bigram(), Request(Problem("q"))
    one, two, empty = read(reader, [request] * 3, ["ab", "ab", ""])
    assert reader.read == ["|ab"]
    assert one.logprobs == two.logprobs
    assert (one.usage.scored, two.usage.scored, two.usage.reused) == (2, 0, 3)
    assert empty.logprobs == ()
    assert empty.error is None


def test_a_reader_that_loses_an_answer_is_an_error_of_the_backend():
    class Loses(Bigram):
        def likelihood(self, requests, texts):
            return super().likelihood(requests, texts)[1:]

    with pytest.raises(BackendError, match="got 1 answers"):
        read(Loses(), [Request(Problem("q"))] * 2, ["a", "b"])


def test_stored_log_probabilities_count_only_for_the_reader_that_wrote_them():
    reader = Bigram()
    fields = {"token_ids": (97,), "token_ends": (1,), "logprobs": (-3.0,)}
    mine = text_trace("a", policy=reader.fingerprint, **fields)
    other = text_trace("a", policy="somebody", **fields)
    found = whole_texts(reader, [mine, other])
    assert found[0].logprobs == (-3.0,)
    assert found[0].usage.scored == 0
    assert found[1].logprobs == pytest.approx([-0.6931], abs=1e-4)
    assert reader.read == ["|a"]


def test_an_observation_is_read_and_belongs_to_no_step():
    reader = Bigram({"x": {"b": 0.25}})
    trace = Trace(Problem("q"), "ab", (Step(0, 1, observation="x"), Step(1, 2)))
    whole_texts(reader, [trace])
    assert reader.read == ["|axb"]
