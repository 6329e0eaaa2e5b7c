"""Stop at zero: Math-Shepherd's hard labels up to the first error, for K min(e + 1, T - 1) rollouts."""

from __future__ import annotations

import pytest

from preceptor.annotate import MathShepherd
from preceptor.annotate.rollout.sequential import StopAtZero
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy
from preceptor.store import Store
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from tests.annotate.rollout.exact import NO_GOLD, PERFECT, Exact, attempts, exact_values, rates
from tests.annotate.scripted import GOLD, Scripted, trace


def until(t: int):
    return lambda length: 1.0 if length <= t else 0.0


def test_it_is_a_scorer_of_value():
    scorer = StopAtZero(Scripted(until(3)))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name) == (Question.VALUE, "stop-at-zero")
    assert scorer.source != StopAtZero(Scripted(until(3)), rollouts=4).source


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 9])
def test_the_cost_is_k_times_the_smaller_of_e_plus_1_and_t_minus_1(steps: int):
    for error in range(steps):
        policy = Scripted(until(error))
        (judged,) = StopAtZero(policy, rollouts=4).score([trace(steps)])
        assert judged.first_error == error
        assert judged.scores == (1.0,) * error + (0.0,) + (None,) * (steps - error - 1)
        assert len(policy.asked) == judged.usage.policy.calls == 4 * min(error + 1, steps - 1)
    right = Scripted(until(99))
    (judged,) = StopAtZero(right, rollouts=4).score([trace(steps, GOLD)])
    assert (judged.first_error, judged.scores) == (NO_ERROR, (1.0,) * steps)
    assert len(right.asked) == 4 * (steps - 1)


def test_walks_of_all_traces_advance_together_and_the_last_step_is_never_rolled_out():
    policy = Scripted(until(3))
    traces = [trace(n, draw=n) for n in range(2, 9)]
    judged = StopAtZero(policy, rollouts=2).score(traces)
    assert [len(batch) for batch in policy.batches] == [2 * 7, 2 * 6, 2 * 5, 2 * 4]
    assert [j.first_error for j in judged] == [1, 2, 3, 3, 3, 3, 3]
    lengths = {t.id: len(t.steps) for t in traces}
    assert all(r.prefix.count("\n") < max(lengths.values()) for r in policy.asked)


def test_the_first_error_is_math_shepherds_and_labels_after_it_are_not_stated():
    traces = [trace(8, draw=d) for d in range(30)]
    policy = Scripted(lambda t: 0.15)
    whole = MathShepherd(policy, rollouts=4).score(traces)
    walked = StopAtZero(policy, rollouts=4).score(traces)
    assert [j.first_error for j in walked] == [j.first_error for j in whole]
    assert any("not-monotone" in j.flags for j in whole), "labels rise again somewhere"
    for a, b in zip(whole, walked):
        e = a.first_error
        assert (b.scores[: e + 1], b.scores[e + 1 :]) == (a.scores[: e + 1], (None,) * (7 - e))


def test_under_a_perfect_policy_the_first_error_is_where_the_answer_becomes_unreachable():
    traces = attempts(ScriptedPolicy(error=0.2))
    judged = StopAtZero(PERFECT, rollouts=2).score(traces)
    expected = [(exact_values(PERFECT, t)[1:] + [0.0]).index(0.0) for t in traces]
    found = [len(t.steps) if j.first_error == NO_ERROR else j.first_error for t, j in zip(traces, judged)]
    assert found == expected
    assert 0 < sum(j.first_error == NO_ERROR for j in judged) < len(judged)


def test_an_undecided_prefix_ends_the_walk_as_unknown_not_as_wrong():
    policy = Scripted(rates(1.0, 1.0, "cut", 0.0))
    (judged,) = StopAtZero(policy, rollouts=3).score([trace(6)])
    assert judged.scores == (1.0,) + (None,) * 5
    assert (judged.first_error, judged.undecided) == (None, 3)
    assert judged.flags == ("truncated-rollouts", "undecided-probe")
    (nothing,) = StopAtZero(Scripted(lambda t: "cut"), rollouts=3).score([trace(6)])
    assert (nothing.scores, nothing.error.kind) == (None, "undecided")


def test_failing_rollouts_are_an_error_with_its_cost_and_spare_the_others():
    policy = Scripted(lambda t: None if t == 2 else 1.0)
    lost, fine = StopAtZero(policy, rollouts=3).score([trace(4), trace(2, GOLD, draw=1)])
    assert (lost.scores, lost.error.kind, lost.usage.policy.calls) == (None, "rollouts-failed", 6)
    assert fine.scores == (1.0, 1.0)


def test_a_right_answer_after_a_zero_contradicts_itself():
    (judged,) = StopAtZero(Exact(rates(1.0, 1.0, 0.0, 1.0))).score([trace(4, GOLD)])
    assert (judged.first_error, judged.flags) == (1, ("monotone-violation",))


def test_an_undecided_grade_leaves_the_last_step_open_but_not_an_error_before_it():
    unknown = Grade(Verdict.UNDECIDED, "timeout")
    (clean,) = StopAtZero(Scripted(until(9))).score([trace(3, grade=unknown)])
    assert (clean.scores, clean.first_error) == ((1.0, 1.0, None), None)
    (wrong,) = StopAtZero(Scripted(until(1))).score([trace(3, grade=unknown)])
    assert (wrong.scores, wrong.first_error) == ((1.0, 0.0, None), 1)


def test_without_gold_nothing_is_asked():
    policy = Scripted(until(1))
    (judged,) = StopAtZero(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (judged.scores, judged.error.kind, policy.asked) == (None, "no-gold", [])


def test_after_math_shepherd_on_the_same_store_it_costs_nothing(tmp_path):
    with Store(tmp_path / "a.store") as store:
        policy, traces = Scripted(lambda t: 0.4), [trace(7, draw=d) for d in range(3)]
        MathShepherd(policy, store=store).score(traces)
        paid = len(policy.asked)
        judged = StopAtZero(policy, store=store).score(traces)
        assert len(policy.asked) == paid
        assert all(j.usage.policy.generated == 0 < j.usage.policy.reused for j in judged)
