"""RATIONALYST: likelihood of rationales, of steps behind them, and the filter of triples."""

from __future__ import annotations

import math

import pytest

from preceptor.generation import Sampling
from preceptor.reward.likelihood import Rationalyst, Triple, filter_triples
from preceptor.reward.likelihood.rationale import discounted
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.reward.likelihood.bigram import Bigram

# Behind x the model goes on "y", "z", line end; behind w it is less sure.
MODEL = Bigram(
    {
        "x": {"y": 0.8, "q": 0.2},
        "w": {"y": 0.3, "v": 0.3, "u": 0.2, "t": 0.2},
        "y": {"z": 0.5, "x": 0.3, "w": 0.2},
        "z": {"\n": 0.9, "x": 0.08, "w": 0.02},
        "\n": {"x": 0.6, "w": 0.4},
    }
)


def test_implicit_mode_is_the_mean_log_probability_of_the_rationale_without_its_last_token():
    trace = Trace(Problem("\n"), "xw", steps_from_ends([1, 2]))
    scores = Rationalyst(MODEL).score([trace])[0].scores
    assert scores == pytest.approx((math.log(0.8 * 0.5) / 2, math.log(0.3 * 0.5) / 2))
    assert scores[0] > scores[1]


def test_given_mode_ranks_steps_by_their_likelihood_behind_one_rationale():
    model = Bigram(dict(MODEL.table))
    traces = [Trace(Problem("x"), step, steps_from_ends([1])) for step in "xw"]
    judgements = Rationalyst(model, "given").score(traces)
    assert [j.scores[0] for j in judgements] == pytest.approx([math.log(0.6), math.log(0.4)])
    assert judgements[0].usage.scorer.generated == 3
    assert judgements[1].usage.scorer.generated == 0, "one rationale serves all candidates"


def test_a_rationale_of_one_token_has_no_score_and_says_so():
    one = Sampling(temperature=0.0, max_tokens=1)
    judgement = Rationalyst(MODEL, sampling=one).score([Trace(Problem("\n"), "x", steps_from_ends([1]))])[0]
    assert judgement.scores is None
    assert judgement.error.kind == "no-rationale"
    assert "too-short" in judgement.error.message


def test_discount_zero_sees_the_first_token_only():
    assert discounted([-1.0, -5.0], 0.0) == -1.0
    assert discounted([-1.0, -5.0], 0.9) == pytest.approx(-5.5)


def test_the_filter_keeps_what_helps_and_never_an_empty_field():
    helps, hurts = Triple("w", "x", "yz"), Triple("x", "w", "yz")
    empty = [Triple("", "x", "y"), Triple("w", " ", "y"), Triple("w", "x", "")]
    found = filter_triples(MODEL, [helps, hurts, *empty])
    assert [f.kept for f in found] == [True, False, False, False, False]
    assert found[0].with_rationale == pytest.approx(math.log(0.8) + 0.9 * math.log(0.5))
    assert found[0].without == pytest.approx(math.log(0.3) + 0.9 * math.log(0.5))
    assert found[2].without is None


def test_with_discount_zero_only_the_first_following_token_matters():
    long, short = filter_triples(MODEL, [Triple("w", "x", "yz\n"), Triple("w", "x", "y")], 0.0)
    assert (long.with_rationale, long.without) == (short.with_rationale, short.without)
    assert long.with_rationale == pytest.approx(math.log(0.8))
