"""Specifies the numbers: hand-computed advantages of each method and each stage.

Run with `python -m pytest tests/credit/test_values.py`.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.credit import METHODS, Baseline, CreditConfig, Rollout, Signals, compute
from preceptor.credit.baseline import advantages
from preceptor.credit.mix import last_step
from preceptor.credit.returns import minimum, total
from preceptor.credit.step_reward import progress, score
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
    config = CreditConfig(
        outcome=None, step_reward="score", mix="last_step", returns="sum", steps=Baseline("prompt", "none")
    )
    out = compute([rollout(1.0, [1, 2])], Signals(((0.25, None),)), config)
    np.testing.assert_allclose(out.advantages[0], [1.25, 1.0, 1.0])
    np.testing.assert_allclose(last_step(np.array([0.5, 0.25]), 1.0), [0.5, 1.25])


def test_a_turn_baseline_compares_equal_step_indices_and_leaves_a_lone_turn_at_zero() -> None:
    values = [np.array([1.0, 4.0, 9.0]), np.array([3.0, 2.0])]
    sizes = [np.ones(3), np.ones(2)]
    got = advantages(values, sizes, ["q", "q"], Baseline("turn", "mean"))
    np.testing.assert_allclose(got[0], [-1.0, 1.0, np.nan])
    np.testing.assert_allclose(got[1], [1.0, -1.0])
    scaled = advantages(values, sizes, ["q", "q"], Baseline("turn", "mean", "std"))
    np.testing.assert_allclose(scaled[1], np.array([1.0, -1.0]) / (np.sqrt(2) + 1e-4))


def test_a_batch_baseline_crosses_prompts() -> None:
    values = [np.array([1.0]), np.array([0.0]), np.array([0.5])]
    got = advantages(values, [np.ones(1)] * 3, ["a", "b", "c"], Baseline("batch", "mean"))
    np.testing.assert_allclose(np.concatenate(got), [0.5, -0.5, 0.0])


def test_the_scale_is_taken_of_centered_values_so_equal_totals_do_not_blow_up() -> None:
    values = [np.array([0.4, -0.4]), np.array([0.0, 0.0])]
    got = advantages(values, [np.ones(2)] * 2, ["q", "q"], Baseline("share", "mean", "std"))
    assert np.abs(np.concatenate(got)).max() < 2


def test_uninformative_groups_can_leave_the_denominator() -> None:
    rollouts = [
        rollout(1.0, [1], "flat"),
        rollout(1.0, [1], "flat"),
        rollout(1.0, [1], "q"),
        rollout(0.0, [1], "q"),
    ]
    out = compute(rollouts, None, CreditConfig(keep="informative"))
    assert out.keep == (False, False, True, True)
    assert [w.sum() for w in out.token_weights] == [0, 0, 1, 1]
    assert out.stats["flat_groups"] == 0.5


def test_scores_pass_through_with_absent_ones_as_nan() -> None:
    r = rollout(1.0, [1, 1])
    np.testing.assert_allclose(score([r], Signals(((None, 0.5),)))[0], [np.nan, 0.5])


def test_wrong_shapes_are_refused_with_what_was_got_and_expected() -> None:
    r = rollout(1.0, [1, 1])
    with pytest.raises(InputError, match="got no step scores"):
        compute([r], None, METHODS["progress"])
    with pytest.raises(InputError, match="got 1 scores, expected 2"):
        compute([r], Signals(((0.5,),)), METHODS["progress"])
    with pytest.raises(InputError, match="of 0 rollouts, expected 1"):
        compute([r], Signals(()), METHODS["progress"])
    with pytest.raises(InputError, match="got mix"):
        CreditConfig(mix="last_step", step_reward="score")


def test_the_room_imports_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import preceptor.credit as c; print(sorted(c.METHODS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
