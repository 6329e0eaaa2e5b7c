"""Specifies the rewards that are one number a rollout, and the text and probability functions they come from.

Run with `python -m pytest tests/credit/test_scalars.py`.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from preceptor.credit import METHODS, Batch, Outcome, Rollout, Signals, compute
from preceptor.credit.ops import noisy_rpr, refine, rlpr
from preceptor.credit.ops.barfi import reweighted
from preceptor.credit.ops.drm import stretched
from preceptor.credit.ops.noisy_rpr import PHRASES, FlipGroups, pattern_reward, repeated
from preceptor.credit.ops.outcome_explore import AnswerCounts, Novelty, Repetition
from preceptor.credit.ops.rlpr import DeviationFloor, mean_probability, with_reference
from preceptor.credit.ops.sar import self_aligned
from preceptor.errors import InputError


def group(outcomes: list[float | None], prompt: str = "q", answers: str | None = None) -> list[Rollout]:
    named = [None if a == "-" else a for a in answers] if answers else [None] * len(outcomes)
    return [Rollout(prompt, 1, r, answer=a) for r, a in zip(outcomes, named, strict=True)]


def firsts(name: str, rollouts: list[Rollout], **scalars: tuple[float | None, ...]) -> list[float]:
    return [float(a[0]) for a in compute(rollouts, Signals(scalars=scalars), METHODS[name]).advantages]


def grpo(values: list[float]) -> np.ndarray:
    x = np.array(values)
    return (x - x.mean()) / (x.std(ddof=1) + 1e-4)


# sar


def nll(ppl: float, n: int = 4) -> list[float]:
    return [-math.log(ppl)] * n


def test_the_self_aligned_reward_is_the_relative_fall_of_perplexity() -> None:
    assert self_aligned(nll(2.0), nll(8.0)) == pytest.approx(0.75)
    assert self_aligned(nll(8.0), nll(6.0)) == pytest.approx(-1 / 3)
    assert self_aligned(nll(5.0), nll(5.0)) == 0
    assert self_aligned(nll(50.0), nll(2.0)) == -1
    assert self_aligned([], []) is None


def test_no_question_can_give_1() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        given, alone = -rng.exponential(2, 5), -rng.exponential(2, 5)
        assert -1 <= (self_aligned(given.tolist(), alone.tolist()) or 0) < 1
    assert self_aligned([0.0], [-1e6]) == 1.0  # beyond what floats can tell


def test_padding_with_generic_text_lowers_the_reward() -> None:
    dense = self_aligned(nll(2.0), nll(8.0))
    padded = self_aligned(nll(2.0) + nll(3.0), nll(8.0) + nll(3.0))
    assert padded is not None
    assert dense is not None
    assert padded < dense
    assert padded == pytest.approx(1 - math.sqrt(6) / math.sqrt(24))


def test_the_codes_options() -> None:
    assert self_aligned(nll(2.0), nll(8.0), log=True) == pytest.approx(2 / 3)
    assert self_aligned(nll(2.0), nll(2.5), relative=False) == pytest.approx(0.5)
    assert self_aligned(nll(2.0), nll(8.0), relative=False) == 1
    assert self_aligned(nll(2.0), nll(8.0), cap=4.0) == pytest.approx(0.5)
    assert self_aligned(nll(1.0), nll(1.0), log=True) == 0


def test_the_two_passes_must_be_of_the_same_response() -> None:
    with pytest.raises(InputError, match="1 log-probabilities with the question and 2"):
        self_aligned([-1.0], [-1.0, -1.0])


def test_sar_adds_a_fifth_of_it_to_the_outcome() -> None:
    got = firsts("sar", group([1.0, 1.0, 0.0]), self_aligned=(0.5, -0.5, 0.75))
    np.testing.assert_allclose(got, grpo([1.1, 0.9, 0.15]))


def test_a_sum_that_lacks_a_part_is_absent_from_the_group() -> None:
    got = firsts("sar", group([1.0, 1.0, 0.0]), self_aligned=(0.5, None, 0.75))
    np.testing.assert_allclose(got, [*grpo([1.1, 0.15])[:1], 0, *grpo([1.1, 0.15])[1:]])


# rlpr


def test_the_product_collapses_for_long_references_and_the_mean_does_not() -> None:
    for length in (1, 10, 1000):
        logprobs = [math.log(0.9)] * length
        assert mean_probability(logprobs) == pytest.approx(0.9)
    assert math.exp(sum([math.log(0.9)] * 1000)) < 1e-40
    assert mean_probability([math.log(0.8), math.log(0.2)]) == pytest.approx(0.5)
    assert mean_probability([]) == 0


def test_the_reward_is_debiased_and_mixed_with_the_format() -> None:
    got = firsts(
        "rlpr",
        group([None] * 4),
        probability=(0.8, 0.2, 0.5, 0.0),
        base_probability=(0.3, 0.6, 0.3, 0.3),
        format=(1.0, 1.0, 0.0, 0.0),
    )
    np.testing.assert_allclose(got, grpo([0.55, 0.1, 0.18, 0.0]))


def test_the_reference_takes_the_answers_place() -> None:
    text = "<think>6*7</think> <answer>41</answer> ok"
    found = with_reference(text, "42")
    assert found is not None
    new, start, end = found
    assert new == "<think>6*7</think> <answer>42</answer> ok"
    assert new[start:end] == "42"
    assert rlpr.well_formed(text)


@pytest.mark.parametrize("text", ["6*7=42", "<answer>42", "42</answer>", ""])
def test_a_response_without_the_answer_block_has_neither_probability_nor_format(text: str) -> None:
    assert with_reference(text, "42") is None
    assert not rlpr.well_formed(text)


@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think><answer>1</answer><answer>2</answer>",
        "<answer>1</answer><think>a</think>",
        "<think>a<answer>1</think></answer>",
        "<think>a</think><answer>1",
    ],
)
def test_every_tag_stands_once_and_in_order(text: str) -> None:
    assert not rlpr.well_formed(text)


def test_the_floor_counts_from_batch_6_and_acts_from_batch_11() -> None:
    floor = DeviationFloor(ratio=0.5, beta=2.0)
    flat, wide = ([0.0, 0.0], [0.0, math.sqrt(2.0)])  # deviations 0 and 1
    for batch in range(1, 14):
        assert (floor.floor is None) == (batch < 11)
        floor.update(["a", "a"], wide if batch <= 5 else flat if batch % 2 else wide)
    # batches 6, 8, 10, 12 are wide: 1, .5, .75, .375, .6875, .34375, .671875, .3359375
    assert floor.mean == pytest.approx(0.3359375)
    assert floor.floor == pytest.approx(0.671875)


def test_the_published_floor_moves_by_a_hundredth() -> None:
    floor = DeviationFloor(first=1, active=1)
    floor.update(["a", "a", "b", "b", "c"], [0.0, math.sqrt(2.0), 0.0, 0.0, 9.0])
    assert floor.floor == pytest.approx(0.5)
    floor.update(["a", "a", "a"], [0.0, 0.0, None])
    assert floor.floor == pytest.approx(0.495)


def test_prompts_whose_rewards_hardly_differ_are_dropped() -> None:
    rollouts = group([None, None], "a") + group([None, None], "b")
    given = {
        "probability": (1.0, 0.0, 0.6, 0.5),
        "base_probability": (0.0,) * 4,
        "format": (1.0,) * 4,
    }
    out = compute(
        rollouts, Signals(scalars={**given, "deviation_floor": (0.1,) * 4}), METHODS["rlpr_filtered"]
    )
    assert out.keep == (True, True, False, False)
    early = compute(
        rollouts, Signals(scalars={**given, "deviation_floor": (None,) * 4}), METHODS["rlpr_filtered"]
    )
    assert early.keep == (True,) * 4


# noisy_rpr


def test_a_flip_takes_the_whole_group() -> None:
    rollouts = [r for i in range(400) for r in group([1.0, 1.0, 0.0], f"q{i}")]
    batch = Batch.of(rollouts)
    flipped = [float(x[0]) for x in FlipGroups(0.4)(Outcome()(batch), batch)]
    rows = [tuple(flipped[i : i + 3]) for i in range(0, len(flipped), 3)]
    assert set(rows) == {(1.0, 1.0, 0.0), (0.0, 0.0, 1.0)}
    assert 0.33 < np.mean([r[0] == 0 for r in rows]) < 0.47


def test_a_flipped_group_of_equals_stays_flat() -> None:
    for i in range(20):
        assert firsts("noisy_rpr_flips", group([1.0, 1.0, 1.0], f"q{i}")) == [0, 0, 0]


def test_flips_depend_on_seed_update_and_prompt_only() -> None:
    prompts = [f"q{i}" for i in range(100)]
    here = Batch.of([Rollout("q", 1, 1.0)], Signals(step=3))
    there = Batch.of([Rollout(p, 1, 0.0) for p in prompts], Signals(step=3))
    flips = [FlipGroups(0.4).flips(p, here) for p in prompts]
    assert flips == [FlipGroups(0.4).flips(p, there) for p in prompts]
    assert flips != [FlipGroups(0.4, seed=1).flips(p, here) for p in prompts]
    later = Batch.of([Rollout("q", 1, 1.0)], Signals(step=4))
    assert flips != [FlipGroups(0.4).flips(p, later) for p in prompts]
    assert not any(FlipGroups(0.0).flips(p, here) for p in prompts)
    assert all(FlipGroups(1.0).flips(p, here) for p in prompts)


def test_about_forty_phrases_count_once_each() -> None:
    assert 38 <= len(PHRASES) == len(set(PHRASES)) <= 42
    assert {
        "i need to",
        "we need to",
        "wait",
        "alternatively",
        "let me check",
        "first, ",
        "therefore",
    } <= set(PHRASES)
    assert pattern_reward("Wait. Therefore 4.") == pytest.approx(2 / 20)
    assert pattern_reward("Wait. wait! WAIT Therefore 4.") == pytest.approx(2 / 20)
    assert pattern_reward("4.") == 0
    assert pattern_reward(" ".join(PHRASES)) == 1


def test_repeated_20_grams_and_user_turns_are_charged() -> None:
    words = [f"w{i}" for i in range(20)]
    assert repeated(" ".join(words)) == 0
    assert repeated(" ".join(words[:19])) == 0
    # 40 words, 21 windows, the last one the same as the first
    assert repeated(" ".join(words * 2)) == pytest.approx(1 / 21)
    text = "wait therefore " + " ".join(f"v{i}" for i in range(18))
    assert pattern_reward(f"{text} {text}") == pytest.approx(2 / 20 - 1 / 21)
    assert pattern_reward("wait wait " * 200) == 0
    assert pattern_reward("Wait.\nUser: and now?") == 0


def test_the_pattern_reward_softens_negative_rewards_only() -> None:
    got = firsts("noisy_rpr", group([None] * 4), reward=(1.0, -1.0, -1.0, 0.0), pattern=(1.0, 1.0, 0.0, 1.0))
    np.testing.assert_allclose(got, grpo([1.0, -0.9, -1.0, 0.0]))
    alone = firsts("noisy_rpr_alone", group([None, None]), pattern=(0.5, 0.1))
    np.testing.assert_allclose(alone, grpo([0.5, 0.1]))


# refine

FULL = (
    "<understanding>u</understanding><facts>f</facts><plan>p</plan>"
    "<think>By my understanding, the <facts> and the plan: 42</think>"
    "<final_answer>42</final_answer><self_assessment>Confidence: 10/10</self_assessment>"
)


def test_right_structured_and_sure_is_1() -> None:
    assert refine.reward(FULL, 1.0) == 1.0
    assert refine.reward(FULL, 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "stated, correct, expected",
    [
        (1.0, 1.0, 1.0),
        (1.0, 0.0, 0.0),
        (0.7, 1.0, 0.91),
        (0.0, 0.0, 1.0),
        (None, 1.0, -0.25),
        (None, 0.0, -0.25),
    ],
)
def test_calibration_and_a_missing_statement(stated: float | None, correct: float, expected: float) -> None:
    assert refine.calibration(stated, correct) == pytest.approx(expected)


@pytest.mark.parametrize(
    "written, expected",
    [
        ("8/10", 0.8),
        ("7.5 / 10", 0.75),
        ("first 3/10, rather 9/10.", 0.9),
        ("12/10", 1.0),
        ("-3/10", 0.0),
        ("8/100", None),
        ("8/10.5", None),
        ("sure", None),
    ],
)
def test_a_confidence_is_k_of_10_clamped(written: str, expected: float | None) -> None:
    found = refine.confidence(f"<think>1/10</think><self_assessment>{written}</self_assessment>")
    assert found == expected


def test_tags_in_another_order_are_no_structure() -> None:
    assert refine.structure(FULL) == 1
    assert refine.structure(FULL.replace("<plan>p</plan>", "")) == 0
    assert refine.structure("<plan>p</plan>" + FULL.replace("<plan>p</plan>", "")) == 0


def test_each_name_in_the_think_block_is_a_third() -> None:
    assert refine.references(FULL) == 1
    assert refine.references("<plan>facts</plan><think>Facts only, planned.</think>") == pytest.approx(1 / 3)
    assert refine.references("facts plan understanding") == 0


def test_the_row_takes_the_mean_of_four_terms() -> None:
    texts, outcomes = [FULL, FULL.replace("10/10", ""), "42"], [1.0, 1.0, 0.0]
    rows = [refine.scalars(t, c) for t, c in zip(texts, outcomes, strict=True)]
    given = {name: tuple(row[name] for row in rows) for name in rows[0]}
    expected = [refine.reward(t, c) for t, c in zip(texts, outcomes, strict=True)]
    np.testing.assert_allclose(expected, [1.0, (3 - 0.25) / 4, -0.0625])
    np.testing.assert_allclose(firsts("refine", group(outcomes), **given), grpo(expected))
    assert refine.scalars(FULL, None)["calibration"] is None


# cooper


def test_cooper_is_grpo_on_the_reward_models_score() -> None:
    got = firsts("cooper", group([1.0, 0.0, None]), reward=(-2.0, 3.0, 0.5))
    np.testing.assert_allclose(got, grpo([-2.0, 3.0, 0.5]))


# outcome_explore


def bonus(form: str, visits: tuple[float, ...], prompts: str | None = None) -> list[float]:
    rollouts = [Rollout(p, 1, 0.0) for p in prompts or "q" * len(visits)]
    values = Novelty(form)(Batch.of(rollouts, Signals(scalars={"visits": visits})))  # type: ignore[arg-type]
    return [float(x[0]) for x in values]


def test_the_bonus_falls_with_the_root_of_the_visits() -> None:
    np.testing.assert_allclose(bonus("ucb", (0, 1, 4, 100)), [0.1, 0.1, 0.05, 0.01])


def test_bonuses_against_the_groups_mean_sum_to_zero() -> None:
    got = bonus("mean", (0, 4, 4, 100, 1), "aabba")
    assert got[0] + got[1] + got[4] == pytest.approx(0)
    assert got[2] + got[3] == pytest.approx(0)
    np.testing.assert_allclose(got[2:4], [0.02, -0.02])


def test_against_a_constant_frequent_answers_are_charged() -> None:
    np.testing.assert_allclose(bonus("constant", (0, 4, 100)), [0.05, 0.0, -0.04])


def test_ucb_alone_never_ranks_a_new_wrong_answer_above_an_old_right_one() -> None:
    rollouts = group([1.0, 0.0, 0.0], answers="abc")
    got = firsts("outcome_explore", rollouts, visits=(1e6, 0.0, 9.0))
    np.testing.assert_allclose(got, grpo([1.0001, 0.1, 0.1 / 3]))
    assert got[0] > got[1] > got[2]


def test_beside_the_outcome_a_frequent_wrong_answer_is_charged_even_alone_in_its_group() -> None:
    flat = group([0.0, 0.0], answers="aa")
    assert firsts("outcome_explore", flat, visits=(100.0, 100.0)) == [0, 0]
    np.testing.assert_allclose(firsts("outcome_explore_con", flat, visits=(100.0, 100.0)), [-0.04, -0.04])
    np.testing.assert_allclose(firsts("outcome_explore_mean", flat, visits=(1.0, 100.0)), [0.045, -0.045])


def test_counts_are_those_of_earlier_batches_and_unreadable_answers_share_a_bucket() -> None:
    counts, rollouts = AnswerCounts(), group([0.0] * 4, answers="aa--")
    assert counts.visits(rollouts) == (0, 0, 0, 0)
    assert counts.visits(rollouts) == (0, 0, 0, 0)
    counts.update([*rollouts, Rollout("q", 0, None)])
    assert counts.visits(rollouts) == (2, 2, 2, 2)
    assert counts.visits(group([0.0], "other", "a")) == (0,)


def test_repetition_within_the_batch_is_charged_by_the_share_of_others() -> None:
    rollouts = group([1.0, 1.0, 0.0, 0.0, 0.0], answers="aab--")
    raw = [float(x[0]) for x in Repetition()(Batch.of(rollouts))]
    np.testing.assert_allclose(raw, [-0.02, -0.02, 0, -0.02, -0.02], atol=1e-12)
    got = firsts("outcome_explore_batch", rollouts)
    np.testing.assert_allclose(got, grpo([0.98, 0.98, 0, -0.02, -0.02]))


# drm


def test_a_dimension_is_stretched_over_its_group() -> None:
    np.testing.assert_allclose(stretched(np.array([-3.0, -1.0, np.nan, -2.0])), [0, 1, np.nan, 0.5])
    assert stretched(np.array([2.0, 2.0])).tolist() == [0, 0]


def test_dimensions_by_hand() -> None:
    given = {
        "confidence": (-3.0, -1.0, -2.0),
        "relevance": (5.0, 5.0, 5.0),
        "coherence": (0.0, 0.25, 1.0),
    }
    got = firsts("drm", group([None] * 3), **given)
    np.testing.assert_allclose(got, grpo([0, 1.25 / 3, 1.5 / 3]))


@pytest.mark.parametrize("name", ["confidence", "relevance", "coherence"])
def test_rescaling_one_dimension_changes_nothing(name: str) -> None:
    rng = np.random.default_rng(0)
    rollouts = group([None] * 4, "a") + group([None] * 3, "b")
    given = {n: tuple(rng.normal(size=7).tolist()) for n in ("confidence", "relevance", "coherence")}
    scaled = given | {name: tuple(40 * x - 7 for x in given[name])}
    np.testing.assert_allclose(firsts("drm", rollouts, **given), firsts("drm", rollouts, **scaled))


# barfi


def test_the_estimate_is_the_derivative_of_the_primary_return_after_one_step() -> None:
    rng = np.random.default_rng(0)
    theta, target, eta = rng.normal(size=6), rng.normal(size=6), 0.05
    auxiliary = rng.normal(size=(3, 6))  # gradients of linear auxiliary returns
    weights = np.array([0.5, 0.2, 0.1])

    def after(w: np.ndarray) -> np.ndarray:
        return theta + eta * (target - theta + w @ auxiliary)

    def primary(w: np.ndarray) -> float:
        return float(-0.5 * np.square(after(w) - target).sum())

    products = auxiliary @ (target - after(weights))
    measured = [(primary(weights + h) - primary(weights - h)) / 2e-5 for h in np.eye(3) * 1e-5]
    np.testing.assert_allclose(eta * products, measured, rtol=1e-5)
    np.testing.assert_allclose(
        reweighted(weights, products, rate=0.01), np.maximum(weights + 0.01 * products, 0)
    )


def test_an_opposing_auxiliary_reward_loses_its_weight_and_a_helpful_one_gains() -> None:
    theta, target = np.zeros(2), np.array([1.0, 0.0])
    auxiliary = np.array([[-1.0, 0.0], [0.5, 0.0], [0.0, 1.0]])
    weights = np.array([0.5, 0.5, 0.5])
    for _ in range(20):
        gradient = target - theta
        products = auxiliary @ gradient
        weights = reweighted(weights, products, norms=(1.0, np.array([1.0, 0.5, 1.0])))
    assert weights[0] == 0
    np.testing.assert_allclose(weights[1:], [2.5, 0.5])


def test_gradients_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        reweighted(np.ones(1), np.array([np.nan]))
    with pytest.raises(InputError, match="2 weights and 1"):
        reweighted(np.ones(2), np.ones(1))


def test_text_rewards_read_long_hostile_texts_quickly() -> None:
    started = time.perf_counter()
    for text in (
        "1/" * 100_000,
        "<think>" * 50_000,
        "user:\n" * 50_000,
        " " * 200_000,
        "<self_assessment>" + "9" * 200_000,
    ):
        refine.reward(text, 1.0)
        noisy_rpr.pattern_reward(text)
        rlpr.well_formed(text)
        with_reference(text, "42")
    assert time.perf_counter() - started < 5
