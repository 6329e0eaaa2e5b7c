"""Specifies the exact estimators: every formula equals the average over all subsets."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.bench.estimators import bon_at_k, maj_at_k, pass_at_k, subsets, weighted_at_k

Pool = tuple[list[str | None], list[float | None], list[bool]]


@st.composite
def pools(draw: st.DrawFn, unscored: bool = True) -> Pool:
    n = draw(st.integers(1, 8))
    classes = draw(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=n, max_size=n))
    some = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    scores = draw(st.lists(st.none() | some if unscored else some, min_size=n, max_size=n))
    right = draw(st.sets(st.sampled_from(["a", "b", "c", "d"])))
    return classes, scores, [c in right for c in classes]


def average(n: int, k: int, worth: Callable[[tuple[int, ...]], float]) -> float:
    return sum(worth(s) for s in combinations(range(n), k)) / comb(n, k)


def shared(tied: list[bool]) -> float:
    return sum(tied) / len(tied) if tied else 0.0


def vote(pool: Pool, subset: tuple[int, ...], weight: Callable[[int], float]) -> float:
    classes, _, correct = pool
    mass: dict[str, float] = {}
    for i in subset:
        name = classes[i]
        if name is not None:
            mass[name] = mass.get(name, 0.0) + weight(i)
    if not mass:
        return 0.0
    top = max(mass.values())
    return shared([correct[classes.index(name)] for name, m in mass.items() if m == top])


def best(pool: Pool, subset: tuple[int, ...]) -> float:
    classes, scores, correct = pool
    scored = [i for i in subset if classes[i] is not None and scores[i] is not None]
    if not scored:
        return vote(pool, subset, lambda i: 1.0)
    top = max(scores[i] or 0.0 for i in scored)
    return shared([correct[i] for i in scored if scores[i] == top])


def test_hand_examples() -> None:
    assert pass_at_k(4, 1, 2) == 0.5
    assert pass_at_k(10, 3, 5) == pytest.approx(11 / 12)
    assert pass_at_k(5, 4, 2) == 1.0
    assert bon_at_k([0.1, 0.2, 0.9], [True, False, True], 2) == pytest.approx(2 / 3)
    assert bon_at_k([0.9, 0.2, 0.1], [False, True, True], 2) == pytest.approx(1 / 3)
    assert maj_at_k(["a", "a", "b"], [True, True, False], 3) == 1.0
    assert maj_at_k(["a", "b"], [True, False], 2) == 0.5


@given(pools())
@settings(max_examples=150, deadline=None)
def test_pass_majority_and_best_equal_the_average_over_all_subsets(pool: Pool) -> None:
    classes, scores, correct = pool
    n = len(classes)
    for k in range(1, n + 1):
        assert pass_at_k(n, sum(correct), k) == pytest.approx(
            average(n, k, lambda s: float(any(correct[i] for i in s)))
        )
        assert maj_at_k(classes, correct, k) == pytest.approx(
            average(n, k, lambda s: vote(pool, s, lambda i: 1.0))
        )
        assert bon_at_k(scores, correct, k, classes) == pytest.approx(average(n, k, lambda s: best(pool, s)))


@given(pools())
@settings(max_examples=100, deadline=None)
def test_weighted_vote_equals_the_average_over_all_subsets_where_they_are_few(pool: Pool) -> None:
    classes, scores, correct = pool
    n = len(classes)
    for k in range(1, n + 1):
        mask, exact = subsets(n, k)
        assert exact

        def worth(s: tuple[int, ...]) -> float:
            weights = [scores[i] or 0.0 for i in s if classes[i] is not None]
            return vote(pool, s, (lambda i: scores[i] or 0.0) if any(weights) else (lambda i: 1.0))

        row = [np.nan if s is None else s for s in scores]
        got = weighted_at_k([row, row], classes, correct, mask)
        assert got[0] == got[1] == pytest.approx(average(n, k, worth))


@given(pools(unscored=False))
def test_constant_scores_give_the_mean_accuracy_and_constant_weights_the_majority(pool: Pool) -> None:
    classes, _, correct = pool
    n = len(classes)
    for k in range(1, n + 1):
        assert bon_at_k([0.3] * n, correct, k) == pytest.approx(sum(correct) / n)
        mask, _ = subsets(n, k)
        # 0.1 + 0.1 + 0.1 is not 0.3 in floating point: equal sums must still tie
        assert weighted_at_k([0.1] * n, classes, correct, mask)[0] == pytest.approx(
            maj_at_k(classes, correct, k)
        )


@given(pools(unscored=False))
def test_every_choice_lies_between_the_worst_and_the_oracle(pool: Pool) -> None:
    classes, scores, correct = pool
    n = len(classes)
    for k in range(1, n + 1):
        top = pass_at_k(n, sum(correct), k)
        low = 1 - pass_at_k(n, n - sum(correct), k)
        assert low - 1e-12 <= bon_at_k(scores, correct, k) <= top + 1e-12
        assert maj_at_k(classes, correct, k) <= top + 1e-12
        assert bon_at_k([float(c) for c in correct], correct, k) == pytest.approx(top)


def test_drawn_subsets_are_without_replacement_reproducible_and_tied_to_their_key() -> None:
    mask, exact = subsets(32, 8, key="p1")
    assert not exact
    assert (mask.sum(axis=1) == 8).all()
    assert (mask == subsets(32, 8, key="p1")[0]).all()
    assert (mask != subsets(32, 8, key="p2")[0]).any()


def test_drawn_majorities_agree_with_the_count_of_all_subsets() -> None:
    classes: list[str | None] = list("aaaaaaaaabbbbbbbbcccccddde") + [None] * 6
    correct = [c == "b" for c in classes]
    mask, _ = subsets(32, 8, limit=20_000)
    drawn = weighted_at_k([1.0] * 32, classes, correct, mask)[0]
    assert drawn == pytest.approx(maj_at_k(classes, correct, 8), abs=0.01)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="1 <= k <= n"):
        pass_at_k(3, 1, 4)
    with pytest.raises(ValueError, match="one entry per candidate"):
        maj_at_k(["a"], [True, False], 1)
    with pytest.raises(ValueError, match=">= 0"):
        weighted_at_k([-1.0], ["a"], [True], subsets(1, 1)[0])
