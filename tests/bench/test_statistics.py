"""Intervals, discrimination, calibration and first-error figures against closed forms and brute force."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.bench.calibration import (
    brier,
    calibration_figures,
    equal_mass_bins,
    expected_calibration_error,
    reliability_bins,
)
from preceptor.bench.discrimination import StepConfusion, auprc_bad, auroc, bootstrap_auroc, step_confusion
from preceptor.bench.first_error import (
    best_threshold,
    f1_of_sums,
    first_error_accuracy,
    first_error_counts,
    first_error_f1_curve,
    first_error_rows,
    harmonic_mean,
    matching_interval,
    mean_offset,
    threshold_candidates,
    tune_first_error_threshold,
    up_to_first_error,
)
from preceptor.bench.statistics import (
    Estimate,
    bootstrap,
    bootstrap_mean,
    bootstrap_sums,
    cluster_sums,
    mcnemar,
    paired_bootstrap,
    wilson,
)
from preceptor.judgement import NO_ERROR, first_below


def test_wilson_matches_published_values_and_never_leaves_the_unit_interval():
    five = wilson(8, 10)
    assert five.value == 0.8
    assert (five.low, five.high) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    none, all_ = wilson(0, 20), wilson(20, 20)
    assert (none.low, all_.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1.959964**2 / (20 + 1.959964**2), abs=1e-6)
    assert all_.low == pytest.approx(1 - none.high)


def test_a_proportion_of_nothing_is_undefined_and_not_zero():
    assert wilson(0, 0) == Estimate(None, None, None, 0)
    assert str(wilson(0, 0)) == "undefined n=0"
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        wilson(3, 2)


def test_an_estimate_reads_as_one_line():
    assert str(Estimate(0.8123, 0.78, 0.8399, 400)) == "0.812 [0.780, 0.840] n=400"


def test_bootstrap_interval_of_a_mean_agrees_with_the_normal_one_on_many_problems():
    values = np.random.default_rng(1).random(2000) < 0.3
    got = bootstrap_mean(values, resamples=4000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert got.value == pytest.approx(values.mean())
    assert (got.low, got.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=2e-3)


def test_the_vectorised_bootstrap_draws_the_same_resamples_as_the_general_one():
    rows = np.random.default_rng(0).random((37, 2))
    fast = bootstrap_sums(rows, lambda s: s[..., 0] / s[..., 1], resamples=300, seed=5)
    slow = bootstrap(rows, lambda drawn: drawn[:, 0].sum() / drawn[:, 1].sum(), resamples=300, seed=5)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high))


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.arange(30.0)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_resampling_steps_instead_of_problems_would_claim_too_much():
    """Twenty problems of fifty identical steps carry the evidence of twenty trials, not of a thousand."""
    right = [i % 2 for i in range(20)]
    names = [f"p{i}" for i in range(20) for _ in range(50)]
    steps = [[right[i], 1] for i in range(20) for _ in range(50)]
    clustered = bootstrap_sums(cluster_sums(names, steps), lambda s: s[..., 0] / s[..., 1])
    naive = bootstrap_sums(steps, lambda s: s[..., 0] / s[..., 1])
    assert clustered.n == 20
    assert clustered.value == naive.value == 0.5
    assert clustered.high - clustered.low > 5 * (naive.high - naive.low)


def test_the_statistic_is_recomputed_on_each_resample_not_averaged_over_problems():
    """A ratio of sums: one problem with 100 steps weighs more than one with a single step."""
    rows = np.array([[100.0, 100.0], [0.0, 1.0]])
    got = bootstrap_sums(rows, lambda s: s[..., 0] / s[..., 1])
    assert got.value == pytest.approx(100 / 101)
    assert (got.low, got.high) == (0.0, 1.0)


def test_resamples_without_a_value_are_counted_and_left_out():
    scores, good = np.array([0.9, 0.1, 0.4]), np.array([True, False, False])
    got = bootstrap(np.arange(3), lambda drawn: auroc(scores[drawn], good[drawn]), resamples=500)
    one_class = (1 / 3) ** 3 + (2 / 3) ** 3
    assert got.undefined / 500 == pytest.approx(one_class, abs=0.06)
    assert (got.value, got.low, got.high) == (1.0, 1.0, 1.0)


def test_no_problems_give_an_undefined_estimate():
    assert bootstrap_mean([]).value is None
    assert bootstrap([], len).value is None


def test_a_paired_difference_is_tighter_than_two_separate_intervals():
    random_ = np.random.default_rng(2)
    first = random_.random(400) < 0.5
    second = first & (random_.random(400) < 0.9)
    paired = paired_bootstrap(first, second)
    assert paired.value == pytest.approx(first.mean() - second.mean())
    assert paired.low > 0
    assert bootstrap_mean(second).high > bootstrap_mean(first).low
    general = paired_bootstrap(first, second, lambda drawn: float(drawn.mean()))
    assert (general.low, general.high) == pytest.approx((paired.low, paired.high))


def test_pairing_different_numbers_of_problems_is_refused():
    with pytest.raises(ValueError, match="got 2 and 3 problems"):
        paired_bootstrap([1, 0], [1, 0, 1])


def test_mcnemar_is_the_exact_binomial_test_on_the_items_that_differ():
    first = [True] * 9 + [False] * 2 + [True] * 30 + [False] * 5
    second = [False] * 9 + [True] * 2 + [True] * 30 + [False] * 5
    got = mcnemar(first, second)
    tail = sum(math.comb(11, k) for k in range(3)) / 2**11
    assert (got.only_first, got.only_second) == (9, 2)
    assert got.p == pytest.approx(2 * tail)
    assert mcnemar(first, first).p == 1.0


labelled = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=25)


@given(labelled)
def test_auroc_is_the_share_of_ordered_pairs_with_ties_counting_half(items: list[tuple[int, bool]]):
    good = [s for s, y in items if y]
    bad = [s for s, y in items if not y]
    got = auroc([s for s, _ in items], [y for _, y in items])
    if not good or not bad:
        assert got is None
        return
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g, b in itertools.product(good, bad)]
    assert got == pytest.approx(sum(pairs) / len(pairs))


@given(labelled)
def test_auprc_walks_down_the_distinct_scores(items: list[tuple[int, bool]]):
    bad = sum(not y for _, y in items)
    got = auprc_bad([s for s, _ in items], [y for _, y in items])
    if not bad:
        assert got is None
        return
    area, recall = 0.0, 0.0
    for cut in sorted({s for s, _ in items}):
        taken = [y for s, y in items if s <= cut]
        found = sum(not y for y in taken)
        area += found / len(taken) * (found / bad - recall)
        recall = found / bad
    assert got == pytest.approx(area)


def test_the_fast_auroc_bootstrap_equals_recomputing_auroc_on_every_resample():
    dice = np.random.default_rng(3)
    problems = [f"p{i}" for i in dice.integers(12, size=80)]
    scores, good = dice.integers(6, size=80) / 5, dice.random(80) < 0.7
    owned = [np.flatnonzero([p == name for p in problems]) for name in dict.fromkeys(problems)]

    def slow(drawn: np.ndarray) -> float | None:
        rows = np.concatenate([owned[i] for i in drawn])
        return auroc(scores[rows], good[rows])

    fast = bootstrap_auroc(problems, scores, good, resamples=200, seed=7)
    direct = bootstrap(np.arange(len(owned)), slow, resamples=200, seed=7)
    assert (fast.n, fast.undefined) == (len(owned), direct.undefined)
    assert (fast.value, fast.low, fast.high) == pytest.approx((direct.value, direct.low, direct.high))
    assert bootstrap_auroc(["a"], [0.5], [True]).value is None


def test_constant_scores_discriminate_nothing():
    good = [True, False, False, True, False]
    assert auroc([0.5] * 5, good) == 0.5
    assert auprc_bad([0.5] * 5, good) == pytest.approx(3 / 5)


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        auroc([0.1, float("nan")], [True, False])


def test_step_confusion_gives_both_f1_and_leaves_empty_ratios_undefined():
    got = step_confusion([True, True, False, True, False], [True, False, False, True, True])
    assert got == StepConfusion(tp=2, fp=1, tn=1, fn=1)
    assert (got.f1, got.negative_f1) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
    assert got.macro_f1 == pytest.approx(7 / 12)
    all_good = step_confusion([True, True], [True, True])
    assert all_good.f1 == 1.0
    assert (all_good.negative_f1, all_good.macro_f1, all_good.negative_precision) == (None, None, None)
    assert got + all_good == StepConfusion(4, 1, 1, 1)


def test_brier_and_ece_of_a_worked_example():
    scores, truth = [0.95, 0.95, 0.15, 1.0], [1, 0, 0, 1]
    assert brier(scores, truth) == pytest.approx((0.05**2 + 0.95**2 + 0.15**2) / 4)
    bins = reliability_bins(scores, truth, bins=10)
    assert [(b.n, round(b.mean_score, 4)) for b in bins] == [(1, 0.15), (3, 0.9667)]
    assert expected_calibration_error(bins) == pytest.approx(0.25 * 0.15 + 0.75 * (2.9 / 3 - 2 / 3))
    figures = calibration_figures(scores, truth, bins=10)
    assert figures.max_gap == pytest.approx(0.3)
    assert figures.signed_gap == pytest.approx((0.95 + 0.95 + 0.15 + 1.0) / 4 - 0.5)


def test_a_perfectly_calibrated_soft_target_has_no_error():
    share = [0.0, 0.25, 0.5, 0.75, 1.0]
    figures = calibration_figures(share, share)
    assert (figures.brier, figures.ece, figures.equal_mass_ece) == (0.0, 0.0, 0.0)


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.4001, 0.9, 1.0]), min_size=1, max_size=40), st.integers(1, 15)
)
def test_equal_mass_bins_keep_equal_scores_together_and_lose_nothing(scores: list[float], bins: int):
    got = equal_mass_bins(scores, scores, bins=bins)
    assert sum(b.n for b in got) == len(scores)
    assert len(got) <= bins
    spans = []
    at = 0
    for one in got:
        spans.append(sorted(scores)[at : at + one.n])
        at += one.n
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(spans))


def test_calibration_refuses_scores_outside_the_unit_interval_and_has_none_for_nothing():
    with pytest.raises(ValueError, match=r"got score 1.2, expected \[0, 1\]"):
        brier([1.2], [1])
    empty = calibration_figures([], [])
    assert (empty.n, empty.brier, empty.ece) == (0, None, None)


def test_first_error_f1_is_harmonic_so_a_constant_predictor_earns_nothing():
    actual = [NO_ERROR, NO_ERROR, 1, 3]
    constant = first_error_counts([NO_ERROR] * 4, actual)
    assert (constant.error_accuracy, constant.correct_accuracy, constant.f1) == (0.0, 1.0, 0.0)
    assert constant.accuracy == 0.5
    some = first_error_counts([NO_ERROR, 0, 1, 2], actual)
    assert some.f1 == pytest.approx(0.5)
    assert first_error_counts([NO_ERROR], [NO_ERROR]).f1 is None
    assert harmonic_mean(0.0, 0.0) == 0.0


def test_an_unparsed_prediction_never_matches():
    assert first_error_counts([None, None], [NO_ERROR, 2]).f1 == 0.0
    assert first_error_accuracy([None, 2], [NO_ERROR, 2]) == 0.5


def test_tolerance_is_for_places_not_for_the_absence_of_an_error():
    assert first_error_accuracy([1, NO_ERROR, 0], [2, 0, NO_ERROR], tolerance=1) == pytest.approx(1 / 3)
    assert mean_offset([1, NO_ERROR, 4, None], [2, 0, 2, 3]) == pytest.approx(0.5)


def test_the_first_error_f1_of_resampled_sums_is_the_f1_of_the_resample():
    predicted: list[int | None] = [NO_ERROR, 0, 1, 2, NO_ERROR, None, 4]
    actual = [NO_ERROR, NO_ERROR, 1, 3, 0, 2, 4]
    rows = first_error_rows(predicted, actual)
    drawn = [0, 0, 2, 3, 6, 1, 1]
    direct = first_error_counts([predicted[i] for i in drawn], [actual[i] for i in drawn])
    assert float(f1_of_sums(rows[drawn].sum(axis=0))) == pytest.approx(direct.f1)
    assert math.isnan(float(f1_of_sums(rows[[2, 3]].sum(axis=0))))


def test_steps_after_the_first_error_are_not_evaluated():
    scores = [0.9, None, 0.2, 0.8]
    assert up_to_first_error(scores, 2) == ([0.9, 0.2], [True, False], 1)
    assert up_to_first_error(scores, NO_ERROR) == ([0.9, 0.2, 0.8], [True, True, True], 1)


some_scores = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])), max_size=5)


@given(some_scores, st.integers(-1, 5), st.sampled_from([-1.0, 0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 1.0, 1.1]))
def test_the_matching_interval_says_exactly_when_first_below_gives_the_label(
    scores: list[float | None], label: int, threshold: float
):
    interval = matching_interval(scores, label)
    inside = interval is not None and interval[0] < threshold <= interval[1]
    assert inside == (first_below(scores, threshold) == label)


def test_threshold_candidates_are_midpoints_and_two_ends_that_accept_and_refuse_everything():
    cuts = threshold_candidates([0.2, 0.8, 0.2, 0.5])
    assert cuts[1:3].tolist() == pytest.approx([0.35, 0.65])
    assert first_below([0.2, 0.8], float(cuts[0])) == NO_ERROR
    assert first_below([0.8, 0.8], float(cuts[-1])) == 0
    next_to = [0.5, float(np.nextafter(0.5, 1))]
    assert first_below(next_to[::-1], float(threshold_candidates(next_to)[1])) == 1


def test_threshold_ties_go_to_the_one_nearest_one_half_then_to_the_smaller():
    assert best_threshold([0.1, 0.45, 0.55, 0.9], [1.0, 1.0, 1.0, 1.0]) == 0.45
    assert best_threshold([0.1, 0.48, 0.55, 0.9], [0.9, 0.2, 0.3, 0.9]) == 0.1
    assert best_threshold([0.25, 0.75], [1.0, 1.0]) == 0.25
    assert best_threshold([], []) is None
    assert best_threshold([0.5], [float("nan")]) is None


def test_the_f1_curve_and_the_tuned_threshold_agree_with_trying_every_candidate():
    dice = random.Random(0)
    scores = [
        [None if dice.random() < 0.03 else round(dice.random(), 2) for _ in range(dice.randint(1, 7))]
        for _ in range(150)
    ]
    actual = [dice.randint(-1, len(own) - 1) for own in scores]
    cuts = threshold_candidates([s for own in scores for s in own if s is not None])
    direct = [first_error_counts([first_below(own, c) for own in scores], actual).f1 for c in cuts]
    assert first_error_f1_curve(scores, actual, cuts).tolist() == pytest.approx(direct)
    assert tune_first_error_threshold(scores, actual) == best_threshold(cuts, direct)
    assert tune_first_error_threshold(scores, [NO_ERROR] * 150) is None
