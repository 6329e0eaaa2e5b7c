"""Specifies the methods that read a judge's word: critiques, thoughts, verdicts, principles, rubrics.

Run with `python -m pytest tests/credit/test_judges.py`.
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
    StepScore,
    Stream,
    compute,
)
from preceptor.credit.broadcast import ToSteps, ToTokens
from preceptor.credit.ops.capo import CritiqueReward
from preceptor.credit.ops.fapo import genrm_reward
from preceptor.credit.ops.judges import wrong_share
from preceptor.credit.ops.ppr_renorm import ReNorm
from preceptor.credit.ops.rrm import Rubric, miracle_rate, verified
from preceptor.credit.ops.spark import well_formed
from preceptor.credit.ops.tp_grpo import ThoughtReward
from preceptor.credit.sources import Outcome
from preceptor.credit.transform import Scale
from preceptor.errors import InputError

Flags = tuple[bool, ...] | None
W, R = True, False


def rollout(outcome: float | None, sizes: list[int], prompt: str = "q") -> Rollout:
    ends = np.cumsum([0, *sizes]).tolist()
    return Rollout(prompt, ends[-1], outcome, tuple(pairwise(ends)))


def judged(rollouts: list[Rollout], verdicts: list[tuple[Flags, ...]], name: str) -> list[np.ndarray]:
    return compute(rollouts, Signals(verdicts=tuple(verdicts)), METHODS[name]).advantages


def firsts(name: str, rollouts: list[Rollout], signals: Signals) -> list[float]:
    return [float(a[0]) for a in compute(rollouts, signals, METHODS[name]).advantages]


def grpo(rewards: list[float]) -> np.ndarray:
    x = np.array(rewards)
    return (x - x.mean()) / (x.std(ddof=1) + 1e-4)


# capo

CRITIQUES: tuple[Flags, ...] = ((W, W, R), (W, R, R), (W, R, R), (W, W, R))


@pytest.mark.parametrize(
    "vote, expected",
    [("union", [1, 1, 0]), ("intersection", [1, 0, 0]), ("majority", [1, 0, 0]), ("average", [1, 0.5, 0])],
)
def test_four_critiques_are_combined_by_each_vote(vote: str, expected: list[float]) -> None:
    assert wrong_share(CRITIQUES, 3, vote).tolist() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("vote", ["union", "intersection", "majority", "average"])
def test_an_unreadable_critique_is_one_without_flags(vote: str) -> None:
    unread, clean = wrong_share(((W, R), None), 2, vote), wrong_share(((W, R), (R, R)), 2, vote)  # type: ignore[arg-type]
    assert unread.tolist() == clean.tolist()
    assert wrong_share((None, None), 2, vote).tolist() == [0, 0]  # type: ignore[arg-type]
    assert wrong_share(((W, R), None), 2, "intersection").tolist() == [0, 0]
    assert wrong_share((), 2, vote).tolist() == [0, 0]  # type: ignore[arg-type]


def test_a_wrong_step_of_a_right_answer_lies_between_its_siblings_and_a_wrong_answer() -> None:
    rollouts = [rollout(1.0, [2, 2]), rollout(0.0, [3, 1])]
    verdicts: tuple[tuple[Flags, ...], ...] = (((R, W),), ((R, R),))
    raw = CritiqueReward()(Batch.of(rollouts, Signals(verdicts=verdicts)))
    assert [x.tolist() for x in raw] == [[2, 2, 1, 1], [0, 0, 0, 0]]
    right, wrong = judged(rollouts, list(verdicts), "capo")
    np.testing.assert_allclose(np.concatenate([right, wrong]), grpo([2, 2, 1, 1, 0, 0, 0, 0]))
    assert right[0] > right[2] > wrong[0]


def test_a_wrong_step_of_a_wrong_answer_costs_the_penalty_in_full() -> None:
    raw = CritiqueReward()(Batch.of([rollout(0.0, [1, 1])], Signals(verdicts=(((R, W),),))))
    assert raw[0].tolist() == [0, -1]


def test_the_average_scales_the_penalty_by_the_flagged_share() -> None:
    raw = CritiqueReward("average")(Batch.of([rollout(1.0, [1, 1])], Signals(verdicts=(((R, W), (R, R)),))))
    assert raw[0].tolist() == [2.0, 1.5]


@pytest.mark.parametrize("critiques", [(), (None, None, None, None), ((R, R), (R, R))])
def test_without_a_flag_capo_is_grpo_on_c_times_the_outcome(critiques: tuple[Flags, ...]) -> None:
    rollouts = [rollout(r, [2, 1]) for r in (1.0, 0.0, 0.0, 1.0)]
    flat = judged(rollouts, [critiques] * 4, "capo")
    plain = CreditConfig((Stream(Outcome(), Scale(2.0), ToTokens(), Center("steps", "mean", "std")),))
    for got, expected in zip(flat, compute(rollouts, None, plain).advantages, strict=True):
        np.testing.assert_allclose(got, expected)
    sequence = judged(rollouts, [critiques] * 4, "capo_sequence")
    np.testing.assert_allclose([a[0] for a in sequence], grpo([2, 0, 0, 2]))


def test_the_statistics_of_sequences_do_not_weigh_long_rollouts_more() -> None:
    rollouts = [rollout(1.0, [9]), rollout(0.0, [1])]
    by_sequence = judged(rollouts, [((R,),), ((R,),)], "capo_sequence")
    np.testing.assert_allclose([a[0] for a in by_sequence], grpo([2, 0]))
    by_token = judged(rollouts, [((R,),), ((R,),)], "capo")
    np.testing.assert_allclose([a[0] for a in by_token], grpo([2] * 9 + [0])[[0, 9]])


# tp_grpo


def test_thoughts_are_paid_by_label_outcome_and_ability() -> None:
    rollouts = [rollout(1.0, [1, 1]), rollout(0.0, [1, 1]), rollout(0.0, [1]), rollout(0.0, [1])]
    verdicts: tuple[tuple[Flags, ...], ...] = (((R, W),), ((R, W),), ((W,),), (None,))
    raw = ThoughtReward()(Batch.of(rollouts, Signals(verdicts=verdicts)))
    np.testing.assert_allclose(np.concatenate(raw), [1, -0.25, 0.75, -1, -1, np.nan])


def test_splitting_a_thought_into_steps_of_the_same_label_changes_nothing() -> None:
    coarse = [rollout(1.0, [4, 2]), rollout(0.0, [6])]
    fine = [rollout(1.0, [1, 1, 2, 2]), rollout(0.0, [2, 2, 2])]
    a = judged(coarse, [((W, R),), ((W,),)], "tp_grpo")
    b = judged(fine, [((W, W, W, R),), ((W, W, W),)], "tp_grpo")
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y)
    # thoughts -acc, 1 and -1 with acc 1/2, beside the group-normalised outcome
    thoughts, outcome = grpo([-0.5, 1, -1]), grpo([1, 0])
    np.testing.assert_allclose(a[0], np.repeat(outcome[0] + 0.5 * thoughts[:2], [4, 2]))
    np.testing.assert_allclose(a[1], np.repeat(outcome[1] + 0.5 * thoughts[2], 6))


def test_a_wrong_attempt_in_a_right_solution_costs_more_the_easier_the_prompt() -> None:
    def paid(outcomes: list[float]) -> float:
        group = [rollout(1.0, [1, 1]), *(rollout(r, [1]) for r in outcomes)]
        verdicts = (((W, R),), *(((R,),) for _ in outcomes))
        return float(ThoughtReward()(Batch.of(group, Signals(verdicts=verdicts)))[0][0])

    assert paid([0, 0, 0]) == -0.25
    assert paid([1, 1, 1]) == -1.0


# spark


@pytest.mark.parametrize(
    "text",
    [
        r"6*7=42 <answer>\boxed{42}</answer>",
        r"<answer>So it is $\boxed{\frac{1}{2}}$.</answer>" + "\n",
        r"<Answer>\boxed{42}</Answer>",
    ],
)
def test_one_box_at_the_end_of_one_block_at_the_end_is_well_formed(text: str) -> None:
    assert well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        r"<answer>\boxed{41} or \boxed{42}</answer>",
        r"perhaps \boxed{41} <answer>\boxed{42}</answer>",
        r"<answer>\boxed{42}</answer> All steps are correct.",
        r"<answer>\boxed{42} which is right</answer>",
        r"<answer>\boxed{41}</answer><answer>\boxed{42}</answer>",
        r"<answer>\boxed{41}<answer>\boxed{42}</answer>",
        r"<answer>\boxed{41}<ANSWER>\boxed{42}</answer>",
        r"\boxed{42} <answer>42</answer>",
        r"</answer>\boxed{42}<answer>",
        r"<answer>\boxed{42</answer>",
        r"<answer>\boxed{ }</answer>",
        r"<answer>\boxed{\boxed{42}}</answer>",
        r"<answer>\fbox{41} \boxed{42}</answer>",
        r"<answer>42</answer>",
        r"\boxed{42}",
        "",
    ],
)
def test_a_second_box_or_text_after_the_answer_is_not(text: str) -> None:
    assert not well_formed(text)


def test_without_a_block_the_box_alone_must_be_one_and_last() -> None:
    assert well_formed(r"so \(\boxed{42}\).", tag=None)
    assert not well_formed(r"\boxed{42} and so on", tag=None)
    assert not well_formed(r"\boxed{41} \boxed{42}", tag=None)


def test_hostile_texts_are_read_in_no_time() -> None:
    for text in (
        "<answer>" * 50_000,
        r"\boxed{" * 50_000,
        "{" * 200_000,
        "<answer>\\boxed{1}" + "$" * 200_000,
    ):
        assert not well_formed(text)


def test_a_text_of_bad_form_gets_0_whatever_the_verdict() -> None:
    rollouts = [rollout(None, [1]) for _ in range(4)]
    signals = Signals(scalars={"verdict": (1.0, 1.0, 0.0, None), "format": (1.0, 0.0, 1.0, 0.0)})
    np.testing.assert_allclose(firsts("spark", rollouts, signals), grpo([1, 0, 0, 0]))


def test_an_unreadable_verdict_on_a_good_form_is_in_no_statistic() -> None:
    rollouts = [rollout(None, [1]) for _ in range(3)]
    signals = Signals(scalars={"verdict": (1.0, 0.0, None), "format": (1.0, 1.0, 1.0)})
    out = compute(rollouts, signals, METHODS["spark"])
    np.testing.assert_allclose([a[0] for a in out.advantages], [*grpo([1, 0]), 0])
    assert out.keep == (True, True, False)


def test_steps_and_verdict_are_mixed_by_6_and_4() -> None:
    rollouts = [rollout(None, [1, 1]), rollout(None, [1, 1]), rollout(None, [1])]
    signals = Signals(
        ((1.0, 0.0), (1.0, 1.0), (1.0,)), scalars={"verdict": (0.0, 1.0, 1.0), "format": (1.0, 1.0, 0.0)}
    )
    np.testing.assert_allclose(firsts("spark_steps", rollouts, signals), grpo([0.3, 1.0, 0.0]))


def test_selective_advantage_stays_where_step_and_sign_agree() -> None:
    rollouts = [rollout(None, [1, 2, 1]), rollout(None, [1, 1])]
    signals = Signals(((1.0, 0.0, None), (1.0, 0.0)), scalars={"verdict": (1.0, 0.0), "format": (1.0, 1.0)})
    right, wrong = compute(rollouts, signals, METHODS["spark_selective"]).advantages
    a = grpo([1, 0])[0]
    np.testing.assert_allclose(right, [a, 0, 0, 0])
    np.testing.assert_allclose(wrong, [0, -a])


# ppr_renorm


def before_centering(form: str, scores: list[float], outcome: float) -> list[float]:
    batch = Batch.of([rollout(outcome, [1] * len(scores))], Signals((tuple(scores),)))
    return [float(x) for x in Stream(StepScore(), ReNorm(form)).values(batch)[0][0]]  # type: ignore[arg-type]


def test_renorm_agrees_in_sign_with_the_outcome() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200).tolist()
    assert max(before_centering("renorm", scores, 0.0)) <= 0
    assert min(before_centering("renorm", scores, 0.0)) >= -1
    assert min(before_centering("renorm", scores, 1.0)) >= 0
    assert max(before_centering("sum", scores, 0.0)) > 0
    assert not any(before_centering("gate", scores, 0.0))


def test_renorm_by_hand() -> None:
    rollouts = [rollout(1.0, [1, 2]), rollout(0.0, [1])]
    signals = Signals(((0.5, 0.75), (0.25,)))
    got = np.concatenate(compute(rollouts, signals, METHODS["ppr_renorm"]).advantages)
    np.testing.assert_allclose(got, np.array([0.5, 0.75, 0.75, -0.75]) - 0.5 / 3)
    summed = np.concatenate(compute(rollouts, signals, METHODS["ppr_renorm_return"]).advantages)
    np.testing.assert_allclose(summed, [1.25 - 1 / 3, 0.75 - 0.5 / 3, 0.75 - 0.5 / 3, -0.75 - 0.5 / 3])


def test_a_constant_judge_leaves_the_outcome_reward() -> None:
    rollouts = [rollout(1.0, [1, 2]), rollout(0.0, [1]), rollout(0.0, [1, 1, 1])]
    signals = Signals(tuple((0.7,) * len(r.spans) for r in rollouts))
    plain = CreditConfig((Stream(Outcome(), ToSteps(), Center("steps", "mean")),))
    got, expected = (compute(rollouts, signals, c).advantages for c in (METHODS["ppr_renorm"], plain))
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x, y)


def test_a_sum_is_renorm_once_the_mean_is_taken() -> None:
    rollouts, signals = [rollout(1.0, [1, 2]), rollout(0.0, [1])], Signals(((0.5, 0.75), (0.25,)))
    centered = CreditConfig((Stream(StepScore(), ReNorm("sum"), Center("steps", "mean")),))
    got, expected = (compute(rollouts, signals, c).advantages for c in (centered, METHODS["ppr_renorm"]))
    np.testing.assert_allclose(np.concatenate(got), np.concatenate(expected))


# rrm


def test_a_right_answer_without_a_derivation_lies_below_a_full_solution() -> None:
    rollouts = [rollout(1.0, [1]), rollout(1.0, [1]), rollout(0.0, [1])]
    full, jump, wrong = firsts("rrm", rollouts, Signals(scalars={"rubric": (1.0, 0.25, 0.5)}))
    np.testing.assert_allclose([full, jump, wrong], grpo([1, 0.25, 0.5]))
    assert full > wrong > jump
    gated = firsts("rrm_outcome", rollouts, Signals(scalars={"rubric": (1.0, 0.25, 0.5)}))
    np.testing.assert_allclose(gated, grpo([1, 0.25, 0]))


def test_an_unreadable_reply_is_reward_0_unless_told_otherwise() -> None:
    rollouts = [rollout(1.0, [1]), rollout(1.0, [1])]
    signals = Signals(scalars={"rubric": (1.0, None)})
    np.testing.assert_allclose(firsts("rrm", rollouts, signals), grpo([1, 0]))
    failed = compute(
        [*rollouts, Rollout("q", 0, None)], Signals(scalars={"rubric": (1.0, None, None)}), METHODS["rrm"]
    )
    assert failed.keep == (True, True, False)
    assert failed.advantages[0][0] == grpo([1, 0])[0]
    absent = CreditConfig((Stream(Rubric(unread=None), Center("prompt", "mean", "std")),), keep="judged")
    three = Signals(scalars={"rubric": (1.0, None, 0.5)})
    assert compute([*rollouts, rollout(0.0, [1])], three, absent).keep == (True, False, True)


def test_verified_answers_and_the_miracle_rate() -> None:
    correct, sound = [True, True, False, True], [True, False, True, True]
    assert verified(correct, sound) == [True, False, False, True]
    assert miracle_rate(correct, [False, True, True, False]) == pytest.approx(1 / 3)
    assert miracle_rate([False], [True]) is None


# the reward of fapo's judge


@pytest.mark.parametrize(
    "predicted, gold, expected",
    [
        (None, 2, -1.0),
        (None, -1, -1.0),
        (5, 2, -1.0),
        (-2, 2, -1.0),
        (-1, -1, 1.0),
        (0, -1, -1.0),
        (-1, 2, -1.0),
        (2, 2, 1.0),
        (4, 2, 0.6),
        (0, 4, 0.2),
    ],
)
def test_the_judge_is_paid_by_its_distance_to_the_first_error(
    predicted: int | None, gold: int, expected: float
) -> None:
    assert genrm_reward(predicted, gold, 5) == pytest.approx(expected)


def test_a_gold_index_outside_the_solution_is_refused() -> None:
    with pytest.raises(InputError, match="gold 5"):
        genrm_reward(0, 5, 5)
