"""Mixtures of data sets: exact proportions, the same for a seed, aligned translations, error positions."""

from __future__ import annotations

from collections import Counter

import pytest

from preceptor.annotate.rules import aligned, error_positions, mix, shares
from preceptor.errors import InputError

SETS = {
    "en": [f"en{i}" for i in range(100)],
    "de": [f"de{i}" for i in range(40)],
    "sw": ["sw0", "sw1", "sw2"],
}


def test_shares_add_up_and_give_the_rest_to_the_largest_remainders():
    assert shares({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert shares({"a": 0.5, "b": 0.3, "c": 0.2}, 7) == {"a": 4, "b": 2, "c": 1}
    assert shares({"a": 1, "b": 0}, 5) == {"a": 5, "b": 0}
    for bad in ({}, {"a": 0.0}, {"a": 2.0, "b": -1.0}):
        with pytest.raises(InputError, match="proportions"):
            shares(bad, 5)


def test_a_mixture_has_its_proportions_without_repeats_and_keeps_names_with_items():
    taken = mix(SETS, {"en": 6, "de": 3, "sw": 1}, 20, seed=3)
    assert Counter(name for name, _ in taken) == {"en": 12, "de": 6, "sw": 2}
    assert len(set(taken)) == 20
    assert all(item.startswith(name) for name, item in taken)
    names = [name for name, _ in taken]
    assert names != sorted(names), "sets are interleaved"


def test_a_mixture_depends_on_the_seed_and_on_nothing_else():
    proportions = {"en": 6, "de": 3, "sw": 1}
    taken = mix(SETS, proportions, 20, seed=3)
    swapped = {name: SETS[name] for name in reversed(SETS)}
    assert mix(swapped, dict(reversed(proportions.items())), 20, seed=3) == taken
    assert mix(SETS, proportions, 20, seed=4) != taken
    assert set(taken) <= set(mix(SETS, proportions, 30, seed=3)), "a larger total contains the smaller one"


def test_sets_of_equal_size_are_drawn_independently():
    pair = {"a": range(50), "b": range(50)}
    taken = mix(pair, {"a": 1, "b": 1}, 20)
    assert {i for n, i in taken if n == "a"} != {i for n, i in taken if n == "b"}


def test_a_set_that_is_too_small_is_named_not_repeated():
    with pytest.raises(InputError, match=r"3 items in 'sw', expected 10 of 20"):
        mix(SETS, {"en": 1, "sw": 1}, 20)
    with pytest.raises(InputError, match="0 items in 'fr'"):
        mix(SETS, {"fr": 1}, 5)


def test_a_translation_with_other_steps_is_dropped_and_counted():
    source = ["Add 3.", "So 7."]
    found = aligned(
        [(source, ["3 dazu.", "Also 7."]), (source, ["3 dazu, also 7."]), (source, ["3 dazu.", " "])]
    )
    assert found.kept == (0,)
    assert found.dropped == {"step-count": 1, "empty-step": 1}
    assert aligned([(["a", ""], ["b", ""])]).kept == (0,), "an empty step may stay empty"


def test_error_positions_tell_right_traces_from_unknown_ones():
    found = error_positions({"en": [2, -1, 0, None, 2, -1], "de": []})
    assert found == {"en": {-1: 2, 0: 1, 2: 2, None: 1}, "de": {}}
    assert list(found["en"]) == [-1, 0, 2, None]
    with pytest.raises(InputError, match="'en'"):
        error_positions({"en": [-100]})
