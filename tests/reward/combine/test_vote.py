"""Votes: shares of verdicts, not means of scores; ties and abstentions are neither yes nor no."""

from __future__ import annotations

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR
from preceptor.reward.combine import Ensemble, Vote
from tests.reward.combine.scorers import Rule, attempts, constant, trace_of

ONE = trace_of("a")
THREE = trace_of("a\n", "b\n", "c\n")


def test_a_vote_is_a_share_of_verdicts_and_not_a_mean_of_probabilities():
    members = (constant(0.9), constant(0.4), constant(0.4))
    (mean,) = Ensemble(members).score([ONE])
    (vote,) = Vote(members).score([ONE])
    assert mean.scores == pytest.approx((0.567,), abs=1e-3)
    assert vote.scores == pytest.approx((1 / 3,))
    assert vote.first_error == 0


def test_the_threshold_is_good_and_members_may_have_their_own():
    members = (constant(0.5), constant(0.5))
    assert Vote(members).score([ONE])[0].scores == (1.0,)
    assert Vote(members, (0.5, 0.6)).score([ONE])[0].scores == (0.5,)


def test_a_tie_on_a_step_is_not_right():
    (judged,) = Vote((constant(1.0), constant(0.0))).score([ONE])
    assert (judged.scores, judged.first_error) == ((0.5,), 0)


def test_abstentions_decide_nothing_or_are_left_out():
    members = (constant(1.0, 1.0, 0.0), constant(1.0, None, 0.0), constant(0.0, None, 0.0))
    (strict,) = Vote(members).score([THREE])
    (lenient,) = Vote(members, missing="skip").score([THREE])
    assert strict.scores == (pytest.approx(2 / 3), None, 0.0)
    assert strict.first_error is None
    assert lenient.scores == (pytest.approx(2 / 3), 1.0, 0.0)
    assert lenient.first_error == 2
    assert lenient.flags == ("member-missing",)


def test_the_first_error_named_most_often_wins_and_later_steps_count_only_who_speaks_of_them():
    members = (constant(1, 0, 1), constant(1, 0, 0), constant(1, 1, 1))
    (judged,) = Vote(members, on="first_error").score([THREE])
    assert judged.first_error == 1
    assert judged.scores == (1.0, pytest.approx(1 / 3), 1.0)
    everyone = Vote((constant(0, 1, 1),) * 2, on="first_error").score([THREE])[0]
    assert everyone.scores == (0.0, None, None)


def test_stepwise_and_first_error_votes_can_disagree():
    """Three members, three first errors: step by step a majority finds every step right."""
    members = (constant(0, 1, 1), constant(1, 0, 1), constant(1, 1, 0))
    assert Vote(members).score([THREE])[0].first_error == NO_ERROR
    (judged,) = Vote(members, on="first_error").score([THREE])
    assert judged.first_error is None
    assert "tie" in judged.flags


def test_a_member_that_does_not_know_its_first_error_abstains():
    members = (constant(None, 0, 1), constant(1, 1, 0))
    (strict,) = Vote(members, on="first_error").score([THREE])
    (lenient,) = Vote(members, on="first_error", missing="skip").score([THREE])
    assert strict.scores is None or set(strict.scores) == {None}
    assert strict.first_error is None
    assert lenient.first_error == 2
    assert lenient.flags == ("member-missing",)


def test_a_members_own_first_error_goes_before_the_threshold():
    oracle = WorldOracle()
    traces = attempts(error=0.5)
    judged = Vote((oracle,), thresholds=2.0, on="first_error").score(traces)
    assert [j.first_error for j in judged] == [j.first_error for j in oracle.score(traces)]


def test_a_majority_of_oracles_outvotes_a_liar():
    traces = attempts(error=0.5)
    liar = Rule(lambda trace: [0.0] * len(trace.steps))
    for on in ("steps", "first_error"):
        judged = Vote((WorldOracle(), liar, WorldOracle()), on=on).score(traces)
        assert [j.first_error for j in judged] == [j.first_error for j in WorldOracle().score(traces)]
    assert len(liar.calls) == 2


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(InputError, match="one number or 1"):
        Vote((Rule(),), (0.5, 0.5))
    with pytest.raises(InputError, match="'steps' or 'first_error'"):
        Vote((Rule(),), on="traces")
