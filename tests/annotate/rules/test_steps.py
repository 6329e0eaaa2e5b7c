"""Targets per step: ratings, first errors, outcomes, rates, SORM, SCAN, progress, hindsight.

Run: python -m pytest tests/annotate/rules
"""

from __future__ import annotations

import itertools
import math
import random

import pytest

from preceptor.annotate import WorldOracle
from preceptor.annotate import rules as labels
from preceptor.annotate.rules import (
    advantages,
    after_error,
    any_success,
    balance_positions,
    best_of,
    combined_score,
    copy_outcome,
    effective_rewards,
    first_error_targets,
    hindsight_values,
    last_only,
    outcome_target,
    progress_labels,
    propagate,
    rating_classes,
    rating_targets,
    relative_progress,
    result_used,
    scan_targets,
    softmax_mix,
    success_rate,
    used_success,
    weighted_success,
    with_trajectory,
)
from preceptor.errors import InputError
from preceptor.judgement import first_below
from preceptor.trace import Grade, Trace, Verdict, steps_from_ends
from preceptor.worlds import WORLDS

RATINGS = (1, 0, None, 0, -1)


@pytest.mark.parametrize(
    "neutral, expected",
    [
        ("positive", (1.0, 1.0, None, 1.0, 0.0)),
        ("negative", (1.0, 0.0, None, 0.0, 0.0)),
        ("ignored", (1.0, None, None, None, 0.0)),
    ],
)
def test_neutral_steps_are_what_the_caller_says(neutral, expected):
    assert rating_targets(RATINGS, neutral=neutral) == expected


def test_neutral_has_no_default_and_ratings_no_fourth_value():
    with pytest.raises(TypeError, match="neutral"):
        rating_targets(RATINGS)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="ignored"):
        rating_targets(RATINGS, neutral="drop")  # type: ignore[arg-type]
    for bad in (2, True, -100):
        with pytest.raises(InputError, match="step 1"):
            rating_classes((1, bad))


def test_an_ignored_neutral_step_is_not_the_first_error_but_a_negative_one_is():
    kept = after_error(rating_targets((1, 0, 1, -1, 1), neutral="ignored"), "mask")
    assert kept == (1.0, None, 1.0, 0.0, None)
    assert after_error(rating_targets((1, 0, 1, -1, 1), neutral="negative"), "mask") == (
        1,
        0,
        None,
        None,
        None,
    )


def test_three_classes_are_indices_not_truth_values():
    assert rating_classes(RATINGS) == (2.0, 1.0, None, 1.0, 0.0)


@pytest.mark.parametrize(
    "policy, expected",
    [
        ("keep", (1.0, None, 0.0, 1.0, 0.0)),
        ("mask", (1.0, None, 0.0, None, None)),
        ("wrong", (1.0, None, 0.0, 0.0, 0.0)),
        ("truncate", (1.0, None, 0.0)),
    ],
)
def test_steps_after_the_first_error(policy, expected):
    assert after_error((1.0, None, 0.0, 1.0, 0.0), policy) == expected


@pytest.mark.parametrize("policy", ["keep", "mask", "wrong", "truncate"])
def test_without_an_error_every_policy_keeps_everything(policy):
    assert after_error((1.0, None, 0.5), policy) == (1.0, None, 0.5)
    assert after_error((), policy) == ()


def test_cumulative_labels_never_rise_and_agree_with_the_index_of_the_error():
    for hard in itertools.product((0.0, 1.0), repeat=4):
        cumulative = after_error(hard, "wrong")
        assert list(cumulative) == sorted(cumulative, reverse=True)
        assert cumulative == first_error_targets(first_below(hard, 0.5), 4, policy="wrong")


def test_targets_from_an_index_know_none_from_unknown():
    assert first_error_targets(-1, 3) == (1.0, 1.0, 1.0)
    assert first_error_targets(None, 3) == (None, None, None)
    assert first_error_targets(0, 3) == (0.0, None, None)
    assert first_error_targets(1, 3, policy="truncate") == (1.0, 0.0)
    with pytest.raises(InputError, match="3 steps"):
        first_error_targets(3, 3)


def test_an_undecided_outcome_is_no_target_anywhere():
    assert [outcome_target(Grade(v, "")) for v in Verdict] == [1.0, 0.0, None]
    assert outcome_target(None) is None
    assert copy_outcome(None, 2) == (None, None)
    assert copy_outcome(0.0, 2) == (0.0, 0.0)


def test_an_outcome_model_keeps_one_target():
    assert last_only((1.0, 0.0, 1.0)) == (None, None, 1.0)
    assert last_only((1.0, 1.0), outcome=0.0) == (None, 0.0)
    assert last_only(()) == ()


def test_rates_are_none_without_a_trial_not_zero():
    assert (success_rate((3, 4)), any_success((1, 8)), any_success((0, 8))) == (0.75, 1.0, 0.0)
    assert success_rate((0, 0)) is any_success((0, 0)) is success_rate(None) is any_success(None) is None


def test_weighted_success_is_the_plain_rate_for_equally_likely_rollouts():
    assert weighted_success([(-0.5, True), (-0.5, False), (-0.5, None), (-0.5, False)]) == pytest.approx(
        1 / 3
    )
    likely = weighted_success([(math.log(0.6), True), (math.log(0.2), False)])
    assert likely == pytest.approx(0.75)
    assert weighted_success([(-1.0, None)]) is None
    assert weighted_success([(-2000.0, True), (-2001.0, False)]) == pytest.approx(1 / (1 + math.exp(-1)))


def test_a_rollout_that_starts_from_scratch_does_not_validate_a_step():
    step, scratch, using = "4+3=8\n", "4+3=7\nAnswer: 7\n", "8-1=7\nAnswer: 7\n"
    assert any_success((1, 1)) == 1.0, "counting alone accepts the wrong step"
    assert used_success(step, [(scratch, True)]) == 0.0
    assert used_success(step, [(scratch, True), (using, True)]) == 1.0
    assert used_success(step, [(using, False), (scratch, None)]) == 0.0
    assert used_success(step, [(using, None)]) is None
    assert used_success(step, [(scratch, True)], uses=lambda s, c: True) == 1.0


@pytest.mark.parametrize(
    "step, text, used",
    [
        ("so x = 1", "11 + 2", False),
        ("so x = 1", "then 1 + 2", True),
        ("total 1,000", "1000 / 2", True),
        ("total 2.50", "2.5 each", True),
        ("left 3", "gives -3", False),
        ("10-5=5", "12-5=7", True),
        ("no number here", "anything", True),
    ],
)
def test_a_result_is_used_as_a_number_not_as_digits(step, text, used):
    assert result_used(step, text) is used


def test_a_right_step_makes_all_before_it_right():
    assert propagate((0.0, None, 1.0, 0.0, None)) == (1.0, 1.0, 1.0, 0.0, None)
    for hard in itertools.product((0.0, 1.0), repeat=5):
        after = propagate(hard)
        assert list(after) == sorted(after, reverse=True)
        assert sum(after) >= sum(hard)
        assert propagate(after) == after


def test_after_balancing_a_guess_from_the_position_is_right_half_the_time():
    draw = random.Random(0)
    rows = [tuple(float(draw.random() > 0.2 * t) for t in range(draw.randint(1, 5))) for _ in range(300)]
    kept = balance_positions(rows, seed=1)
    for t in range(5):
        here = [row[t] for row in kept if t < len(row) and row[t] is not None]
        before = [row[t] for row in rows if t < len(row)]
        assert here.count(1.0) == here.count(0.0) == min(before.count(1.0), before.count(0.0))
    assert kept == balance_positions(rows, seed=1) != balance_positions(rows, seed=2)
    changed = [(a, b) for r, k in zip(rows, kept) for a, b in zip(r, k) if a != b]
    assert {b for _, b in changed} == {None}, "labels go, they never change"
    assert [len(r) for r in rows] == [len(k) for k in kept]


def test_relative_progress_has_the_numbers_of_both_entries():
    assert relative_progress((0.5, 0.45, 0.2, 0.0), 0.5) == pytest.approx((1.0, 0.9, 0.4444, 0.0), abs=1e-4)
    assert progress_labels((0.5, 0.45, 0.2, 0.0), 0.5) == (1, 1, 0, 0)
    assert relative_progress((0.45, 0.30, 0.36, 0.0), 0.5) == pytest.approx((0.9, 2 / 3, 1.2, 0.0))
    assert progress_labels((0.45, 0.30, 0.36, 0.0), 0.5) == (1, 0, 1, 0)


def test_a_dead_prefix_stays_dead_even_if_a_later_rollout_is_lucky():
    assert relative_progress((0.5, 0.0, 0.4, 0.8), 0.5) == (1.0, 0.0, 0.0, 0.0)
    assert relative_progress((0.5, 0.5), 0.0) == (0.0, 0.0)


def test_a_small_epsilon_gives_hard_labels_cut_at_the_first_zero():
    for values in itertools.product((0.0, 0.1, 0.9), repeat=4):
        hard = tuple(float(v > 0) for v in values)
        assert progress_labels(values, 0.5, epsilon=1e-9) == after_error(hard, "wrong")
    with pytest.raises(InputError, match="above 0"):
        progress_labels((0.5,), 0.5, epsilon=0.0)


def test_progress_next_to_an_unknown_value_is_unknown():
    assert relative_progress((0.5, None, 0.4), 0.5) == (1.0, None, None)
    assert advantages((0.5, None, 0.4), 0.5) == (0.0, None, None)
    assert progress_labels((0.5,), None) == (None,)


def test_advantages_telescope_and_vanish_for_provers_that_tell_nothing():
    values = (0.2, 0.7, 0.4, 1.0)
    assert sum(advantages(values, 0.3, prover_k=4)) == pytest.approx(best_of(1.0, 4) - best_of(0.3, 4))
    for constant in (0.0, 1.0):
        assert advantages((constant,) * 3, constant, prover_k=4) == (0.0, 0.0, 0.0)


def test_best_of_k_provers_have_the_numbers_of_the_entries():
    assert best_of(0.2, 4) == pytest.approx(0.5904)
    assert advantages((0.3,), 0.2, prover_k=4) == pytest.approx((0.1695,))
    assert advantages((0.3,), 0.1, prover_k=4) == pytest.approx((0.4160,))
    assert advantages((0.3,), 0.1) == pytest.approx((0.2,))
    assert effective_rewards((0.3,), 0.2) == pytest.approx((0.3 + 0.5 * 0.1695,))
    assert effective_rewards((0.3, None), 0.2)[1] is None


def test_scan_softens_the_steps_before_the_error_and_stops_at_it():
    assert scan_targets((0.75, 0.5, 0.0, 0.9), 0.75) == pytest.approx((1.0, 0.6667, 0.0), abs=1e-4)
    assert scan_targets((0.1, 0.1, 0.3, 0.0), 0.8) == pytest.approx((1.0, 0.125, 0.375, 0.0))
    assert scan_targets((0.0,), 0.8) == (0.0,)
    assert scan_targets((0.9, 0.2), 0.8) is None, "no prefix reached 0: discard"


def test_scan_without_distance_gives_hard_labels():
    for values in itertools.product((0.0, 0.3, 0.9), repeat=3):
        error = first_below(values, 1e-9)
        hard = scan_targets(values, 1.0, distance=0)
        assert hard == (None if error == -1 else first_error_targets(error, 3, policy="truncate"))


def test_scan_needs_the_values_it_softens_and_only_those():
    assert scan_targets((None, 0.5, 0.25, 0.0, None), 0.5) == (1.0, 1.0, 0.5, 0.0)
    with pytest.raises(InputError, match="step 1"):
        scan_targets((0.5, None, 0.5, 0.0), 0.5)
    with pytest.raises(InputError, match="self_confidence"):
        scan_targets((0.5, 0.0), 0.0)


def test_hindsight_discounts_by_the_steps_still_to_go():
    rollouts = [[(3, 1.0), (2, 0.0)], [(3, 1.0), (4, 1.0)], [(3, 1.0), (9, None)]]
    assert hindsight_values(rollouts) == pytest.approx((0.81 / 2, (0.9 + 0.81) / 2, 1.0))
    assert hindsight_values([[(3, None)], []]) == (None, None)
    with pytest.raises(InputError, match="prefix of 2 steps"):
        hindsight_values([[(3, 1.0)], [(1, 1.0)]])


def test_a_trajectory_adds_one_readout_and_leaves_the_steps_alone():
    assert with_trajectory((1.0, None), 0.25) == ((1.0, None), (None, None), (None, 0.25))
    assert combined_score((0.5, 1.0), 0.25) == 1.0
    assert combined_score((0.5, 1.0), 0.25, alpha=0.0) == 0.75


def test_softmax_mixing_lies_between_the_mean_and_the_largest():
    scores = (0.9, 0.2, 0.4)
    assert sum(scores) / 3 < softmax_mix(scores) < max(scores)
    assert softmax_mix((0.3, 0.3, 0.3)) == pytest.approx(0.3)
    assert softmax_mix((1000.0, 0.0)) == pytest.approx(1000.0)


def test_labels_of_a_world_oracle_go_through_every_policy():
    """A wrong first step whose result is used further: valid steps after it have no validity target."""
    problem, texts = wrong_first_step()
    text = "".join(texts)
    trace = Trace(problem, text, steps_from_ends(list(itertools.accumulate(map(len, texts)))))
    (judgement,) = WorldOracle().score([trace])
    assert judgement.scores is not None
    assert judgement.first_error == 0
    assert after_error(judgement.scores, "mask") == first_error_targets(judgement.first_error, len(texts))
    assert after_error(judgement.scores, "wrong") == (0.0,) * len(texts)


def wrong_first_step():
    problem = WORLDS["arithmetic"].problems("dev", 1)[0]
    first, *rest = [s if s.endswith("\n") else s + "\n" for s in problem.reference]
    left, right = first.rstrip("\n").rsplit("=", 1)
    return problem, [f"{left}={int(right) + 1}\n", *rest]


def test_the_map_names_every_public_function():
    assert labels.__all__ == sorted(labels.__all__, key=lambda n: (n[0].islower(), n))
    assert all(getattr(labels, name) is not None for name in labels.__all__)
