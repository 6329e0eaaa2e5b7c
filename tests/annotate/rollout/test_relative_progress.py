"""Relative progress: MC(t) / MC(t-1) at least 0.8, K by difficulty, zero stays zero."""

from __future__ import annotations

from itertools import pairwise

import pytest

from preceptor.annotate import MathShepherd
from preceptor.annotate.rollout.relative_progress import RelativeProgress
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.policy import ScriptedPolicy
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from tests.annotate.rollout.exact import NO_GOLD, Exact, attempts, exact_values, rates
from tests.annotate.scripted import GOLD, Scripted, trace

HUNDRED = {"rollouts": 100, "levels": ((0.0, 100),)}


def test_it_is_a_scorer_of_progress_with_the_published_settings():
    scorer = RelativeProgress(Scripted(lambda t: 1.0))
    assert isinstance(scorer, Scorer)
    assert (scorer.question, scorer.source.name) == (Question.PROGRESS, "relative-progress")
    assert (scorer.epsilon, scorer.sampling.temperature) == (0.8, 0.7)


def test_the_example_of_the_entry():
    policy = Exact(rates(0.5, 0.45, 0.30, 0.36, 0.0), cycle=100)
    (judged,) = RelativeProgress(policy, **HUNDRED).score([trace(5)])
    assert judged.scores == (1.0, 0.0, 1.0, 0.0, 0.0)
    assert judged.first_error == 1
    assert judged.counts == ((45, 100), (30, 100), (36, 100), (0, 100), None)
    (hard,) = MathShepherd(policy, rollouts=100).score([trace(5)])
    assert hard.scores == (1.0, 1.0, 1.0, 0.0, 0.0)
    assert hard.first_error == 3


def test_towards_epsilon_0_labels_are_hard_ones_cut_at_the_first_zero():
    policy = Exact(rates(0.5, 0.45, 0.05, 0.36, 0.0, 0.5), cycle=100)
    (judged,) = RelativeProgress(policy, epsilon=1e-9, **HUNDRED).score([trace(7)])
    assert judged.scores == (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def test_zero_stays_zero_and_what_comes_after_it_is_not_asked_for():
    policy = Exact(rates(0.5, 0.5, 0.0, 0.9))
    (judged,) = RelativeProgress(policy, rollouts=20, levels=((0.0, 20),)).score([trace(8, GOLD)])
    assert judged.scores == (1.0,) + (0.0,) * 7
    assert (judged.first_error, judged.flags) == (1, ("monotone-violation",))
    assert len(policy.asked) == judged.usage.policy.calls == 20 + 2 * 20


@pytest.mark.parametrize("root, k", [(0.05, 128), (0.1, 64), (0.5, 64), (0.85, 64), (0.9, 32), (1.0, 32)])
def test_k_follows_the_difficulty_of_the_problem(root: float, k: int):
    policy = Exact(rates(root, 1.0))
    (judged,) = RelativeProgress(policy, rollouts=20).score([trace(4)])
    assert [c and c[1] for c in judged.counts] == [k, k, k, None]
    assert len(policy.asked) == 20 + 3 * k == judged.usage.policy.calls


def test_the_rate_of_the_problem_is_the_completers_shared_by_its_traces():
    policy = Exact(rates(0.5, 0.5, 0.0))
    traces = [trace(4, draw=d) for d in range(3)]
    judged = RelativeProgress(policy, rollouts=20, levels=((0.0, 10),)).score(traces)
    assert len(policy.asked) == 20 + 3 * 2 * 10
    assert [j.usage.policy.calls for j in judged] == [40, 20, 20]
    assert [set(r) for r in policy.rounds] == [{0}, {1}, {2}]
    assert judged[0].scores == (1.0, 0.0, 0.0, 0.0), "the first step is judged against the bare problem"


def test_a_problem_that_the_policy_never_solves_is_discarded_not_labelled_wrong():
    policy = Scripted(rates(0.0, 1.0))
    judged = RelativeProgress(policy, rollouts=16).score([trace(4), trace(3, GOLD)])
    assert [j.error.kind for j in judged] == ["unsolved-problem"] * 2
    assert all(j.scores is None and j.flags == ("discarded",) for j in judged)
    assert len(policy.asked) == 16


def test_the_last_step_is_graded_against_the_value_before_it():
    policy = Exact(rates(0.5, 1.0))
    right, wrong = RelativeProgress(policy, **HUNDRED).score([trace(2, GOLD), trace(2)])
    assert (right.scores, right.first_error) == ((1.0, 1.0), NO_ERROR)
    assert (wrong.scores, wrong.first_error) == ((1.0, 0.0), 1)
    (open_end,) = RelativeProgress(policy, **HUNDRED).score(
        [trace(2, grade=Grade(Verdict.UNDECIDED, "late"))]
    )
    assert (open_end.scores, open_end.first_error) == ((1.0, None), None)


def test_a_right_trace_can_lose_progress_and_gain_it_back():
    policy = Exact(rates(0.8, 0.4, 0.6))
    (judged,) = RelativeProgress(policy, **HUNDRED).score([trace(3, GOLD)])
    assert (judged.scores, judged.first_error) == ((0.0, 1.0, 1.0), 0)


def test_undecided_prefixes_are_unknown_and_end_the_walk():
    policy = Exact(rates(1.0, 1.0, "cut", 0.0))
    (judged,) = RelativeProgress(policy, rollouts=4, levels=((0.0, 4),)).score([trace(6, GOLD)])
    assert judged.scores == (1.0, None, None, None, None, None)
    assert (judged.first_error, judged.undecided) == (None, 4)
    assert judged.flags == ("truncated-rollouts", "undecided-probe")
    (nothing,) = RelativeProgress(Scripted(lambda t: "cut"), rollouts=4).score([trace(3)])
    assert (nothing.scores, nothing.error.kind) == (None, "undecided")


def test_failing_rollouts_are_typed_and_their_cost_is_kept():
    small = {"rollouts": 4, "levels": ((0.0, 4),)}
    (root,) = RelativeProgress(Scripted(lambda t: None), **small).score([trace(3)])
    assert (root.error.kind, root.usage.policy.calls, root.flags) == ("rollouts-failed", 4, ())
    (later,) = RelativeProgress(Scripted(rates(1.0, 1.0, None)), **small).score([trace(4)])
    assert (later.scores, later.error.kind, later.usage.policy.calls) == (None, "rollouts-failed", 12)


def test_without_gold_nothing_is_asked():
    policy = Scripted(lambda t: 1.0)
    (judged,) = RelativeProgress(policy).score([Trace(NO_GOLD, "a\nb\n", steps_from_ends([2, 4]))])
    assert (judged.scores, judged.error.kind, policy.asked) == (None, "no-gold", [])


def test_on_the_arithmetic_world_labels_are_those_of_the_exact_values():
    """Right steps raise the value, a wrong one takes it from at least 0.88 to 0.02: ratios far from 0.8."""
    policy = ScriptedPolicy(error=0.02, repair=0.02)
    traces = attempts(ScriptedPolicy(error=0.25), problems=5, samples=3)
    judged = RelativeProgress(policy, rollouts=128, levels=((0.0, 128),)).score(traces)
    exact = [exact_values(policy, t) for t in traces]
    expected = [next((i for i, (a, b) in enumerate(pairwise(v)) if b / a < 0.8), NO_ERROR) for v in exact]
    assert [j.first_error for j in judged] == expected
    assert 0 < expected.count(NO_ERROR) < len(expected)


@pytest.mark.parametrize(
    "settings",
    [{"levels": ()}, {"levels": ((0.1, 8),)}, {"levels": ((0.0, 8), (0.0, 4))}, {"levels": ((0.0, 0),)}],
)
def test_levels_that_make_no_sense_are_refused(settings):
    with pytest.raises(InputError, match="levels: got"):
        RelativeProgress(Scripted(lambda t: 1.0), **settings)
    with pytest.raises(InputError, match="epsilon"):
        RelativeProgress(Scripted(lambda t: 1.0), epsilon=0.0)
