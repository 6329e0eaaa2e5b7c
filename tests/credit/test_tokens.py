"""Specifies `r3l`, `rlfr` and `echo` by hand-computed numbers.

Run with `python -m pytest tests/credit/test_tokens.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.credit import METHODS, CreditConfig, Rollout, Signals, Stream, compute
from preceptor.credit.ops.rlfr import Deviations
from preceptor.credit.sources import Outcome


def group(*outcomes: float | None, length: int = 2) -> list[Rollout]:
    return [Rollout("q", length, r, ((0, 1), (1, length))) for r in outcomes]


def firsts(name: str, rollouts: list[Rollout]) -> list[float]:
    return [float(a[0]) for a in compute(rollouts, None, METHODS[name]).advantages]


# R3L


def test_solved_rollouts_count_1_better_ones_three_times_and_worse_ones_as_they_are() -> None:
    (stream,) = METHODS["r3l"].streams
    weights = replace_weight(stream, 1.0)
    got = [a.tolist() for a in compute(group(1.0, 0.5, 0.1, 0.0), None, CreditConfig((weights,))).advantages]
    np.testing.assert_allclose([a[0] for a in got], [1, 3 * 0.1, -0.3, -0.4])
    np.testing.assert_allclose(
        firsts("r3l", group(1.0, 0.5, 0.1, 0.0)), [0.5, 0.15, -0.15, -0.2]
    )  # 1 / (1 + tau)


def replace_weight(stream: Stream, weight: float) -> Stream:
    return Stream(stream.source, *stream.ops, weight=weight)


def test_a_group_of_failures_has_no_positive_weight_and_one_of_successes_imitates_all() -> None:
    assert firsts("r3l", group(0.0, 0.0, 0.0)) == [0, 0, 0]
    assert max(firsts("r3l", group(-1.0, -1.0))) <= 0
    assert firsts("r3l", group(1.0, 1.0)) == [0.5, 0.5]


def test_a_reflection_with_reward_1_is_learned_from_though_it_is_alone() -> None:
    assert firsts("r3l", [*group(0.0, 1.0), Rollout("reflection", 1, 1.0)]) == [-0.25, 0.5, 0.5]


def test_the_shared_prefix_before_the_pivot_has_neither_advantage_nor_weight() -> None:
    attempt, retry = (replace(r, pivot=1) for r in group(0.0, 1.0, length=4))
    out = compute([attempt, replace(retry, off_policy=True)], None, METHODS["r3l"])
    assert [a.tolist() for a in out.advantages] == [[0, -0.25, -0.25, -0.25], [0, 0.5, 0.5, 0.5]]
    assert [w.tolist() for w in out.token_weights] == [[0, 1, 1, 1]] * 2


# RLFR


def test_odd_tokens_are_charged_by_their_scaled_error() -> None:
    np.testing.assert_allclose(
        Deviations().row(np.array([2.0, 7.0, 8.0, 10.0, np.nan, 12.0])),
        [0, 0, 0, -0.008, np.nan, -0.01],
        atol=1e-12,
    )  # 7 and 8 scale to 0.5 and exactly 0.6


def test_at_most_15_tokens_are_shaped_and_never_by_more_than_015_together() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rewards = Deviations().row(rng.normal(size=rng.integers(1, 200)) ** 2)
        assert (rewards != 0).sum() <= 15
        assert -0.15 <= rewards.sum() <= 0
        assert rewards.max() <= 0
    flat = Deviations().row(np.array([*[0.0] * 5, *[1.0] * 40]))
    assert (flat != 0).sum() == 15
    assert flat.sum() == pytest.approx(-0.15)


def test_the_top_15_are_kept_and_fewer_than_15_are_all_kept() -> None:
    errors = np.linspace(0, 1, 101)
    rewards = Deviations().row(errors)
    assert np.flatnonzero(rewards).tolist() == list(range(86, 101))
    np.testing.assert_allclose(rewards[86:], -0.01 * errors[86:])
    assert np.flatnonzero(Deviations().row(np.arange(11.0))).tolist() == [7, 8, 9, 10]
    assert not Deviations().row(np.full(4, 0.7)).any()


def test_a_charge_is_summed_to_the_end_beside_the_groups_outcome() -> None:
    rollouts = [replace(r, length=4, spans=((0, 1), (1, 4))) for r in group(1.0, 0.0)]
    masked = replace(rollouts[1], model_mask=(True, True, False, True))
    signals = Signals(tokens=((0.0, 1.0, 0.5, 0.7), (1.0, 0.0, 99.0, 0.0)))
    high = 0.5 / (0.5**0.5 + 1e-4)
    got = compute([rollouts[0], masked], signals, METHODS["rlfr"]).advantages
    np.testing.assert_allclose(got[0], high + np.array([-0.017, -0.017, -0.007, -0.007]))
    np.testing.assert_allclose(got[1], [-high - 0.01, -high, 0, -high])  # the tool's text is not scored


def test_with_coefficient_0_it_is_grpo() -> None:
    outcome, shaping = METHODS["rlfr"].streams
    config = CreditConfig((outcome, Stream(shaping.source, Deviations(cost=0.0), *shaping.ops[1:])))
    rollouts = group(1.0, 0.0, 0.0)
    signals = Signals(tokens=((0.0, 1.0), (0.3, 0.4), (1.0, 0.0)))
    got, want = compute(rollouts, signals, config), compute(rollouts, None, METHODS["outcome"])
    np.testing.assert_allclose(got.advantages, want.advantages)


# ECHO


def test_echos_policy_gradient_is_grpos() -> None:
    assert METHODS["echo"].streams == METHODS["outcome"].streams
    assert isinstance(METHODS["echo"].streams[0].source, Outcome)
    equal = compute(group(1.0, 1.0), None, METHODS["echo"])
    assert equal.keep == (True, True)  # its auxiliary loss reads groups without variance too
