"""What scores after the first error are worth."""

from __future__ import annotations

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR
from preceptor.reward.combine import Masked
from tests.reward.combine.scorers import Rule, attempts, constant, trace_of

FIVE = trace_of(*"abcde")


@pytest.mark.parametrize(
    "after, expected",
    [
        ("mask", (0.9, 0.4, None, None, None)),
        ("wrong", (0.9, 0.4, 0.0, 0.0, 0.0)),
        ("running_min", (0.9, 0.4, 0.4, 0.2, 0.2)),
    ],
)
def test_the_three_rules(after: str, expected: tuple):
    (judged,) = Masked(constant(0.9, 0.4, 0.8, 0.2, 0.7), 0.5, after).score([FIVE])
    assert judged.scores == expected
    assert judged.first_error == 1
    assert judged.trace == FIVE.id


def test_a_score_at_the_threshold_is_no_error_and_nothing_changes_without_one():
    (judged,) = Masked(constant(0.5, 0.9, 0.5, 0.5, 0.6)).score([FIVE])
    assert judged.scores == (0.5, 0.9, 0.5, 0.5, 0.6)
    assert judged.first_error == NO_ERROR


def test_an_unjudged_step_before_the_error_leaves_its_place_unknown_but_not_what_follows():
    (judged,) = Masked(constant(None, 0.1, 0.9, None, 0.9), after="mask").score([FIVE])
    assert judged.scores == (None, 0.1, None, None, None)
    assert judged.first_error is None
    (judged,) = Masked(constant(None, 0.1, 0.9, None, 0.05), after="running_min").score([FIVE])
    assert judged.scores == (None, 0.1, 0.1, None, 0.05)
    (judged,) = Masked(constant(None, 0.1, 0.9, None, 0.9), after="wrong").score([FIVE])
    assert judged.scores == (None, 0.1, 0.0, 0.0, 0.0)


def test_the_members_own_first_error_against_the_oracle():
    traces = attempts(error=0.5)
    oracle = WorldOracle()
    changed = 0
    for truth, judged in zip(oracle.score(traces), Masked(oracle, None).score(traces)):
        e = len(truth.scores) if truth.first_error == NO_ERROR else truth.first_error + 1
        assert judged.scores == truth.scores[:e] + (None,) * (len(truth.scores) - e)
        assert judged.rationale == truth.rationale
        changed += judged.scores != truth.scores
    assert changed > 3


def test_an_unknown_first_error_changes_nothing_and_says_so():
    (judged,) = Masked(constant(0.9, 0.1, 0.9, 0.9, 0.9), None).score([FIVE])
    assert judged.scores == (0.9, 0.1, 0.9, 0.9, 0.9)
    assert judged.flags == ("unknown-first-error",)


def test_a_failed_judgement_stays_failed_under_every_rule():
    for after in ("mask", "wrong", "running_min"):
        member = Rule(lambda trace: "timeout")
        (judged,) = Masked(member, 0.5, after).score([FIVE])
        assert (judged.scores, judged.error.kind, judged.first_error) == (None, "timeout", None)
        assert len(member.calls) == 1


def test_settings_are_in_the_source_and_nonsense_is_refused():
    kinds = {Masked(Rule(), tau, a).source for tau in (0.5, None) for a in ("mask", "wrong", "running_min")}
    assert len(kinds) == 6
    with pytest.raises(InputError, match="'running_min'"):
        Masked(Rule(), 0.5, "drop")
