"""OmegaPRM's bisection finds the first error in K ceil(log2 T) rollouts and says what it did not see."""

from __future__ import annotations

import math
import random

import pytest

from preceptor.annotate import Bisection, OmegaBisection, monotone_violation
from preceptor.judgement import NO_ERROR, Question, Scorer
from preceptor.trace import Grade, Verdict
from tests.annotate.scripted import GOLD, Scripted, trace


def before(error: int):
    """Value 1 for prefixes that end before step `error` (1-based), 0 from it on."""
    return lambda t: 1.0 if t < error else 0.0


def probes(policy: Scripted) -> list[int]:
    return [batch[0].prefix.count("\n") for batch in policy.batches]


def test_eight_steps_with_the_error_at_the_fifth_probe_4_6_5():
    policy = Scripted(before(5))
    (judged,) = OmegaBisection(policy, rollouts=4).score([trace(8)])
    assert probes(policy) == [4, 6, 5]
    assert judged.first_error == 4
    assert judged.scores == (1.0, 1.0, 1.0, 1.0, 0.0, 0.0, None, 0.0)
    assert judged.counts == (None, None, None, (4, 4), (0, 4), (0, 4), None, None)
    assert judged.usage.policy.calls == 12


@pytest.mark.parametrize("steps", range(1, 34))
def test_every_place_is_found_within_the_bound_and_the_last_step_is_never_rolled_out(steps: int):
    for error in range(1, steps + 1):
        policy = Scripted(before(error))
        (judged,) = OmegaBisection(policy, rollouts=2).score([trace(steps)])
        assert judged.first_error == error - 1
        assert len(policy.asked) <= 2 * math.ceil(math.log2(steps)) if steps > 1 else not policy.asked
        assert all(r.prefix.count("\n") < steps for r in policy.asked)
        assert judged.scores[: error - 1] == (1.0,) * (error - 1)
        assert judged.scores[error - 1] == 0.0
        assert judged.flags == ()


def test_the_middle_of_an_even_number_is_the_left_one():
    assert [Bisection(steps).probe for steps in (1, 2, 3, 4, 5)] == [None, 1, 1, 2, 2]


def test_searches_advance_together_one_batch_a_round():
    policy = Scripted(before(3))
    traces = [trace(n, draw=n) for n in range(2, 17)]
    judged = OmegaBisection(policy, rollouts=2).score(traces)
    assert len(policy.batches) == 4
    assert [j.first_error for j in judged] == [min(2, n - 1) for n in range(2, 17)]


def test_probed_prefixes_carry_rates():
    (judged,) = OmegaBisection(Scripted(lambda t: 0.5 if t < 5 else 0.0), rollouts=16).score([trace(8)])
    hits, trials = judged.counts[3]
    assert (judged.scores[3], trials) == (hits / 16, 16)
    assert 0 < hits < 16


def test_a_right_answer_is_taken_for_a_right_trace_without_rollouts():
    policy = Scripted(before(1))
    (judged,) = OmegaBisection(policy).score([trace(6, GOLD)])
    assert not policy.asked
    assert (judged.scores, judged.first_error) == ((1.0,) * 6, NO_ERROR)
    assert (judged.flags, judged.counts) == (("assumed-correct",), (None,) * 6)


def test_searching_right_answers_finds_prefixes_that_contradict_their_ending():
    (judged,) = OmegaBisection(Scripted(before(3)), search_correct=True).score([trace(8, GOLD)])
    assert (judged.first_error, judged.flags) == (2, ("monotone-violation",))
    assert judged.scores[-1] == 1.0
    (clean,) = OmegaBisection(Scripted(lambda t: 1.0), search_correct=True).score([trace(8, GOLD)])
    assert (clean.first_error, clean.flags, clean.scores) == (NO_ERROR, (), (1.0,) * 8)


def test_an_undecided_trace_is_neither_searched_nor_labelled():
    policy = Scripted(before(1))
    (judged,) = OmegaBisection(policy).score([trace(6, grade=Grade(Verdict.UNDECIDED, "timeout"))])
    assert (judged.scores, judged.error.kind) == (None, "undecided")
    assert not policy.asked


def test_a_probe_without_a_decided_rollout_ends_the_search_as_unknown():
    policy = Scripted(lambda t: "cut" if t == 6 else 1.0 if t < 5 else 0.0)
    (judged,) = OmegaBisection(policy, rollouts=3).score([trace(8)])
    assert judged.first_error is None
    assert judged.scores == (1.0, 1.0, 1.0, 1.0, None, None, None, 0.0)
    assert (judged.flags, judged.undecided) == (("truncated-rollouts", "undecided-probe"), 3)


def test_a_probe_lost_to_failures_fails_the_judgement():
    (judged,) = OmegaBisection(Scripted(lambda t: None if t == 6 else 1.0)).score([trace(8)])
    assert (judged.scores, judged.error.kind) == (None, "rollouts-failed")


def test_a_recovering_trace_misleads_bisection_which_cannot_know():
    """0 at step 2, positive again to step 6: the search sees only 4 (positive) and what is right of it."""
    (judged,) = OmegaBisection(Scripted(lambda t: 1.0 if t != 2 and t < 7 else 0.0)).score([trace(8)])
    assert (judged.first_error, judged.flags) == (6, ())


@pytest.mark.parametrize(
    "values, violated",
    [
        ({}, False),
        ({4: 1.0, 6: 0.0, 5: 0.0}, False),
        ({4: 0.0, 6: 0.125}, True),
        ({6: 0.125, 4: 0.0}, True),
        ({2: 0.0, 3: 0.0, 8: 1.0}, True),
        ({1: 0.5, 2: 0.5}, False),
    ],
)
def test_a_violation_is_a_positive_value_right_of_a_zero(values, violated):
    assert monotone_violation(values) is violated


def test_one_bisection_never_contradicts_itself():
    draw = random.Random(0)
    for _ in range(500):
        search = Bisection(draw.randint(1, 40))
        while (t := search.probe) is not None:
            assert 1 <= t < 40
            search.observe(t, draw.choice([0.0, 0.25]))
        assert not monotone_violation(search.values)


def test_it_is_a_scorer_of_value():
    scorer = OmegaBisection(Scripted(before(1)))
    assert isinstance(scorer, Scorer)
    assert scorer.question is Question.VALUE
    assert scorer.source != OmegaBisection(Scripted(before(1)), search_correct=True).source
