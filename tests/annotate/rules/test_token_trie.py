"""Token values: the example of the entry, a brute-force oracle, and the reduction to copied outcomes."""

from __future__ import annotations

import random

import pytest

from preceptor.annotate.rules import copy_outcome, token_values
from preceptor.errors import InputError


def spell(*words):
    return [[ord(c) for c in word] for word in words]


def test_the_example_of_the_entry():
    values = token_values(spell("ABC", "ABD", "AE"), [1.0, 0.0, 0.0])
    assert values == [(1 / 3, 1 / 2, 1.0), (1 / 3, 1 / 2, 0.0), (1 / 3, 0.0)]


def test_one_sample_has_its_outcome_at_every_token():
    assert token_values(spell("ABC"), [1.0]) == [copy_outcome(1.0, 3)]


def test_values_are_the_success_rate_among_samples_with_the_same_prefix():
    draw = random.Random(0)
    solutions = [[draw.randint(0, 2) for _ in range(draw.randint(1, 6))] for _ in range(60)]
    outcomes = [draw.choice([0.0, 1.0, None]) for _ in solutions]
    for tokens, values in zip(solutions, token_values(solutions, outcomes)):
        assert len(values) == len(tokens)
        for k, value in enumerate(values, start=1):
            shared = [
                z
                for s, z in zip(solutions, outcomes)
                if s[:k] == tokens[:k] and z is not None and len(s) >= k
            ]
            assert value == (sum(shared) / len(shared) if shared else None)


def test_a_token_after_another_prefix_is_another_node():
    assert token_values(spell("AX", "BX"), [1.0, 0.0]) == [(1.0, 1.0), (0.0, 0.0)]


def test_undecided_samples_count_in_no_rate_but_share_it():
    assert token_values(spell("AB", "AC"), [1.0, None]) == [(1.0, 1.0), (1.0, None)]


def test_every_solution_needs_its_outcome():
    with pytest.raises(InputError, match="2 solutions and 1 outcomes"):
        token_values(spell("A", "B"), [1.0])
