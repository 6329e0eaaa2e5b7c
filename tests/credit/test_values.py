"""Specifies the numbers: hand-computed advantages of each method and each stage.

Run with `python -m pytest tests/credit/test_values.py`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from preceptor.credit.mix import Add
from preceptor.credit.returns import Minimum, RewardToGo
from preceptor.credit.sources import Outcome, Progress, Scalar, TokenScore
from preceptor.credit.types import Ragged
from preceptor.errors import InputError
from preceptor.judgement import Question


def group(outcomes: list[float | None], length: int = 2) -> list[Rollout]:
    return [Rollout("q", length, r, ((0, length),)) for r in outcomes]


def first_tokens(
    config: CreditConfig, rollouts: list[Rollout], signals: Signals | None = None
) -> list[float]:
    return [float(a[0]) for a in compute(rollouts, signals, config).advantages]


def rollout(outcome: float | None, sizes: list[int], prompt: str = "q") -> Rollout:
    ends = np.cumsum([0, *sizes]).tolist()
    return Rollout(prompt, ends[-1], outcome, tuple(pairwise(ends)))


def progress(rollouts: list[Rollout], signals: Signals) -> Ragged:
    return Progress()(Batch.of(rollouts, signals))


def centered(center: Center, values: list[list[float]], prompts: str = "") -> Ragged:
    """Of step values; each step one token."""
    rollouts = [
        rollout(0.0, [1] * len(v), p) for v, p in zip(values, prompts or "q" * len(values), strict=True)
    ]
    return center([np.array(v) for v in values], Batch.of(rollouts).at("step"))


minimum, total = Minimum().row, RewardToGo().row


def test_grpo_divides_by_the_sample_deviation_plus_1e_4() -> None:
    got = first_tokens(METHODS["outcome"], group([1.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(got, [0.86588, -0.86588, -0.86588, 0.86588], atol=5e-6)


def test_rloo_compares_with_the_others_and_dr_grpo_with_all() -> None:
    rollouts = group([1.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(first_tokens(METHODS["rloo"], rollouts), [2 / 3, -2 / 3, -2 / 3, 2 / 3])
    np.testing.assert_allclose(first_tokens(METHODS["dr_grpo"], rollouts), [0.5, -0.5, -0.5, 0.5])
    assert METHODS["dr_grpo"].aggregation == "constant"


def test_groups_may_be_interleaved_and_of_different_sizes() -> None:
    rollouts = [rollout(r, [1], p) for r, p in [(1.0, "a"), (0.0, "b"), (0.0, "a"), (1.0, "b"), (1.0, "b")]]
    np.testing.assert_allclose(first_tokens(METHODS["rloo"], rollouts), [1, -1, -1, 0.5, 0.5])


def test_an_undecided_rollout_is_not_a_zero() -> None:
    out = compute(group([1.0, None, 0.0]), None, METHODS["rloo"])
    assert [float(a[0]) for a in out.advantages] == [1.0, 0.0, -1.0]
    assert out.keep == (True, False, True)
    assert out.stats["undecided"] == 1


def test_progress_adds_two_streams_computed_by_hand() -> None:
    # V_0 is the success rate 1/2. Rollout 0: .5 -> .5 -> 1 (tokens 1, 3); rollout 1: .5 -> .75 -> 0 (2, 2).
    rollouts = [rollout(1.0, [1, 3]), rollout(0.0, [2, 2])]
    signals = Signals(((0.5, 1.0), (0.75, 0.0)))
    out = compute(rollouts, signals, METHODS["progress"])
    # totals .5 and -.5 are each other's reference,
    # charged by token share: -.5 * (1/4, 3/4) and .5 * (1/2, 1/2)
    np.testing.assert_allclose(out.advantages[0], 1.0 + np.array([0.125] + [0.875] * 3))
    np.testing.assert_allclose(out.advantages[1], -1.0 + np.array([0.0, 0.0, -1.0, -1.0]))
    assert out.stats["process_right"] == 0.5
    assert out.stats["process_wrong"] == -0.5


def test_value_progress_telescopes_and_an_unjudged_step_hands_its_change_on() -> None:
    r = rollout(1.0, [1, 1, 1, 1])
    (got,) = progress([r], Signals(((0.2, None, 0.9, None),), start=(0.4,)))
    np.testing.assert_allclose(got, [-0.2, 0.0, 0.7, 0.0])


def test_validity_progress_never_pays_for_steps_after_an_error() -> None:
    r = rollout(0.0, [1, 1, 1])
    (got,) = progress([r], Signals(((0.9, 0.1, 0.9),), Question.VALIDITY))
    np.testing.assert_allclose(got, [-0.1, -0.8, 0.0])


def test_progress_scores_are_taken_as_they_are_and_quality_is_refused() -> None:
    r = rollout(0.0, [1, 1, 1])
    (got,) = progress([r], Signals(((0.5, None, -0.25),), Question.PROGRESS))
    np.testing.assert_allclose(got, [0.5, 0.0, -0.25])
    with pytest.raises(InputError, match="quality"):
        progress([r], Signals(((0.5, 0.5, 0.5),), Question.QUALITY))


def test_a_step_without_tokens_hands_its_progress_to_a_step_that_has_some() -> None:
    r = Rollout("q", 2, 1.0, ((0, 1), (1, 1), (1, 2), (2, 2)))
    (got,) = progress([r], Signals(((0.25, 0.5, 0.75, 1.0),), start=(0.0,)))
    np.testing.assert_allclose(got, [0.25, 0.0, 0.75, 0.0])


@given(
    values=st.lists(st.floats(0, 1, width=16), min_size=1, max_size=5),
    sizes=st.lists(st.integers(2, 4), min_size=5, max_size=5),
    where=st.integers(0, 4),
)
def test_cutting_a_step_in_two_does_not_change_what_a_rollout_earns(
    values: list[float], sizes: list[int], where: int
) -> None:
    """A baseline over pooled steps fails this: it pays for fewer, longer steps."""
    sizes, at = sizes[: len(values)], where % len(values)
    other = rollout(0.0, [3, 3])
    cut_sizes = [*sizes[:at], 1, sizes[at] - 1, *sizes[at + 1 :]]
    before = values[at - 1] if at else 0.5
    cut_values = [*values[:at], before, *values[at:]]
    earned, others = [], []
    for v, n in ((values, sizes), (cut_values, cut_sizes)):
        r = rollout(1.0, n)
        out = compute([r, other], Signals((tuple(v), (0.5, 0.0)), start=(0.5, 0.5)), METHODS["progress"])
        stream = out.advantages[0] - 1.0
        earned.append(sum(stream[a] for a, _ in r.spans))
        others.append(out.advantages[1])
    assert earned[0] == pytest.approx(earned[1], abs=1e-9)
    np.testing.assert_allclose(others[0], others[1], atol=1e-9)


def test_padding_with_steps_that_change_nothing_earns_nothing() -> None:
    def earned(padding: int) -> float:
        r = rollout(1.0, [2] + [2] * padding + [2])
        values = (0.5,) + (0.5,) * padding + (1.0,)
        out = compute([r, rollout(0.0, [4])], Signals((values, (0.0,))), METHODS["progress"])
        return sum(out.advantages[0][a] - 1.0 for a, _ in r.spans)

    assert earned(0) == pytest.approx(earned(5))


def test_reward_to_go_and_minimum_match_the_published_example() -> None:
    r = np.array([0.9, -0.8, 0.5])
    np.testing.assert_allclose(total(r), [0.6, -0.3, 0.5])
    np.testing.assert_allclose(minimum(r), [-0.8, -0.8, 0.5])
    np.testing.assert_allclose(minimum(np.array([0.9, np.nan, 0.5])), [0.5, np.nan, 0.5])
    np.testing.assert_allclose(total(np.array([0.9, np.nan, 0.5])), [1.4, np.nan, 0.5])


def test_the_minimum_of_good_steps_is_positive() -> None:
    """On zero-filled token rewards it would read 0."""
    assert minimum(np.array([0.9, 0.4, 0.7])).min() == pytest.approx(0.4)


def test_pure_by_hand() -> None:
    # signed scores (.8, -.6 | 1, 1): returns (-.6, -.6) and (1, 1); the other's mean per token is 1 and -.6
    rollouts = [rollout(0.0, [1, 2]), rollout(1.0, [2, 1])]
    out = compute(rollouts, Signals(((0.9, 0.2), (1.0, 1.0)), Question.VALIDITY), METHODS["pure"])
    np.testing.assert_allclose(out.advantages[0], [-2.6] * 3)
    np.testing.assert_allclose(out.advantages[1], [2.6] * 3)


def test_appending_a_good_step_does_not_raise_the_minimum_of_earlier_ones() -> None:
    assert (minimum(np.array([0.3, -0.2, 0.9]))[:2] == minimum(np.array([0.3, -0.2]))).all()


def test_the_outcome_can_be_mixed_into_the_last_step() -> None:
    config = CreditConfig((Stream(StepScore(), Add(where="last"), RewardToGo()),))
    out = compute([rollout(1.0, [1, 2])], Signals(((0.25, None),)), config)
    np.testing.assert_allclose(out.advantages[0], [1.25, 1.0, 1.0])


def test_what_is_added_to_the_last_step_goes_to_the_last_one_with_a_token() -> None:
    r = [Rollout("q", 2, 1.0, ((0, 1), (1, 2), (2, 2)))]
    (got,) = Add()([np.array([0.5, 0.25, 0.0])], Batch.of(r).at("step"))
    np.testing.assert_allclose(got, [0.5, 1.25, 0.0])
    (got,) = Add(where="every", weight=2.0)([np.array([0.5, np.nan, 0.0])], Batch.of(r).at("step"))
    np.testing.assert_allclose(got, [2.5, np.nan, 2.0])


def test_a_turn_baseline_compares_equal_step_indices_and_leaves_a_lone_turn_at_zero() -> None:
    values = [[1.0, 4.0, 9.0], [3.0, 2.0]]
    got = centered(Center("turn", "mean"), values)
    np.testing.assert_allclose(got[0], [-1.0, 1.0, np.nan])
    np.testing.assert_allclose(got[1], [1.0, -1.0])
    scaled = centered(Center("turn", "mean", "std"), values)
    np.testing.assert_allclose(scaled[1], np.array([1.0, -1.0]) / (np.sqrt(2) + 1e-4))


def test_a_batch_baseline_crosses_prompts() -> None:
    got = centered(Center("batch", "mean"), [[1.0], [0.0], [0.5]], "abc")
    np.testing.assert_allclose(np.concatenate(got), [0.5, -0.5, 0.0])


def test_the_scale_is_taken_of_centered_values_so_equal_totals_do_not_blow_up() -> None:
    got = centered(Center("share", "mean", "std"), [[0.4, -0.4], [0.0, 0.0]])
    assert np.abs(np.concatenate(got)).max() < 2


def test_a_pooled_baseline_counts_each_step_once() -> None:
    values = [[1.0, 2.0, np.nan], [6.0]]
    np.testing.assert_allclose(np.concatenate(centered(Center("steps"), values)), [-2, -1, np.nan, 3])
    got = centered(Center("steps", "leave_one_out"), values)
    np.testing.assert_allclose(np.concatenate(got), [1 - 4, 2 - 3.5, np.nan, 6 - 1.5])
    scaled = centered(Center("steps", "mean", "population", eps=0.0), values)
    np.testing.assert_allclose(np.concatenate(scaled), np.array([-2, -1, np.nan, 3]) / np.sqrt(14 / 3))


def test_a_rollout_baseline_averages_the_means_of_rollouts_and_a_rate_is_charged_by_tokens() -> None:
    rollouts = [rollout(0.0, [1, 3]), rollout(0.0, [2])]
    values = [np.array([1.0, 2.0]), np.array([6.0])]
    batch = Batch.of(rollouts).at("step")
    got = Center("rollout", "leave_one_out")(values, batch)
    np.testing.assert_allclose(np.concatenate(got), [1 - 6, 2 - 6, 6 - 1.5])
    got = Center("rate", "leave_one_out")(values, batch)
    np.testing.assert_allclose(np.concatenate(got), [1 - 3 * 1, 2 - 3 * 3, 6 - 0.75 * 2])


def test_a_node_baseline_compares_siblings_and_counts_a_shared_node_once() -> None:
    # a - (b, c), one rollout through each, and a second one through b
    rollouts = [
        Rollout("q", 2, r, ((0, 1), (1, 2)), nodes=n)
        for r, n in [(1.0, ("a", "b")), (1.0, ("a", "b")), (0.0, ("a", "c"))]
    ]
    batch = Batch.of(rollouts).at("step")
    values: Ragged = [np.array([0.5, 1.0]), np.array([0.5, 1.0]), np.array([0.5, 0.0])]
    got = Center("node")(values, batch)
    np.testing.assert_allclose(np.concatenate(got), [np.nan, 0.5, np.nan, 0.5, np.nan, -0.5])
    got = Center("node", "leave_one_out", "std", eps=0.0)(values, batch)
    np.testing.assert_allclose([x[1] for x in got], np.array([1, 1, -1]) / np.sqrt(2))


def test_one_node_under_two_parents_is_refused() -> None:
    rollouts = [Rollout("q", 2, 1.0, ((0, 1), (1, 2)), nodes=n) for n in [("a", "b"), ("c", "b")]]
    with pytest.raises(InputError, match="'b' under two parents"):
        compute(
            rollouts, Signals(((1.0, 1.0), (0.0, 0.0))), CreditConfig((Stream(StepScore(), Center("node")),))
        )


def test_shared_steps_can_be_trained_in_one_rollout_only_and_a_pivot_cuts_what_is_before_it() -> None:
    rollouts = [
        Rollout("q", 2, r, ((0, 1), (1, 2)), nodes=n) for r, n in [(1.0, ("a", "b")), (0.0, ("a", "c"))]
    ]
    config = CreditConfig((Stream(Outcome(), Center()),), shared="once")
    out = compute(rollouts, None, config)
    assert [w.tolist() for w in out.token_weights] == [[1, 1], [0, 1]]
    assert out.advantages[1].tolist() == [0, -0.5]
    retried = [replace(rollouts[0], pivot=1), rollouts[1]]
    assert [w.tolist() for w in compute(retried, None, config).token_weights] == [[0, 1], [1, 1]]


def test_a_method_may_need_no_verdict() -> None:
    config = CreditConfig((Stream(StepScore(), Center("steps")),), keep="judged")
    out = compute(
        [rollout(None, [1]), rollout(None, [1]), rollout(1.0, [1])], Signals(((1.0,), (0.0,), None)), config
    )
    assert out.keep == (True, True, False)
    assert [a.tolist() for a in out.advantages] == [[0.5], [-0.5], [0.0]]


def test_uninformative_groups_can_leave_the_denominator() -> None:
    rollouts = [
        rollout(1.0, [1], "flat"),
        rollout(1.0, [1], "flat"),
        rollout(1.0, [1], "q"),
        rollout(0.0, [1], "q"),
    ]
    out = compute(rollouts, None, replace(METHODS["outcome"], keep="informative"))
    assert out.keep == (False, False, True, True)
    assert [w.sum() for w in out.token_weights] == [0, 0, 1, 1]
    assert out.stats["flat_groups"] == 0.5


def test_scores_pass_through_with_absent_ones_as_nan() -> None:
    r = rollout(1.0, [1, 1])
    np.testing.assert_allclose(StepScore()(Batch.of([r], Signals(((None, 0.5),))))[0], [np.nan, 0.5])


def test_wrong_shapes_are_refused_with_what_was_got_and_expected() -> None:
    r = rollout(1.0, [1, 1])
    with pytest.raises(InputError, match="got no step scores"):
        compute([r], None, METHODS["progress"])
    with pytest.raises(InputError, match="got 1 scores, expected 2"):
        compute([r], Signals(((0.5,),)), METHODS["progress"])
    with pytest.raises(InputError, match="of 0 rollouts, expected 1"):
        compute([r], Signals(()), METHODS["progress"])
    with pytest.raises(InputError, match="got no token scores"):
        compute([r], Signals(((0.5, 0.5),)), CreditConfig((Stream(TokenScore()),)))
    with pytest.raises(InputError, match="got 1 token scores, expected 2"):
        compute([r], Signals(tokens=((0.5,),)), CreditConfig((Stream(TokenScore()),)))
    with pytest.raises(InputError, match="got no scalars 'thinking'"):
        compute([r], None, CreditConfig((Stream(Scalar("thinking")),)))
    with pytest.raises(InputError, match="got no stream"):
        CreditConfig(())


def test_a_method_says_what_it_needs() -> None:
    assert METHODS["rloo"].needs == {"outcome"}
    assert METHODS["pure"].needs == {"outcome", "scores"}
    mixed = CreditConfig(
        (Stream(TokenScore(), Add(Scalar("format"), "every")), Stream(StepScore(), Center("node")))
    )
    assert mixed.needs == {"tokens", "scalars.format", "scores", "nodes"}


def test_the_room_imports_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import preceptor.credit as c; print(sorted(c.METHODS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
