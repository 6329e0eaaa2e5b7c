"""Specifies weights and their redrawing by numbers."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.search.sampling.resampling import effective_size, log_odds, multinomial, normalized, systematic

WEIGHTS = st.lists(st.floats(0, 1), min_size=1, max_size=9).filter(lambda ws: sum(ws) > 1e-3)


def test_weights_are_odds() -> None:
    weights = normalized([log_odds(r) for r in (0.9, 0.5, 0.1)])
    total = 9 + 1 + 1 / 9
    assert weights == pytest.approx([9 / total, 1 / total, 1 / 9 / total])
    assert [round(w, 3) for w in weights] == [0.89, 0.099, 0.011]
    assert normalized([log_odds(0.9), log_odds(0.1)], 2.0) == pytest.approx([0.9, 0.1])


def test_scores_of_zero_and_one_have_finite_weights_and_others_are_refused() -> None:
    assert log_odds(1.0) == pytest.approx(-log_odds(0.0)) == pytest.approx(math.log(1e7), abs=1e-6)
    with pytest.raises(ValueError, match="expected a probability"):
        log_odds(1.2)


def test_unknown_weights_are_not_those_of_the_dead() -> None:
    assert normalized([None, 0.0, 0.0]) == [0.0, 0.5, 0.5]
    assert normalized([None, None, -math.inf]) == [0.5, 0.5, 0.0]
    assert normalized([-math.inf, -3.0]) == [0.0, 1.0]
    assert normalized([-math.inf] * 2) == [0.5, 0.5]


def test_effective_size_goes_from_one_to_all() -> None:
    assert effective_size([0.25] * 4) == pytest.approx(4)
    assert effective_size([1.0, 0.0, 0.0]) == 1
    assert effective_size([0.5, 0.5, 0.0]) == pytest.approx(2)


@given(WEIGHTS, st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=200, deadline=None)
def test_systematic_draws_give_floor_or_ceil_of_the_expected_copies(
    raw: list[float], count: int, seed: int
) -> None:
    weights = [w / sum(raw) for w in raw]
    copies = Counter(systematic(weights, count, np.random.default_rng(seed)))
    assert copies.total() == count
    for i, w in enumerate(weights):
        assert math.floor(count * w - 1e-9) <= copies[i] <= math.ceil(count * w + 1e-9)


@pytest.mark.parametrize("draw", [multinomial, systematic])
def test_expected_copies_are_the_weights(draw) -> None:  # type: ignore[no-untyped-def]
    weights, copies = [0.6, 0.3, 0.1, 0.0], Counter[int]()
    for seed in range(3000):
        copies.update(draw(weights, 3, np.random.default_rng(seed)))
    assert [copies[i] / 9000 for i in range(4)] == pytest.approx(weights, abs=0.02)
    assert copies[3] == 0
