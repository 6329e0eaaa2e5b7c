"""CRew: the mean probability of the answer's tokens, and nothing else about the text."""

from __future__ import annotations

import math

import pytest

from preceptor.judgement import Question, Scorer
from preceptor.reward.likelihood import CRew
from preceptor.trace import Problem, Step, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

READER = Bigram({"{": {"4": 0.9}, "4": {"2": 0.5}})


def trace_of(*steps: str, **fields) -> Trace:
    text, ends = "".join(steps), []
    for step in steps:
        ends.append((ends or [0])[-1] + len(step))
    return Trace(Problem("q"), text, steps_from_ends(ends), **fields)


def test_the_entrys_numbers_0_9_and_0_5_make_0_7_on_the_last_step():
    judgement = CRew(READER).score([trace_of("a\n", r"\boxed{42}")])[0]
    assert judgement.scores[0] is None
    assert judgement.scores[1] == pytest.approx(0.7)  # a geometric mean would be 0.671
    assert judgement.question is Question.QUALITY
    assert judgement.usage.scorer.scored > 0
    assert isinstance(CRew(READER), Scorer)


def test_the_length_of_the_reasoning_does_not_matter():
    short, long = CRew(READER).score([trace_of(r"\boxed{42}"), trace_of("ab" * 50, r"\boxed{42}")])
    assert short.scores[-1] == long.scores[-1]


def test_no_answer_is_the_lowest_score_and_flagged():
    judgement = CRew(READER).score([trace_of("aa", "bb")])[0]
    assert judgement.scores == (None, 0.0)
    assert judgement.flags == ("no-answer",)
    assert judgement.error is None


def test_all_steps_can_carry_the_solutions_score():
    judgement = CRew(READER, place="all").score([trace_of("a\n", r"\boxed{42}")])[0]
    assert judgement.scores == pytest.approx((0.7, 0.7))


def test_the_answer_may_stand_elsewhere():
    def first_two(trace):
        return 0, 2

    assert CRew(READER, first_two).score([trace_of("ab")])[0].scores == pytest.approx((0.5,))


def test_without_a_reader_the_traces_own_log_probabilities_are_read():
    logprobs = (*[-9.0] * 7, math.log(0.9), math.log(0.5), -9.0)
    text = trace_of(r"\boxed{42}", token_ids=(1,) * 10, token_ends=tuple(range(1, 11)), logprobs=logprobs)
    got, none = CRew().score([text, trace_of("a")])
    assert got.scores == pytest.approx((0.7,))
    assert none.scores is None
    assert none.error.kind == "no-logprobs"


def test_what_cannot_be_read_is_an_error_and_not_the_lowest_score():
    few = Bigram(longest=5)
    bad, empty = CRew(few).score([trace_of(r"\boxed{42}"), Trace(Problem("q"), "", ())])
    assert bad.scores is None
    assert bad.error.kind == "too-long"
    assert empty.scores is None
    assert empty.error.kind == "no-steps"


def test_the_source_names_reader_and_settings():
    sources = {CRew(READER).source, CRew(Bigram()).source, CRew(READER, place="all").source, CRew().source}
    assert len(sources) == 4


def test_an_observation_moves_no_stored_log_probability():
    text = "a\nAnswer: 7"
    steps = (Step(0, 2, observation="Answer: 999\n"), Step(2, 11))
    logprobs = (*[-9.0] * 10, math.log(0.7))
    fields = {"token_ids": (1,) * 11, "token_ends": tuple(range(1, 12)), "logprobs": logprobs}
    assert CRew().score([Trace(Problem("q"), text, steps, **fields)])[0].scores == pytest.approx((None, 0.7))
