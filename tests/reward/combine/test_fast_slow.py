"""Dyve: the slow scorer sees what the fast one is unsure of, and nothing else is paid."""

from __future__ import annotations

from collections import Counter

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.combine import FastSlow, Masked
from preceptor.trace import Trace
from tests.reward.combine.scorers import Rule, attempts, constant, letters, reading, trace_of

FAST = {"a": 0.9, "u": 0.5, "x": 0.1, "n": None}
SLOW = {"a": 0.8, "u": 0.2, "x": 0.6, "n": 0.7}


def pair(**settings: object) -> tuple[FastSlow, Rule, Rule]:
    fast, slow = Rule(letters(**FAST), name="fast"), Rule(letters(**SLOW), name="slow")
    return FastSlow(fast, slow, **settings), fast, slow


def lines(word: str) -> Trace:
    return trace_of(*(c + "\n" for c in word))


def test_only_unsure_and_unjudged_steps_get_slow_scores():
    scorer, fast, slow = pair()
    traces = [lines("auxna"), lines("axa"), lines("u")]
    judged = scorer.score(traces)
    assert [j.scores for j in judged] == [(0.9, 0.2, 0.1, 0.7, 0.9), (0.9, 0.1, 0.9), (0.2,)]
    assert len(fast.calls) == len(slow.calls) == 1
    assert [t.text for t in slow.calls[0]] == ["a\nu\nx\nn\n", "u\n"]
    assert [j.trace for j in judged] == [t.id for t in traces]


def test_the_bounds_themselves_are_unsure_and_what_lies_outside_is_not():
    fast = constant(0.3, 0.7, 0.2999, 0.7001)
    scorer = FastSlow(fast, Rule(letters(a=0.0, b=0.0)))
    (judged,) = scorer.score([lines("abcd")])
    assert judged.scores == (0.0, 0.0, 0.2999, 0.7001)


def test_flags_count_traces_and_steps_that_went_to_the_slow_scorer():
    for unit, steps in (("steps", 3), ("traces", 6)):
        judged = pair(unit=unit)[0].score([lines("auxna"), lines("axa"), lines("u")])
        counted = Counter(flag for j in judged for flag in j.flags)
        assert counted == {"slow": 2, "slow-step": steps}


def test_usage_is_fast_plus_slow_only_where_it_was_slow():
    judged = pair()[0].score([lines("auxna"), lines("axa")])
    assert [j.usage.scorer.calls for j in judged] == [2, 1]
    assert [j.usage.scorer.scored for j in judged] == [50 + 40, 30]


def test_nothing_unsure_means_the_slow_scorer_is_not_called():
    scorer, _, slow = pair()
    scorer.score([lines("axa"), lines("")])
    assert slow.calls == []


def test_whole_traces_take_all_slow_scores():
    scorer, _, slow = pair(unit="traces")
    a, b = scorer.score([lines("xau"), lines("xa")])
    assert a.scores == (0.6, 0.8, 0.2)
    assert b.scores == (0.1, 0.9)
    assert slow.calls[0] == [lines("xau")]


def test_a_first_error_is_unsure_only_where_doubt_stands_before_it():
    scorer, _, slow = pair(unit="first_error")
    scorer.score([lines("axu"), lines("aux"), lines("aa"), lines("an")])
    assert [t.text for t in slow.calls[0]] == ["a\nu\nx\n", "a\nn\n"]


def test_bounds_of_everything_are_the_slow_scorer_and_bounds_of_nothing_the_fast_one():
    traces = attempts()
    oracle = WorldOracle()
    slow = FastSlow(Rule(), oracle, 0.0, 1.0).score(traces)
    assert [j.scores for j in slow] == [j.scores for j in oracle.score(traces)]
    fast = FastSlow(Rule(), oracle, 2.0, 2.0).score(traces)
    assert [list(j.scores) for j in fast] == [reading(t) for t in traces]


def test_dyves_protocol_gives_ones_then_zeros():
    for judged in Masked(FastSlow(Rule(), WorldOracle(), 0, 1), after="wrong").score(attempts(error=0.5)):
        assert list(judged.scores) == sorted(judged.scores, reverse=True)
        assert judged.first_error == (judged.scores.index(0.0) if 0.0 in judged.scores else -1)


def test_a_fast_failure_goes_to_the_slow_scorer_and_is_forgiven_but_counted():
    fast = Rule(lambda trace: "too-long")
    (judged,) = FastSlow(fast, Rule(letters(**SLOW))).score([lines("au")])
    assert judged.scores == (0.8, 0.2)
    assert judged.error is None
    assert "part-failed" in judged.flags


@pytest.mark.parametrize("fallback", [False, True])
def test_a_slow_failure_is_no_score_unless_the_fast_one_may_stand_in(fallback: bool):
    fast = Rule(letters(**FAST))
    scorer = FastSlow(fast, Rule(lambda trace: "timeout"), fallback=fallback)
    (judged,) = scorer.score([lines("aun")])
    assert judged.scores == (0.9, 0.5 if fallback else None, None)
    assert judged.error.kind == "timeout"
    assert ("slow-failed" in judged.flags) is fallback
    assert "slow-step" not in judged.flags


def test_members_with_different_questions_need_the_answer_named():
    value = constant(0.5, question=Question.VALUE)
    with pytest.raises(InputError, match="different questions"):
        FastSlow(Rule(), value)
    assert FastSlow(Rule(), value, answers=Question.VALIDITY).question is Question.VALIDITY
    with pytest.raises(InputError, match="low <= high"):
        FastSlow(Rule(), Rule(), 0.7, 0.3)
