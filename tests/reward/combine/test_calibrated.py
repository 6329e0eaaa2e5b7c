"""Calibration: the maps find known truths, never swap two scores, and survive a trip through JSON."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.combine import Calibrated, Isotonic, Platt, Temperature
from preceptor.reward.combine.calibration_maps import (
    fit_map,
    logit,
    map_from_record,
    pool_adjacent_violators,
    sigmoid,
)
from tests.reward.combine.scorers import Rule, attempts, constant, reading, trace_of

METHODS = ("temperature", "platt", "platt-raw", "isotonic")


def overconfident(n: int = 4000, temperature: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose truth is a sigmoid at a higher temperature; soft targets, so there is no noise."""
    z = np.linspace(-6, 6, n)
    return np.array([sigmoid(v) for v in z]), np.array([sigmoid(v / temperature) for v in z])


def test_temperature_finds_the_temperature_and_platt_slope_and_offset():
    scores, targets = overconfident()
    assert Temperature.fit(scores, targets).temperature == pytest.approx(2.5, rel=1e-4)
    shifted = np.array([sigmoid(0.4 * logit(s) + 0.7) for s in scores])
    found = Platt.fit(scores, shifted)
    assert (found.slope, found.offset) == pytest.approx((0.4, 0.7), abs=5e-3)
    raw = np.linspace(-20, 30, 4000)
    found = Platt.fit(raw, np.array([sigmoid(0.2 * r - 1) for r in raw]), raw=True)
    assert (found.slope, found.offset) == pytest.approx((0.2, -1), abs=1e-2)


def test_temperature_is_the_minimum_of_the_loss_by_brute_force():
    rng = random.Random(0)
    scores = np.array([rng.random() for _ in range(300)])
    labels = np.array([float(rng.random() < 0.3 + 0.4 * s) for s in scores])

    def loss(t: float) -> float:
        p = np.array([sigmoid(logit(s) / t) for s in scores])
        return float(-(labels * np.log(p) + (1 - labels) * np.log1p(-p)).mean())

    found = Temperature.fit(scores, labels).temperature
    assert loss(found) <= min(loss(t) for t in np.geomspace(0.3, 40, 400)) + 1e-9


def test_pooling_equals_scipys_isotonic_regression():
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 10, 200):
        y, w = rng.random(n), rng.integers(1, 6, n).astype(float)
        assert pool_adjacent_violators(y, w) == pytest.approx(isotonic_regression(y, weights=w).x)


def test_isotonic_gives_equal_scores_their_mean_target_and_pools_only_violations():
    scores = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.9])
    labels = np.array([0.0, 1.0, 0.0, 0.2, 0.6, 1.0])
    found = Isotonic.fit(scores, labels)
    pooled = (1.0 + 0.0 + 0.2) / 3
    assert [found(s) for s in (0.1, 0.2, 0.3, 0.4, 0.9)] == pytest.approx([0.0, pooled, pooled, 0.6, 1.0])
    assert found(0.65) == pytest.approx(0.8)
    assert (found(-3.0), found(7.0)) == (0.0, 1.0)


NUMBERS = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30, unique_by=lambda p: p[0]
)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(NUMBERS, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_no_map_ever_swaps_two_scores(method: str, pairs: list, asked: list):
    table = np.array(pairs, dtype=np.float64)
    mapped = fit_map(table[:, 0], table[:, 1], method)
    out = [mapped(s) for s in sorted(asked)]
    assert out == sorted(out)
    assert all(0 <= p <= 1 for p in out)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_keeps_the_ranking_and_the_side_of_one_half(temperature: float):
    scores = np.unique(
        np.concatenate([np.linspace(0.001, 0.999, 999), 1 - np.float32(2.0) ** -np.arange(3, 24)])
    )
    mapped = [Temperature(temperature)(float(s)) for s in scores]
    assert all(a < b for a, b in pairwise(mapped))
    assert all((a > 0.5) == (s > 0.5) for a, s in zip(mapped, scores))
    assert Temperature(1.0)(0.3) == pytest.approx(0.3)


def test_a_scorer_worse_than_chance_is_flattened_and_not_turned_around():
    scores = np.linspace(0.01, 0.99, 200)
    labels = (scores < 0.5).astype(float)
    for method in ("platt", "platt-raw", "isotonic"):
        mapped = fit_map(scores, labels, method)
        assert mapped(0.1) == pytest.approx(mapped(0.9)) == pytest.approx(0.5, abs=0.01)
    assert fit_map(scores, labels, "temperature")(0.9) < 0.52


def test_separable_labels_give_finite_maps():
    scores, labels = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0.0, 0.0, 1.0, 1.0])
    for method in METHODS:
        record = json.loads(json.dumps(fit_map(scores, labels, method).to_record(), allow_nan=False))
        assert map_from_record(record)(0.85) > 0.5 > map_from_record(record)(0.15)


def test_calibration_lowers_the_loss_on_problems_it_was_not_fitted_to():
    """Truth from the world's oracle, an overconfident scorer made from it with errors."""

    def sure(trace):
        (truth,) = WorldOracle().score([trace])
        return [
            (0.999 if y == (r < 0.8) else 0.001) + 0.0005 * r
            for y, r in zip((s > 0.5 for s in truth.scores), reading(trace))
        ]

    traces = attempts(20, 4)
    names = sorted({t.problem.id for t in traces})
    fitting = [t for t in traces if t.problem.id in names[:10]]
    held = [t for t in traces if t.problem.id in names[10:]]
    truth = WorldOracle()

    def brier(scorer) -> float:
        pairs = [
            (s, y) for j, k in zip(scorer.score(held), truth.score(held)) for s, y in zip(j.scores, k.scores)
        ]
        return sum((s - y) ** 2 for s, y in pairs) / len(pairs)

    plain = Rule(sure)
    labels = [j.scores for j in truth.score(fitting)]
    for method in METHODS:
        fitted = Calibrated.fit(plain, fitting, labels, method)
        assert brier(fitted) < 0.9 * brier(plain), method


def test_unknown_scores_and_targets_teach_nothing_and_stay_unknown():
    members = Rule(lambda trace: [0.2, None, 0.8, 0.6])
    trace = trace_of(*"abcd")
    fitted = Calibrated.fit(members, [trace, trace], [[0.0, 1.0, 1.0, None], None], "isotonic")
    assert (fitted.map.scores, fitted.map.values) == ((0.2, 0.8), (0.0, 1.0))
    assert len(members.calls) == 1
    (judged,) = fitted.score([trace])
    assert judged.scores == (0.0, None, 1.0, pytest.approx(2 / 3))
    assert judged.trace == trace.id


def test_a_score_the_map_cannot_take_is_an_error_of_its_trace_and_never_a_clipped_score():
    member = Rule(lambda trace: [-3.0] if "x" in trace.text else [0.5])
    fine, bad = Calibrated(member, Temperature(2.0)).score([trace_of("a"), trace_of("x")])
    assert fine.scores == (0.5,)
    assert (bad.scores, bad.error.kind) == (None, "outside-range")
    assert Calibrated(member, Platt(1.0, 0.0, raw=True)).score([trace_of("x")])[0].error is None


def test_a_calibration_goes_through_json_and_back_onto_its_own_scorer_only():
    member = Rule()
    traces = attempts(3, 2)
    labels = [j.scores for j in WorldOracle().score(traces)]
    for method in METHODS:
        fitted = Calibrated.fit(member, traces, labels, method, answers=Question.VALUE)
        again = Calibrated.from_record(json.loads(json.dumps(fitted.to_record())), member)
        assert again.source == fitted.source
        assert again.question is Question.VALUE
        assert [j.scores for j in again.score(traces)] == [j.scores for j in fitted.score(traces)]
        with pytest.raises(InputError, match="fitted to rule"):
            Calibrated.from_record(fitted.to_record(), Rule(name="other"))


def test_what_cannot_be_fitted_is_refused():
    trace = trace_of(*"ab")
    with pytest.raises(InputError, match="expected as many"):
        Calibrated.fit(Rule(), [trace], [])
    with pytest.raises(InputError, match="one target, or None, per step"):
        Calibrated.fit(Rule(), [trace], [[1.0]])
    with pytest.raises(InputError, match="nothing to fit"):
        Calibrated.fit(Rule(), [trace], [[None, None]])
    with pytest.raises(InputError, match="'temperature', 'platt'"):
        Calibrated.fit(Rule(), [trace], [[1.0, 0.0]], "beta")
    with pytest.raises(InputError, match="targets outside"):
        Calibrated.fit(Rule(), [trace], [[2.0, 0.0]])
    with pytest.raises(InputError, match="use 'platt-raw'"):
        Calibrated.fit(constant(3.0, -1.0), [trace], [[1.0, 0.0]])
