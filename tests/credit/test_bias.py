"""Specifies the verdicts on known methods: who pays for more or fewer steps, who for repeats, who telescopes.

Run with `python -m pytest tests/credit/test_bias.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from preceptor.credit import METHODS, Center, CreditConfig, Outcome, StepScore, Stream
from preceptor.credit.bias import LEVELS, repetition, shift, step_count, telescopes, trend, written
from preceptor.credit.returns import RewardToGo

every_method = pytest.mark.parametrize("name", METHODS)
OUTCOME_ONLY = [n for n, c in METHODS.items() if c.needs <= {"outcome", "answer", "scalars.visits"}]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([0, 1, 2], "more"),
        ([2, 1, 1], "fewer"),
        ([1, 1, 1 + 1e-9], "none"),
        ([0, 1, 0], "about 4"),
        ([1, 0, 1], "not 4"),
    ],
)
def test_trend(row: list[float], said: str) -> None:
    assert trend(np.array(row, dtype=float)) == said


def test_the_cuts_of_one_text_have_the_same_tokens_and_opinions() -> None:
    for steps in (2, 4, 8):
        text = written(True, steps)
        assert (len(text.sizes), sum(text.sizes), len(text.tokens)) == (steps, 24, 24)
        assert set(text.ratings) == {LEVELS["middle"][0]}
        assert text.potentials[-1] == pytest.approx(0.9)


@pytest.mark.parametrize("name", OUTCOME_ONLY)
def test_methods_of_the_outcome_alone_do_not_see_steps(name: str) -> None:
    config = METHODS[name]
    assert step_count(config).verdict == "none"
    assert step_count(config).size < 1e-9
    assert np.abs(repetition(config)).max() < 1e-9
    assert telescopes(config) == "-"


def test_summed_scores_pay_for_more_steps_and_for_every_repeat_again() -> None:
    summed = METHODS["shepherd_ppo"]
    assert step_count(summed).verdict == "more"
    assert step_count(summed).size > 1
    # n repeats of score .7 more to go, in units of the gap of two steps of .65 or .35 to go
    assert repetition(summed, (1, 2, 4)) == pytest.approx(np.array([1, 2, 4]) * 0.7 / 0.6, abs=1e-3)


def test_a_baseline_per_step_pays_for_fewer_steps_once_scores_are_high_and_one_per_token_does_not() -> None:
    per_step, per_token = step_count(METHODS["pure_softmin_step"]), step_count(METHODS["pure_softmin"])
    assert per_step.verdict == "more at low scores, fewer at high scores"
    assert per_step.size > 5 * per_token.size
    assert step_count(METHODS["pure"]).verdict == "none"


def test_a_naive_group_baseline_does_not_mend_summed_scores() -> None:
    naive = CreditConfig(
        (Stream(Outcome(), Center("prompt")), Stream(StepScore(), RewardToGo(), Center("prompt")))
    )
    assert step_count(naive).verdict == "more"
    assert repetition(naive)[-1] > 4 * repetition(naive)[0] > 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("progress", "sum"),
        ("pav", "sum"),
        ("grpo_vps", "sum"),
        ("pav_sum", "return"),
        ("igpo", "return"),
        ("prime", "return"),
        ("clip_delta", "own"),
        ("p2s", "own"),
        ("shepherd_orm", "ignored"),
        ("shepherd_ppo", "no"),
        ("pure", "no"),
        ("prof", "-"),
    ],
)
def test_who_telescopes(name: str, said: str) -> None:
    assert telescopes(METHODS[name]) == said


def test_a_constant_on_all_scores_cancels_in_differences_and_under_a_mean_over_equally_many() -> None:
    for name in ("progress", "agg_rewards", "pure", "vpr_pooled"):
        assert shift(METHODS[name]) < 1e-6, name
    for name in ("shepherd_ppo", "agg_rewards_prod", "pav", "pure_softmin_step"):
        assert shift(METHODS[name]) > 0.05, name


def test_clip_and_delta_are_bounded_whatever_the_number_of_repeats() -> None:
    for name in ("clip_delta", "clip_delta_clip", "clip_delta_delta", "easy_to_hard_terminal"):
        gains = repetition(METHODS[name], (1, 8, 64))
        assert np.ptp(gains) < 0.01, name
        assert gains.max() < 0.05, name


def test_progress_charges_a_repeat() -> None:
    assert repetition(METHODS["progress"]).max() < -0.05


def test_the_weibull_curve_likes_about_four_steps() -> None:
    assert step_count(METHODS["pspo_wrs"]).verdict == "about 4"


@every_method
def test_every_check_has_a_finite_answer_for_every_method(name: str) -> None:
    config = METHODS[name]
    count = step_count(config)
    assert count.verdict
    assert np.isfinite(count.size)
    assert np.isfinite(shift(config))
    assert np.isfinite(repetition(config)).all()
    assert set(telescopes(config).split(", ")) <= {"sum", "return", "own", "ignored", "no", "-"}
