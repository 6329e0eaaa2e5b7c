"""Belief: the probability of an answer behind every prefix, read with a fixed closing text."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.likelihood import Belief, own_answer
from preceptor.trace import Problem, Step, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

# The closing "=" is followed by 1 (0.6) or 2; behind 1 comes 7 (0.2) or a line end.
READER = Bigram({"=": {"1": 0.6, "2": 0.4}, "1": {"7": 0.2, "\n": 0.8}, "2": {"\n": 1.0}, "7": {"\n": 1.0}})


def trace_of(gold: str | None = "17", *steps: str) -> Trace:
    steps = steps or ("a\n", "b\n", "Answer: 17\n")
    ends = [len("".join(steps[: t + 1])) for t in range(len(steps))]
    return Trace(Problem("q", gold), "".join(steps), steps_from_ends(ends))


def belief(form: str = "prob_geo", **settings) -> Belief:
    return Belief(READER, form, closing="=", **settings)


@pytest.mark.parametrize(
    "form, expected",
    [
        ("prob_geo", math.sqrt(0.12)),
        ("mean_prob", 0.4),
        ("prob_prod", 0.12),
        ("logp_mean", math.log(0.12) / 2),
    ],
)
def test_each_form_is_the_published_one_and_reads_the_answer_only(form, expected):
    judgement = belief(form).score([trace_of()])[0]
    assert judgement.scores[:2] == pytest.approx((expected, expected))
    assert judgement.question is Question.VALUE


def test_the_step_that_answers_is_not_judged():
    assert belief().score([trace_of()])[0].scores[2] is None


def test_an_ending_tells_one_from_the_beginning_of_seventeen():
    open_end = belief("prob_prod").score([trace_of("1")])[0].scores[0]
    closed = belief("prob_prod", ending="\n").score([trace_of("1")])[0].scores[0]
    assert (open_end, closed) == pytest.approx((0.6, 0.48))


def test_candidates_make_it_a_share():
    shares = belief("prob_prod", ending="\n", candidates=lambda trace: ["2", "17"]).score([trace_of("17")])[0]
    assert shares.scores[0] == pytest.approx(0.12 / 0.52)


def test_a_traces_own_answer_needs_no_gold():
    trace = trace_of(None)
    trace = replace(trace, problem=replace(trace.problem, grader="exact"))
    judgement = belief("prob_prod", target=own_answer).score([trace])[0]
    assert judgement.scores[0] == pytest.approx(0.12)
    none = belief().score([trace])[0]
    assert none.scores is None
    assert none.error.kind == "no-answer"


def test_all_prefixes_of_all_traces_are_one_call_and_equal_ones_are_read_once():
    reader = Bigram()
    Belief(reader, closing="=").score([trace_of(), trace_of("17", "a\n", "c\n")])
    assert reader.calls == 1
    assert sorted(reader.read) == ["a\nb\n|=17", "a\nc\n|=17", "a\n|=17"]


def test_progress_telescopes_from_the_belief_at_the_prompt():
    reader = Bigram({"q": {"=": 1.0}, "a": {"=": 1.0}}, others=dict.fromkeys("0123456789=\n", 0.1))
    scorer = Belief(reader, closing="", form="logp_mean")
    trace = trace_of("=", "a", "bb", "a")
    scores = scorer.score([trace])[0].scores
    values = [scorer.at_prompt([trace])[0], *scores]
    assert values == pytest.approx([0.0, 0.0, math.log(0.1), 0.0])


def test_a_belief_after_a_turn_has_seen_the_environments_reply():
    reader = Bigram()
    steps = (Step(0, 1, observation="obs\n"), Step(1, 2))
    Belief(reader, closing="=").score([Trace(Problem("q", "1"), "ab", steps)])
    assert reader.read == ["aobs\n|=1", "aobs\nb|=1"]


def test_a_prefix_that_cannot_be_read_makes_the_judgement_an_error():
    judgement = Belief(Bigram(longest=6), closing="=").score([trace_of()])[0]
    assert judgement.scores is None
    assert judgement.error.kind == "too-long"


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="form"):
        belief("geo")
    with pytest.raises(InputError, match="cannot be normalised"):
        belief("logp_mean", candidates=lambda trace: ["1"])
