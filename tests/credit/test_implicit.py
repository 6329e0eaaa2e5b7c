"""Specifies the methods of implicit reward models (`prime`, `oprl`) by hand-computed numbers.

Run with `python -m pytest tests/credit/test_implicit.py`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from preceptor.credit import (
    METHODS,
    Batch,
    Center,
    CreditConfig,
    Rollout,
    Signals,
    Stream,
    TokenScore,
    compute,
)
from preceptor.credit.baseline import LeaveOneOutScale
from preceptor.credit.pool import StepSums
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome
from preceptor.credit.stats import pair_accuracy
from preceptor.credit.transform import MaxReturnScale, Whiten


def rollout(outcome: float | None, sizes: list[int], prompt: str = "q") -> Rollout:
    ends = np.cumsum([0, *sizes]).tolist()
    return Rollout(prompt, ends[-1], outcome, tuple(pairwise(ends)))


TWO = [rollout(1.0, [2]), rollout(0.0, [1])]
TOKENS = Signals(tokens=((1.0, 3.0), (5.0,)))


def values(*ops: object, rollouts: list[Rollout] = TWO, signals: Signals = TOKENS) -> list[list[float]]:
    got, _ = Stream(TokenScore(), *ops).values(Batch.of(rollouts, signals))  # type: ignore[arg-type]
    return [x.tolist() for x in got]


def test_the_papers_form_compares_a_token_with_the_mean_token_of_the_others() -> None:
    assert values(Center("rollout", "leave_one_out")) == [[1 - 5, 3 - 5], [5 - 2]]


def test_the_codes_form_is_x_times_k_over_k_minus_1_less_the_sum_of_means() -> None:
    # K = 2: 2 x - (2 + 5) / 1
    assert values(Center("rollout", "mean"), LeaveOneOutScale()) == [[2 * 1 - 7, 2 * 3 - 7], [2 * 5 - 7]]


def test_the_two_forms_differ_by_the_tokens_distance_from_its_own_mean_and_agree_on_single_numbers() -> None:
    rng = np.random.default_rng(0)
    rollouts = [rollout(0.0, [n]) for n in (3, 5, 2, 1)]
    signals = Signals(tokens=tuple(tuple(rng.normal(size=r.length)) for r in rollouts))
    exact = values(Center("rollout", "leave_one_out"), rollouts=rollouts, signals=signals)
    code = values(Center("rollout", "mean"), LeaveOneOutScale(), rollouts=rollouts, signals=signals)
    for a, b, x in zip(exact, code, signals.tokens, strict=True):
        np.testing.assert_allclose(b, np.array(a) + (np.array(x) - np.mean(x)) / 3)
    assert exact[3] == pytest.approx(code[3])


def test_the_scale_is_the_largest_absolute_return_of_the_batch() -> None:
    # returns: 4, 3 | 5
    np.testing.assert_allclose(np.concatenate(values(MaxReturnScale())), np.array([1, 3, 5]) / (5 + 1e-6))
    alone = values(MaxReturnScale(), rollouts=TWO[:1], signals=Signals(tokens=((1.0, 3.0),)))
    np.testing.assert_allclose(alone[0], np.array([1, 3]) / (4 + 1e-6))


def test_environment_tokens_are_in_no_mean() -> None:
    rollouts = [Rollout("q", 2, 1.0, ((0, 2),), (True, False)), rollout(0.0, [1])]
    signals = Signals(tokens=((1.0, 99.0), (5.0,)))
    got = values(Center("rollout", "leave_one_out"), rollouts=rollouts, signals=signals)
    np.testing.assert_allclose(np.concatenate(got), [-4, np.nan, 4])


def test_prime_by_hand() -> None:
    # scaled by 5: (.2, .6 | 1); compared: (-.8, -.4 | .6); to go: (-1.2, -.4 | .6); outcome +1, -1
    raw = np.array([1 - 1.2, 1 - 0.4, -1 + 0.6])
    got = np.concatenate(compute(TWO, TOKENS, METHODS["prime"]).advantages)
    np.testing.assert_allclose(got, (raw - raw.mean()) / raw.std(ddof=1), atol=1e-5)


@pytest.mark.parametrize("name", ["prime", "prime_repo", "prime_whole"])
def test_a_reward_model_equal_to_its_reference_leaves_leave_one_out_on_outcomes(name: str) -> None:
    rollouts = [rollout(r, [2, 1]) for r in (1.0, 0.0, 0.0, 1.0)]
    silent = Signals(tokens=((0.0,) * 3,) * 4)
    plain = CreditConfig((Stream(Outcome(), Center("prompt", "leave_one_out")),), after=(Whiten(),))
    got, want = compute(rollouts, silent, METHODS[name]), compute(rollouts, None, plain)
    np.testing.assert_allclose(np.concatenate(got.advantages), np.concatenate(want.advantages), atol=1e-9)


def test_prompts_that_are_too_easy_or_too_hard_are_dropped_before_any_statistic() -> None:
    easy = [rollout(1.0, [1], "easy") for _ in range(4)]
    mixed = [rollout(r, [1]) for r in (1.0, 0.0, 0.0, 1.0)]
    out = compute([*easy, *mixed], Signals(tokens=((50.0,),) * 4 + ((0.5,),) * 4), METHODS["prime"])
    alone = compute(mixed, Signals(tokens=((0.5,),) * 4), METHODS["prime"])
    assert out.keep == (False,) * 4 + (True,) * 4
    np.testing.assert_array_equal(np.concatenate(out.advantages[4:]), np.concatenate(alone.advantages))
    assert out.stats["dropped"] == 4


def test_oprl_by_hand() -> None:
    # step sums 3, 4 | 5, all compared leave-one-out: 3 - 4.5, 4 - 4, 5 - 3.5; outcome +1, -1
    rollouts = [rollout(1.0, [2, 1]), rollout(0.0, [2])]
    signals = Signals(tokens=((1.0, 2.0, 4.0), (2.0, 3.0)))
    out = compute(rollouts, signals, METHODS["oprl"])
    np.testing.assert_allclose(out.advantages[0], [-0.5, -0.5, 1.0])
    np.testing.assert_allclose(out.advantages[1], [0.5, 0.5])
    # the code's baseline sees each trajectory's first step only: 5 and 3
    code = compute(rollouts, signals, METHODS["oprl_repo"])
    np.testing.assert_allclose(code.advantages[0], [1 + 3 - 5, 1 + 3 - 5, 1 + 4 - 5])
    np.testing.assert_allclose(code.advantages[1], [-1 + 5 - 3] * 2)


def test_more_turns_do_not_skew_the_episode_baseline() -> None:
    """With a row a turn, a long trajectory would count several times."""
    rollouts = [rollout(1.0, [1] * 9), rollout(0.0, [1]), rollout(0.0, [1])]
    silent = Signals(tokens=((0.0,) * 9, (0.0,), (0.0,)))
    out = compute(rollouts, silent, METHODS["oprl"])
    assert [float(a[0]) for a in out.advantages] == [1.0, -0.5, -0.5]


def test_step_sums_count_sampled_tokens_and_a_step_without_one_is_absent() -> None:
    r = [Rollout("q", 3, 1.0, ((0, 2), (2, 3), (3, 3)), (True, True, False))]
    got = values(StepSums(), rollouts=r, signals=Signals(tokens=((1.0, 2.0, 9.0),)))
    np.testing.assert_allclose(got[0], [3.0, np.nan, np.nan])


def test_returns_discount_by_the_entry() -> None:
    np.testing.assert_allclose(RewardToGo(0.5).row(np.array([1.0, np.nan, 4.0])), [2.0, np.nan, 4.0])


def test_pair_accuracy_counts_pairs_of_different_outcomes() -> None:
    rollouts = [rollout(r, [1]) for r in (1.0, 0.0, 0.5)]
    # pairs (1, 0) right order, weight 1; (1, .5) wrong, .5; (0, .5) right, .5
    assert pair_accuracy([0.6, 0.1, 0.9], rollouts) == pytest.approx(0.75)
    assert pair_accuracy([0.6, 0.1], [rollout(1.0, [1])] * 2) == 0.5
    assert pair_accuracy([None], [rollout(1.0, [1])]) is None
