"""Specifies the methods whose scores choose what is trained on.

Run with `python -m pytest tests/credit/test_filters.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.credit import METHODS, Batch, Rollout, Signals, compute
from preceptor.credit.ops.brpo import references
from preceptor.credit.ops.prof import Consistency


def grpo(values: list[float]) -> np.ndarray:
    x = np.array(values)
    return (x - x.mean()) / (x.std(ddof=1) + 1e-4)


def scored(outcomes: list[float], scores: list[float | None]) -> tuple[list[Rollout], Signals]:
    """Each rollout two steps with the same mean as its score; no two alike in length."""
    rollouts = [Rollout("q", 2 + i, r, ((0, 1), (1, 2 + i))) for i, r in enumerate(outcomes)]
    return rollouts, Signals(tuple(None if s is None else (s - 0.05, s + 0.05) for s in scores))


def kept(pair: tuple[list[Rollout], Signals], variant: str = "both", **settings: float) -> list[int]:
    return np.flatnonzero(Consistency(variant, **settings)(Batch.of(*pair))).tolist()  # type: ignore[arg-type]


# prof


def test_right_ones_with_low_scores_and_wrong_ones_with_high_scores_are_dropped() -> None:
    pair = scored([1, 1, 1, 1, 0, 0, 0, 0], [0.9, 0.2, 0.8, 0.3, 0.9, 0.2, 0.8, 0.3])
    assert kept(pair) == [0, 2, 5, 7]
    assert compute(*pair, METHODS["prof"]).keep == tuple(i in (0, 2, 5, 7) for i in range(8))


@pytest.mark.parametrize("right, k_right", [(0, 0), (1, 1), (2, 2), (3, 2), (5, 2), (6, 2), (7, 3), (8, 4)])
def test_the_numbers_kept_are_balanced_where_they_can_be(right: int, k_right: int) -> None:
    outcomes = [1.0] * right + [0.0] * (8 - right)
    found = kept(scored(outcomes, np.linspace(0.1, 0.9, 8).tolist()))
    assert len(found) == 4
    assert sum(i < right for i in found) == k_right


def test_of_an_all_right_group_the_lowest_scores_go_and_nothing_is_learned() -> None:
    pair = scored([1.0] * 8, [0.1, 0.8, 0.3, 0.9, 0.2, 0.7, 0.4, 0.6])
    assert kept(pair) == [1, 3, 5, 7]
    assert not any(a.any() for a in compute(*pair, METHODS["prof"]).advantages)


def test_statistics_are_taken_after_the_filter() -> None:
    pair = scored([1, 1, 1, 1, 1, 1, 0, 0], [0.9, 0.2, 0.8, 0.3, 0.4, 0.5, 0.2, 0.3])
    out = compute(*pair, METHODS["prof"])
    assert out.keep == (True, False, True, False, False, False, True, True)
    np.testing.assert_allclose(
        [a[0] for a, k in zip(out.advantages, out.keep, strict=True) if k], grpo([1, 1, 0, 0])
    )
    # with the mean of all eight, a right one would get less
    assert out.advantages[0][0] > grpo([1, 1, 1, 1, 1, 1, 0, 0])[0]
    assert not any(w.any() for w, k in zip(out.token_weights, out.keep, strict=True) if not k)


def test_scores_do_not_reach_the_gradient() -> None:
    outcomes = [1.0, 1, 0, 0]
    a = compute(*scored(outcomes, [0.9, 0.1, 0.1, 0.9]), METHODS["prof"])
    b = compute(*scored(outcomes, [0.6, 0.5, 0.4, 0.5]), METHODS["prof"])
    assert a.keep == b.keep == (True, False, True, False)
    for x, y in zip(a.advantages, b.advantages, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_variant_reads_the_scores_of_one_side_only() -> None:
    outcomes = [1.0] * 4 + [0.0] * 4
    one = scored(outcomes, [0.9, 0.2, 0.8, 0.3, 0.9, 0.2, 0.8, 0.3])
    other = scored(outcomes, [0.9, 0.2, 0.8, 0.3, 0.1, 0.7, 0.1, 0.6])
    assert [i for i in kept(one, "correct_only") if i < 4] == [0, 2]
    assert [i for i in kept(one, "incorrect_only") if i >= 4] == [5, 7]
    assert [i for i in kept(other, "incorrect_only") if i >= 4] == [4, 6]
    draws = {tuple(i for i in kept(one, "correct_only", seed=s) if i >= 4) for s in range(60)}
    assert len(draws) == 6  # any two of the four wrong ones
    assert len({tuple(i for i in kept(one, "incorrect_only", seed=s) if i < 4) for s in range(60)}) == 6


def test_without_separation_a_good_scorer_unbalances_the_group() -> None:
    pair = scored([1, 1, 1, 1, 0, 0, 0, 0], [0.95, 0.9, 0.85, 0.8, 0.4, 0.5, 0.6, 0.7])
    assert kept(pair, "together") == [0, 1, 2, 3]
    assert kept(pair) == [0, 1, 4, 5]


def test_an_unjudged_rollout_goes_before_any_judged_one() -> None:
    assert kept(scored([1, 1, 0, 0], [None, 0.1, 0.9, None])) == [1, 2]
    assert len(kept(scored([1, 1, 0, 0], [None] * 4))) == 2


def test_the_order_of_the_batch_decides_nothing() -> None:
    rollouts, signals = scored([1, 1, 1, 0, 0, 0, 0, 0], [0.5] * 8)
    first = kept((rollouts, signals))
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    assert signals.scores is not None
    mixed = [rollouts[i] for i in order], Signals(tuple(signals.scores[i] for i in order))
    assert sorted(order[i] for i in kept(mixed)) == first


# brpo


def test_advantages_are_1_and_minus_1_as_they_are() -> None:
    rollouts = [Rollout("q", 1, None) for _ in range(5)]
    out = compute(rollouts, Signals(scalars={"preferred": (1.0, 0.0, None, 0.0, 0.0)}), METHODS["brpo"])
    assert [float(a[0]) for a in out.advantages] == [1, -1, 0, -1, -1]
    assert out.keep == (True, True, False, True, True)


@pytest.mark.parametrize(
    "wins, stays", [(0, False), (3, False), (4, True), (20, True), (36, True), (37, False), (40, False)]
)
def test_a_prompt_that_leans_too_far_is_dropped(wins: int, stays: bool) -> None:
    # 40 comparisons: 4 wins and 36 losses have mean -.8, the bound
    rollouts = [Rollout("q", 1, None) for _ in range(41)]
    preferred = (None, *(float(i < wins) for i in range(40)))
    out = compute(rollouts, Signals(scalars={"preferred": preferred}), METHODS["brpo"])
    assert any(out.keep) is stays


def test_every_rollout_is_compared_with_one_of_its_own_group() -> None:
    prompts = list("abacbaacb")
    drawn = references(prompts, seed=1)
    for i, (prompt, (reference, _)) in enumerate(zip(prompts, drawn, strict=True)):
        assert prompts[reference] == prompt
        assert drawn[reference].reference == reference, i
    assert drawn == references(prompts, seed=1)


def test_reference_and_order_are_drawn_anew_each_update() -> None:
    drawn = [references(["q"] * 4, step=s) for s in range(400)]
    counts = np.bincount([d[0].reference for d in drawn], minlength=4)
    assert counts.min() > 70
    assert 0.45 < np.mean([c.first for d in drawn for c in d]) < 0.55


def test_with_an_order_consistent_judge_swapping_flips_the_sign_and_the_mean_is_0() -> None:
    quality = [0.3, 0.9, 0.1, 0.5]

    def advantage(candidate: int, reference: int) -> float:
        preferred = [None] * 4
        preferred[candidate] = float(quality[candidate] > quality[reference])  # type: ignore[call-overload]
        # a second group's worth of losses and wins keeps the prompt balanced
        filler = [Rollout("q", 1, None) for _ in range(8)]
        scalars = {"preferred": (*preferred, *(float(i % 2) for i in range(8)))}
        rollouts = [Rollout("q", 1, None) for _ in range(4)] + filler
        return float(compute(rollouts, Signals(scalars=scalars), METHODS["brpo"]).advantages[candidate][0])

    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    for i, j in pairs:
        assert advantage(i, j) == -advantage(j, i) != 0
    assert sum(advantage(i, j) for i, j in pairs) == 0
