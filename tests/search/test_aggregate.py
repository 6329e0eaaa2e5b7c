"""Specifies how step scores become one number, and when they become none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.search import AGGREGATORS, aggregate, graded_probability
from preceptor.search.aggregate import discounted, first_error, neg_count, sum_adv, window

PROBABILITIES = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30)

HAND = {
    "first": 0.9,
    "geomean": 0.36 ** (1 / 3),
    "last": 0.8,
    "max": 0.9,
    "mean": 2.2 / 3,
    "mean_logit": 1 / (1 + math.exp(-(math.log(9) + 0 + math.log(4)) / 3)),
    "mean_odds": (9 + 1 + 4) / 3,
    "min": 0.5,
    "prod": 0.36,
    "sum": 2.2,
    "sum_adv": 0.8,
    "sum_log": math.log(0.36),
    "sum_logit": math.log(9) + math.log(4),
}


def test_every_aggregator_agrees_with_its_hand_computed_value() -> None:
    assert set(HAND) == set(AGGREGATORS)
    for name, expected in HAND.items():
        assert aggregate([0.9, 0.5, 0.8], name) == pytest.approx(expected), name


def test_parametrized_aggregators_are_reached_by_name_and_by_function() -> None:
    scores = [0.9, 0.2, 0.8, 0.6]
    assert aggregate(scores, "window:2:min") == aggregate(scores, window(2, "min")) == 0.6
    assert aggregate(scores, "window:9") == pytest.approx(0.625)
    assert aggregate(scores, "discounted:1") == pytest.approx(0.625)
    weighted = (0.125 * 0.9 + 0.25 * 0.2 + 0.5 * 0.8 + 0.6) / 1.875
    assert aggregate(scores, discounted(0.5)) == pytest.approx(weighted)
    assert aggregate(scores, "neg_count:0.6") == aggregate(scores, neg_count(0.6)) == -1
    assert aggregate(scores, "first_error:0.6") == aggregate(scores, first_error(0.6)) == 0.25
    assert aggregate(scores, "first_error:0.1") == 1.0
    assert sum_adv([0.4, 0.7], start=0.5) == pytest.approx(0.2)


@pytest.mark.parametrize("name", sorted(AGGREGATORS))
def test_no_scores_means_unscored_and_never_a_number(name: str) -> None:
    assert aggregate([], name) is None
    assert aggregate(None, name) is None
    assert aggregate([None, float("nan")], name) is None


def test_absent_scores_are_skipped_replaced_or_refused() -> None:
    assert aggregate([0.9, None, 0.5], "min") == 0.5
    assert aggregate([0.9, None, 0.5], "min", missing=0.0) == 0.0
    assert aggregate([0.9, float("nan")], "mean", missing=0.1) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="step 1 has no score"):
        aggregate([0.9, None], "min", missing="error")


@given(PROBABILITIES)
def test_order_of_prod_min_mean_max(scores: list[float]) -> None:
    prod, low, mean, high = (aggregate(scores, name) for name in ("prod", "min", "mean", "max"))
    assert prod is not None
    assert low is not None
    assert mean is not None
    assert high is not None
    assert prod <= low * (1 + 1e-9) + 1e-12
    assert low <= mean * (1 + 1e-12)
    assert mean <= high * (1 + 1e-12)


@given(PROBABILITIES, st.floats(0, 1))
def test_prod_and_min_never_rise_when_a_step_is_appended(scores: list[float], extra: float) -> None:
    for name in ("prod", "min"):
        before, after = aggregate(scores, name), aggregate([*scores, extra], name)
        assert before is not None
        assert after is not None
        assert after <= before * (1 + 1e-12)


def test_a_certain_step_leaves_the_product_unchanged_and_equal_steps_leave_geomean_unchanged() -> None:
    assert aggregate([0.7, 0.6, 1.0], "prod") == aggregate([0.7, 0.6], "prod")
    assert aggregate([0.7] * 50, "geomean") == pytest.approx(0.7)


def test_long_traces_do_not_underflow_and_permuted_steps_tie_exactly() -> None:
    assert aggregate([0.1] * 200, "sum_log") == pytest.approx(200 * math.log(0.1))
    a, b = [0.3, 0.7, 0.1, 0.9, 0.123], [0.123, 0.9, 0.1, 0.3, 0.7]
    for name in ("prod", "mean", "geomean", "sum_logit", "mean_odds"):
        assert aggregate(a, name) == aggregate(b, name), name


def test_probabilities_are_required_only_where_the_formula_needs_them() -> None:
    assert aggregate([-3.0, 2.0], "last") == 2.0
    assert aggregate([-3.0, 2.0], "min") == -3.0
    for name in ("prod", "geomean", "sum_log", "sum_logit", "mean_logit", "mean_odds"):
        with pytest.raises(ValueError, match="probability"):
            aggregate([0.5, 1.2], name)


def test_unknown_names_list_the_known_ones() -> None:
    for bad in ("average", "window", "window:x", "prod:2", "discounted:0.5:9"):
        with pytest.raises(ValueError, match="expected one of"):
            aggregate([0.5], bad)
    with pytest.raises(ValueError, match="gamma"):
        aggregate([0.5], "discounted:0")


def test_neutral_steps_are_read_as_good_or_bad_on_request_only() -> None:
    assert graded_probability(0.5, 0.3, 0.2, neutral_is_good=True) == pytest.approx(0.8)
    assert graded_probability(0.5, 0.3, 0.2, neutral_is_good=False) == pytest.approx(0.5)
