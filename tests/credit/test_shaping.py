"""Specifies the methods that turn step scores into rewards, by the numbers of their publications.

Run with `python -m pytest tests/credit/test_shaping.py`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from preceptor.credit import (
    METHODS,
    Batch,
    CreditConfig,
    Progress,
    Rollout,
    Signals,
    StepScore,
    Stream,
    compute,
)
from preceptor.credit.mix import Add
from preceptor.credit.ops.clip_delta import Clip, Delta
from preceptor.credit.ops.easy_to_hard import Bonus, NewLow
from preceptor.credit.ops.pspo_wrs import Growth, Weibull
from preceptor.credit.ops.vsrm import LookAhead
from preceptor.credit.pool import Pool
from preceptor.credit.returns import RewardToGo, gae
from preceptor.credit.transform import Signed, Softmin, Whiten
from preceptor.errors import InputError
from preceptor.judgement import Question


def rollout(outcome: float | None, sizes: list[int]) -> Rollout:
    ends = np.cumsum([0, *sizes]).tolist()
    return Rollout("q", ends[-1], outcome, tuple(pairwise(ends)))


def values(scores: list[float | None], *ops: object, outcome: float = 0.0) -> list[float]:
    """Of one rollout with a token a step, after the operations."""
    batch = Batch.of([rollout(outcome, [1] * len(scores))], Signals((tuple(scores),)))
    got, _ = Stream(StepScore(), *ops).values(batch)  # type: ignore[arg-type]
    return [float(x) for x in got[0]]


def whitened(raw: list[float]) -> np.ndarray:
    return (np.array(raw) - np.mean(raw)) / np.std(raw, ddof=1)


# shepherd_ppo


def test_a_reward_stands_at_the_last_token_of_each_step_and_nowhere_else() -> None:
    r = [rollout(1.0, [3, 2, 4])]
    (got,) = Stream(StepScore(), on="end").tokens(Batch.of(r, Signals(((0.9, 0.5, 0.8),))))
    assert np.flatnonzero(~np.isnan(got)).tolist() == [2, 4, 8]
    np.testing.assert_allclose(got[[2, 4, 8]], [0.9, 0.5, 0.8])


def test_summed_scores_by_hand_pay_for_more_steps() -> None:
    rollouts = [rollout(1.0, [1, 1]), rollout(0.0, [1])]
    out = compute(rollouts, Signals(((0.9, 0.8), (0.9,))), METHODS["shepherd_ppo"])
    np.testing.assert_allclose(np.concatenate(out.advantages), whitened([1.7, 0.8, 0.9]), atol=1e-6)
    assert out.advantages[0][0] > out.advantages[1][0]


def test_dropping_all_but_the_last_score_gives_ppo_on_an_outcome_reward_model() -> None:
    rollouts = [rollout(1.0, [1, 1]), rollout(0.0, [1, 2])]
    last = Signals(((0.0, 0.8), (0.0, 0.1)))
    got = compute(rollouts, last, METHODS["shepherd_ppo"])
    orm = compute(rollouts, Signals(((0.3, 0.8), (0.7, 0.1))), METHODS["shepherd_orm"])
    np.testing.assert_allclose(np.concatenate(got.advantages), np.concatenate(orm.advantages))


def test_estimates_with_a_critic_skip_environment_tokens() -> None:
    rewards, critic = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.25, 1.0])
    plain = gae(rewards, critic, np.ones(3, bool), gamma=0.5, lam=0.5)[0]
    # backwards: 2 - 1; 1 + .5 * 1 - .25 + .25 * 1; 0 + .5 * .25 - .5 + .25 * 1.5
    np.testing.assert_allclose(plain, [0.0, 1.5, 1.0])
    wide, mask = np.zeros(5), np.array([True, False, True, False, True])
    wide[mask] = rewards
    loud = np.full(5, 99.0)
    loud[mask] = critic
    advantages, returns = gae(wide, loud, mask, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(advantages[mask], plain)
    np.testing.assert_allclose(returns, [0.5, 0, 1.75, 0, 2.0])
    assert not advantages[~mask].any()


def test_with_gamma_and_lambda_1_and_no_critic_an_estimate_is_the_reward_to_go() -> None:
    rewards = np.array([0.9, -0.8, 0.5])
    np.testing.assert_allclose(gae(rewards, np.zeros(3), np.ones(3, bool))[0], RewardToGo().row(rewards))


# agg_rewards


@pytest.mark.parametrize("by, expected", [("mean", 2.2 / 3), ("product", 0.36), ("max", 0.9), ("min", 0.5)])
def test_aggregations_of_the_published_example(by: str, expected: float) -> None:
    assert values([0.9, 0.5, 0.8], Pool(by)) == pytest.approx([expected])  # type: ignore[arg-type]
    assert values([0.7], Pool(by)) == [0.7]  # type: ignore[arg-type]
    assert values([None, 0.7], Pool(by)) == [0.7]  # type: ignore[arg-type]
    assert np.isnan(values([None], Pool(by))).all()  # type: ignore[arg-type]


def test_products_and_sums_of_logarithms_rank_alike() -> None:
    rows = np.random.default_rng(0).uniform(0.1, 1, (20, 4))
    products = [values(row.tolist(), Pool("product"))[0] for row in rows]
    assert np.argsort(products).tolist() == np.argsort(np.log(rows).sum(1)).tolist()


@pytest.mark.parametrize("name, rewards", [("", [0.7, 0.8]), ("_prod", [0.45, 0.8]), ("_max", [0.9, 0.8])])
def test_a_pooled_score_is_compared_with_that_of_the_others(name: str, rewards: list[float]) -> None:
    signals = Signals(((0.9, 0.5), (0.8,)))
    out = compute([rollout(1.0, [1, 1]), rollout(0.0, [1])], signals, METHODS[f"agg_rewards{name}"])
    np.testing.assert_allclose(
        np.concatenate(out.advantages), np.array([1, 1, -1]) * (rewards[0] - rewards[1])
    )


# easy_to_hard


def test_only_new_lows_are_charged_and_the_bonus_is_spread() -> None:
    scores: list[float | None] = [0.9, 0.7, 0.8, 0.4]
    np.testing.assert_allclose(values(scores, NewLow()), [-0.1, -0.2, 0.0, -0.3])
    got = values(scores, NewLow(), Bonus(0.25))
    np.testing.assert_allclose(got, [-0.0375, -0.1375, 0.0625, -0.2375], atol=1e-7)
    assert sum(got) == pytest.approx(-0.35)
    np.testing.assert_allclose(values([0.5, 0.5, None], NewLow("product")), [-0.5, -0.25, np.nan])
    np.testing.assert_allclose(values([1.5, 0.5], NewLow()), [0.0, -0.5])


def test_more_good_steps_earn_no_more_than_the_constant_budget() -> None:
    totals = [sum(values([0.9] * n, NewLow(), Bonus())) for n in (1, 5, 50)]
    np.testing.assert_allclose(totals, -0.1 + 0.25, atol=1e-5)


def test_easy_to_hard_by_hand() -> None:
    # rewards (-.1, -.5) + .125 each, outcome 1 on the last; the other: 0 + .25, outcome 0
    out = compute(
        [rollout(1.0, [1, 1]), rollout(0.0, [1])], Signals(((0.9, 0.4), (1.0,))), METHODS["easy_to_hard"]
    )
    np.testing.assert_allclose(np.concatenate(out.advantages), whitened([0.65, 0.625, 0.25]), atol=1e-5)


# clip_delta


def test_clip_and_delta_of_the_published_example() -> None:
    r: list[float | None] = [0.7, 0.2, 0.4, 0.8]
    np.testing.assert_allclose(values(r, Delta()), [0.5, -0.2, 0.4, 0.0])
    np.testing.assert_allclose(values(r, Delta(), RewardToGo()), [0.7, 0.2, 0.4, 0.0], atol=1e-12)
    np.testing.assert_allclose(values(r, Clip(0.5)), [0.0, -0.3, -0.1, 0.0])
    np.testing.assert_allclose(values(r, Clip(0.5), Delta()), [0.3, -0.2, -0.1, 0.0])
    np.testing.assert_allclose(values([0.7, None, 0.4, 0.8], Delta()), [0.3, np.nan, 0.4, 0.0])
    assert values([0.7], Delta()) == [0.0]


def test_repeating_a_step_never_raises_the_clip_return_and_returns_are_bounded() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        r = rng.random(rng.integers(2, 8)).tolist()
        at = int(rng.integers(0, len(r)))
        repeated = [*r[: at + 1], *r[at:]]
        assert values(repeated, Clip(), RewardToGo())[0] <= values(r, Clip(), RewardToGo())[0] + 1e-12
        assert max(values(r, Clip(), RewardToGo())) <= 1e-12
        assert max(values(r, Delta(), RewardToGo())) <= max(r) + 1e-12


def test_clip_delta_by_hand() -> None:
    # clipped (0, -.3, .), delta (.3, -.3, 0), outcome on the last: to go (1, .7, 1); the other (0, 0): 0
    rollouts = [rollout(1.0, [1, 1, 1]), rollout(0.0, [1, 1])]
    out = compute(rollouts, Signals(((0.7, 0.2, 0.9), (0.6, 0.6))), METHODS["clip_delta"])
    np.testing.assert_allclose(out.advantages[0], [1.0, 0.7, 1.0])
    np.testing.assert_allclose(out.advantages[1], [-1.0, -1.0])


# pspo_wrs


def test_the_curve_of_the_number_of_steps_has_the_published_values() -> None:
    h = Weibull()
    # h(1) is .6809 on the curve; the method gives a text of one step 0
    assert h.factor(1) == 0.0
    got = [h.factor(n) for n in (2, 3, 4, 5, 6, 8, 12)]
    np.testing.assert_allclose(got, [0.8882, 0.9797, 0.9994, 0.9709, 0.9104, 0.7405, 0.3926], atol=1e-4)
    assert max(range(2, 30), key=h.factor) == 4


def test_the_reward_is_the_geometric_mean_times_the_curve_and_0_with_an_impossible_step() -> None:
    assert values([0.9, 0.4], Pool("geometric"), Weibull()) == pytest.approx([0.6 * Weibull().factor(2)])
    assert values([0.9, 0.0, 0.9], Pool("geometric"), Weibull()) == [0.0]
    assert values([0.9], Pool("geometric"), Weibull()) == [0.0]


def test_the_other_curve_grows_to_four_steps_and_then_by_the_score() -> None:
    ff = Growth()
    assert ff.factor(0.5, 4) == pytest.approx(0.5 * np.exp(2))
    b, g = np.exp(2), 1 / (1 + np.exp(-60))
    assert ff.factor(0.9, 10) == pytest.approx(0.9 * b * (1 - g) + 0.9 * b * np.exp(0.6) * g)
    assert ff.factor(0.1, 10) == pytest.approx(0.1 * b * np.exp(-0.6), rel=1e-6)
    assert ff.factor(0.5, 10) == pytest.approx(0.5 * b * np.exp(0.6 * (0.5 - 0.21159) / 0.88433), rel=1e-6)
    assert values([0.5, 0.5], Pool("geometric"), Growth()) == pytest.approx([0.25 * np.e])


# vsrm


def test_a_cut_without_a_change_looks_ahead() -> None:
    np.testing.assert_allclose(values([0.2, 0.2, 0.6], LookAhead()), [0.28, 0.4, 0.0])
    np.testing.assert_allclose(values([0.6, 0.6, 0.6, 0.2], LookAhead())[:3], [-0.196, -0.28, -0.4])
    np.testing.assert_allclose(values([0.2, None, 0.6], LookAhead()), [0.4, np.nan, 0.0])


def test_behind_four_zeros_nothing_is_seen_and_without_a_change_nothing_is_earned() -> None:
    flat = [0.2] * 5
    assert values([*flat, 0.2, 0.6], LookAhead())[0] == 0.0
    assert values([*flat, 0.6], LookAhead())[0] == pytest.approx(0.4 * 0.7**4)
    assert values([0.2] * 4, LookAhead()) == [0.0] * 4


def test_the_outcome_stands_on_the_last_token_and_without_a_cut_is_all_there_is() -> None:
    assert values([0.2, 0.2, 0.6], LookAhead(), Add(), outcome=1.0) == pytest.approx([0.28, 0.4, 1.0])
    rollouts = [rollout(1.0, [2]), rollout(0.0, [3])]
    out = compute(rollouts, Signals(((0.5,), (0.5,))), METHODS["vsrm"])
    np.testing.assert_allclose(np.concatenate(out.advantages), whitened([1, 1, 0, 0, 0]), atol=1e-6)


# pure


def test_softmin_rewards_and_returns_of_the_published_example() -> None:
    got = Softmin(0.1).row(np.array([0.9, -0.8, 0.5]))
    np.testing.assert_allclose(got, [3.7e-8, -0.79999816, 1.13e-6], rtol=1e-2)
    np.testing.assert_allclose(RewardToGo().row(got), [-0.8, -0.8, 0.0], atol=3e-6)
    np.testing.assert_allclose(RewardToGo().row(np.array([0.9, -0.8, 0.5])), [0.6, -0.3, 0.5])
    assert Softmin(0.001).row(np.array([0.3, 0.1, 0.9])).sum() == pytest.approx(0.1)
    np.testing.assert_allclose(Softmin(0.1).row(np.array([np.nan, 0.5])), [np.nan, 0.5])


def test_softmin_pure_is_charged_by_tokens_and_its_ablation_by_steps() -> None:
    # signed 1, -1 | 0: softmin rewards 0, -1 | 0 (T = .1); tokens 1, 2 | 2. Rates of the other: 0 and -1/3.
    rollouts = [rollout(1.0, [1, 2]), rollout(1.0, [2])]
    signals = Signals(((1.0, 0.0), (0.5,)), Question.VALIDITY)
    out = compute(rollouts, signals, METHODS["pure_softmin"])
    # the last token of the first step is a separator
    np.testing.assert_allclose(out.advantages[0], [0.0, -1.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(out.advantages[1], [2 / 3, 2 / 3], atol=1e-6)
    steps = compute(rollouts, signals, METHODS["pure_softmin_step"])
    np.testing.assert_allclose(steps.advantages[1], [0.5, 0.5], atol=1e-6)


def test_the_step_baseline_pays_for_fewer_longer_steps_and_the_token_baseline_does_not() -> None:
    """Two texts of equal length and quality, one cut into four steps and one left whole."""
    rollouts = [rollout(1.0, [2, 2, 2, 2]), rollout(1.0, [8])]
    signals = Signals(((0.1,) * 4, (0.1,)), Question.VALIDITY)

    def gap(name: str) -> float:
        cut, whole = compute(rollouts, signals, METHODS[name]).advantages
        return abs(float(whole[0] - cut[0]))

    assert gap("pure_softmin") == pytest.approx(0.0, abs=1e-9)
    assert gap("pure_softmin_step") > 0.5


def test_whitened_pure_has_mean_0_and_variance_1_and_leaves_separators_alone() -> None:
    rollouts = [rollout(1.0, [2, 2]), rollout(0.0, [3])]
    signals = Signals(((0.9, 0.2), (0.6,)), Question.VALIDITY)
    out = compute(rollouts, signals, METHODS["pure_whitened"])
    assert out.advantages[0][1] == 0.0
    raw = CreditConfig(METHODS["pure_whitened"].streams, after=(Whiten(),))
    full = np.concatenate(compute(rollouts, signals, raw).advantages)
    assert (full.mean(), full.std(ddof=1)) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_signed_is_the_difference_of_the_two_probabilities() -> None:
    np.testing.assert_allclose(Signed().row(np.array([0.95, 0.1, 0.75])), [0.9, -0.8, 0.5])


# pav


def test_the_best_of_k_potential_is_differenced() -> None:
    r = [rollout(1.0, [1, 1])]
    (got,) = Progress(best_of=4)(Batch.of(r, Signals(((0.5, 0.1),), start=(0.25,))))
    best = [1 - (1 - v) ** 4 for v in (0.25, 0.5, 0.1)]
    np.testing.assert_allclose(got, np.diff(best))


def test_instant_progress_stands_beside_the_outcome_unsummed() -> None:
    rollouts = [rollout(1.0, [1, 1]), rollout(0.0, [1])]
    signals = Signals(((1.0, 0.0), (0.0,)), start=(0.0, 0.0))
    out = compute(rollouts, signals, METHODS["pav"])
    np.testing.assert_allclose(out.advantages[0], [1 + 5, 1 - 5])
    np.testing.assert_allclose(out.advantages[1], [-1.0])


def test_summed_progress_is_the_outcome_with_another_baseline() -> None:
    # to go from the first step: 5 (V(end) - V(start)) + R, whatever lies between
    rollouts = [rollout(1.0, [1, 1]), rollout(0.0, [1, 1])]

    def first(middle: float) -> float:
        signals = Signals(((middle, 1.0), (0.3, 0.0)), start=(0.0, 0.0))
        return float(compute(rollouts, signals, METHODS["pav_sum"]).advantages[0][0])

    assert first(0.1) == pytest.approx(first(0.9)) == pytest.approx(6.0)


def test_a_best_of_k_of_anything_but_a_value_is_refused() -> None:
    with pytest.raises(InputError, match="got scores that answer 'validity', expected value"):
        compute([rollout(1.0, [1])], Signals(((0.5,),), Question.VALIDITY), METHODS["pav"])
