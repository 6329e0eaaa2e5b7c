"""Ensembles: exact figures by hand; what is absent is not zero; questions are not mixed in silence."""

from __future__ import annotations

import statistics

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import BackendError, InputError
from preceptor.judgement import Judgement, Question
from preceptor.reward.combine import Ensemble, Masked, Reversed, Windows
from preceptor.reward.combine.parts import ask
from tests.reward.combine.scorers import Rule, attempts, constant, reading, trace_of

TRACE = trace_of("a\n", "b\n")
MEMBERS = (constant(0.9, 0.1), constant(0.4, 0.4), constant(0.2, 0.7))


@pytest.mark.parametrize(
    "how, expected",
    [("mean", (0.5, 0.4)), ("median", (0.4, 0.4)), ("min", (0.2, 0.1)), ("max", (0.9, 0.7))],
)
def test_each_way_of_joining(how: str, expected: tuple[float, float]):
    assert Ensemble(MEMBERS, how).score([TRACE])[0].scores == pytest.approx(expected)


def test_weights_are_shared_in_a_weighted_mean_and_not_in_a_sum():
    weights = (2.0, 1.0, 1.0)
    (mean,) = Ensemble(MEMBERS, "weighted", weights).score([TRACE])
    (total,) = Ensemble(MEMBERS, "sum", weights).score([TRACE])
    assert mean.scores == pytest.approx((0.6, 0.325))
    assert total.scores == pytest.approx((2.4, 1.3))


def test_an_absent_score_is_skipped_or_makes_the_step_unscored_and_is_never_zero():
    members = (constant(0.8, None), constant(0.4, None), constant(None, None))
    (strict,) = Ensemble(members).score([TRACE])
    (lenient,) = Ensemble(members, missing="skip").score([TRACE])
    assert strict.scores == (None, None)
    assert lenient.scores == pytest.approx((0.6, None))
    assert lenient.flags == ("member-missing",)
    (weighted,) = Ensemble(members, "weighted", (3, 1, 4), missing="skip").score([TRACE])
    assert weighted.scores == pytest.approx((0.7, None))


def test_a_failed_member_is_an_error_unless_the_others_may_decide():
    members = (constant(0.8, 0.6), Rule(lambda trace: "timeout"))
    (strict,) = Ensemble(members).score([TRACE])
    (lenient,) = Ensemble(members, missing="skip").score([TRACE])
    assert (strict.scores, strict.error.kind) == (None, "timeout")
    assert (lenient.scores, lenient.error) == ((0.8, 0.6), None)
    assert set(lenient.flags) == {"member-missing", "part-failed"}
    assert strict.usage.scorer.calls == lenient.usage.scorer.calls == 2


def test_disagreement_is_the_deviation_of_the_members():
    (found,) = Ensemble(MEMBERS).score_with_spread([TRACE])
    assert found.spread == pytest.approx(
        (statistics.pstdev([0.9, 0.4, 0.2]), statistics.pstdev([0.1, 0.4, 0.7]))
    )
    (lone,) = Ensemble(MEMBERS[:1]).score_with_spread([TRACE])
    assert lone.spread == (None, None)


def test_every_member_is_called_once_for_all_traces_and_the_bills_add_up():
    traces = attempts()
    members = (Rule(name="a"), Rule(name="b"))
    judged = Ensemble(members).score(traces)
    assert [len(m.calls) for m in members] == [1, 1]
    assert [j.usage.scorer.scored for j in judged] == [20 * len(t.steps) for t in traces]
    assert [list(j.scores) for j in judged] == [pytest.approx(reading(t)) for t in traces]


BIRM = {"how": "sum", "answers": Question.QUALITY}


def birm(g: float, h: float, beta: float) -> float:
    members = (constant(g), constant(h, question=Question.VALUE))
    (judged,) = Ensemble(members, weights=(1, beta), **BIRM).score([trace_of("s")])
    return judged.scores[0]


def test_a_correct_but_hopeless_prefix_ranks_below_a_hopeful_one_in_birm():
    assert birm(1, 0, beta=1) < birm(0.9, 0.6, beta=1)
    assert birm(1, 0, beta=0) > birm(0.9, 0.6, beta=0)


def test_birm_without_the_value_is_the_plain_scorer_and_pays_only_that():
    traces = attempts()
    value = Rule(question=Question.VALUE)
    judged = Ensemble((Rule(), value), weights=(1, 0), **BIRM).score(traces)
    assert [list(j.scores) for j in judged] == [reading(t) for t in traces]
    assert value.calls == []


def test_different_questions_are_refused_until_the_answer_is_named():
    members = (WorldOracle(), WorldOracle(Question.VALUE))
    with pytest.raises(InputError, match=r"different questions.*answers="):
        Ensemble(members)
    both = Ensemble(members, "min", answers=Question.QUALITY)
    traces = attempts(error=0.5)
    assert all(j.question is Question.QUALITY for j in both.score(traces))
    assert Ensemble(members[:1]).question is Question.VALIDITY


@pytest.mark.parametrize(
    "settings",
    [
        {"how": "mode"},
        {"how": "mean", "weights": (1, 1, 1)},
        {"how": "weighted"},
        {"how": "weighted", "weights": (1, 1)},
        {"how": "weighted", "weights": (1, -1, 1)},
        {"how": "sum", "weights": (0, 0, 0)},
        {"how": "sum", "weights": (1, 1, 1), "missing": "skip"},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict):
    with pytest.raises(InputError):
        Ensemble(MEMBERS, **settings)
    with pytest.raises(InputError, match="at least one scorer"):
        Ensemble(())


def test_combinators_nest_and_still_call_each_member_once():
    a, b = Rule(name="a"), Rule(name="b")
    scorer = Masked(Ensemble((Reversed(a), Windows(b, layout="tiled"))), 0.4)
    traces = attempts()
    judged = scorer.score(traces)
    assert (len(a.calls), len(b.calls)) == (1, 1)
    assert [j.trace for j in judged] == [t.id for t in traces]
    spent = sum(10 * len(t.steps) for member in (a, b) for t in member.calls[0])
    assert sum(j.usage.scorer.scored for j in judged) == spent
    assert scorer.source != Masked(Ensemble((Reversed(b), Windows(b, layout="tiled"))), 0.4).source


def test_a_member_with_the_wrong_number_of_scores_fails_that_trace_and_no_other():
    short = Rule(lambda trace: reading(trace)[:2])
    a, b = ask(short, [TRACE, trace_of("a\n", "b\n", "c\n")])
    assert a.scores is not None
    assert (b.scores, b.error.kind) == (None, "step-mismatch")


def test_a_member_that_mixes_up_the_traces_is_stopped():
    class Shuffled(Rule):
        def score(self, traces):
            return super().score(traces)[::-1]

    with pytest.raises(BackendError, match="in their order"):
        Ensemble((Shuffled(),)).score([TRACE, trace_of("c")])


def test_a_trace_without_steps_has_no_scores_and_no_error_of_its_own():
    (judged,) = Ensemble(MEMBERS[:0] + (Rule(),)).score([trace_of()])
    assert (judged.scores, judged.error) == ((), None)
    (judged,) = Ensemble((WorldOracle(),)).score([trace_of()])
    assert (judged.scores, judged.error.kind) == (None, "no-oracle")
    assert isinstance(judged, Judgement)
