"""Specifies the losses: weights, denominators, margins, masks, with exact numbers.

Run: python -m pytest tests/learn/supervised/test_losses.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import InputError
from preceptor.learn.data import items_of
from preceptor.learn.supervised import echo, losses, scope_opd, uni_opd
from tests.learn.data.toys import RIGHT, WRONG, trace

# losses


def test_weighted_likelihood_is_divided_by_the_number_of_trained_tokens_and_not_by_weights() -> None:
    logps = torch.tensor([[-1.0, -2.0, -4.0, float("nan")]])
    loss = losses.weighted_nll(logps, torch.tensor([[1.0, 0.0, 0.5, 9.0]]), torch.tensor([[1, 1, 1, 0]]))
    assert loss.item() == pytest.approx((1 + 0 + 2) / 3)
    assert losses.weighted_nll(logps, torch.ones(1, 4), torch.zeros(1, 4)).item() == 0.0


def test_off_policy_tokens_are_shaped_by_pi_over_pi_plus_a_tenth() -> None:
    logps = torch.tensor([0.9, 0.1, 0.001]).log().requires_grad_()
    loss = losses.shaped(logps, torch.ones(3))
    assert loss.tolist() == pytest.approx([-0.9, -0.5, -0.001 / 0.101])
    loss.sum().backward()
    pi = logps.detach().exp()
    torch.testing.assert_close(logps.grad, -0.1 * pi / (pi + 0.1) ** 2)
    assert logps.grad.abs().argmax() == 1, "neither the sure nor the hopeless token moves most"


def test_thinktuning_drops_teacher_tokens_of_negative_advantage() -> None:
    logps = torch.tensor([-1.0, -1.0], requires_grad=True)
    losses.shaped(logps, torch.tensor([1.0, -1.0]), drop_negative=True).sum().backward()
    assert logps.grad[0] < 0
    assert logps.grad[1] == 0


def test_opmd_needs_no_stored_log_probabilities_and_halves_the_gradient_at_tau_1() -> None:
    logps = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    loss = losses.opmd(logps, torch.tensor([[3.0]]), torch.tensor([[0, 1]]))
    assert loss.item() == pytest.approx(3 * 2 / 2)
    loss.backward()
    assert logps.grad.tolist() == [[0.0, -1.5]]


def test_values_are_compared_behind_tanh_where_there_is_a_target() -> None:
    outputs = torch.tensor([[0.0, 100.0, -100.0]])
    loss = losses.value_loss(outputs, torch.tensor([[0.5, 1.0, 1.0]]), torch.tensor([[1, 1, 0]]))
    assert loss.item() == pytest.approx(0.125)


# echo


def test_without_lambda_the_policy_loss_is_untouched_and_with_it_the_masks_have_their_own_denominators() -> (
    None
):
    logps = torch.tensor([[-1.0, -2.0, -3.0, -50.0]], requires_grad=True)
    acted, observed = torch.tensor([[1, 0, 0, 0]]), torch.tensor([[0, 1, 1, 0]])
    policy = losses.weighted_nll(logps, torch.ones(1, 4), acted)
    assert echo.echo_loss(policy, logps, observed, 0.0) is policy
    total = echo.echo_loss(policy, logps, observed, 0.1)
    assert total.item() == pytest.approx(1.0 + 0.1 * 2.5)
    total.backward()
    assert logps.grad.tolist()[0] == pytest.approx([-1.0, -0.05, -0.05, 0.0])


def test_a_batch_without_observations_adds_nothing() -> None:
    logps = torch.tensor([[-1.0]])
    assert echo.echo_loss(torch.tensor(2.0), logps, torch.zeros(1, 1)).item() == 2.0


def test_observations_are_what_was_not_sampled_cut_to_the_first_tokens_of_each() -> None:
    sampled = [True, False, False, False, True, False]
    assert echo.observation_mask(sampled).tolist() == [False, True, True, True, False, True]
    assert echo.observation_mask(sampled, longest=2).tolist() == [False, True, True, False, False, True]
    teacher = [False, False, False, False, False, True]
    assert echo.observation_mask(sampled, given=teacher).tolist() == [False, True, True, True, False, False]
    assert echo.decayed(0.1, 5, 10) == pytest.approx(0.05)


# scope


def test_weights_average_1_in_each_part_and_favour_unsure_right_and_plausible_wrong_answers() -> None:
    student = [-0.1, -2.0, -0.5, -0.7, -0.3]
    teacher = [-1.0, -1.0, -0.2, -3.0, -0.9]
    correct = [True, True, False, False, True]
    groups = ["a", "a", "a", "a", "b"]
    w = scope_opd.scope_weights(student, teacher, correct, groups)
    assert w[:2].mean() == pytest.approx(1)
    assert w[2:4].mean() == pytest.approx(1)
    assert w[4] == 1
    assert w[1] > w[0]
    assert w[2] > w[3]
    assert w[1] / w[0] == pytest.approx(np.exp(2.0 - 0.1))  # PPL_S^(1/tau)
    assert w[2] / w[3] == pytest.approx(np.exp(3.0 - 0.2))  # PPL_T^(-1/tau)


def test_an_endless_temperature_is_uniform_and_0_is_refused() -> None:
    w = scope_opd.scope_weights([-1, -900], [-1, -1], [True, True], ["a", "a"], float("inf"))
    assert w.tolist() == [1, 1]
    with pytest.raises(InputError, match="tau"):
        scope_opd.scope_weights([], [], [], [], 0.0)


def test_each_part_has_its_own_denominator_and_an_all_wrong_group_is_plain_distillation() -> None:
    logps = torch.tensor([[-1.0, -3.0], [-1.0, -2.0]], requires_grad=True)
    teacher, mask = torch.tensor([[0.0, 0.0], [-2.0, -0.5]]), torch.tensor([[1, 1], [1, 1]])
    weights = torch.tensor([1.0, 2.0])
    loss = scope_opd.scope_loss(logps, teacher, weights, torch.tensor([1, 0]), mask)
    assert loss.item() == pytest.approx(2.0 + (2 * (-1 * 1 + 1.5 * 2)) / 2)
    loss.backward()
    assert logps.grad[0].tolist() == [-0.5, -0.5]
    assert logps.grad[1].tolist() == [1.0, -1.5]  # down where the teacher disagrees, up where it agrees
    plain = scope_opd.scope_loss(logps.detach(), teacher, torch.ones(2), torch.zeros(2), mask)
    gap = teacher - logps.detach()
    assert plain.item() == pytest.approx(-(gap * logps.detach()).mean().item())


def test_rows_of_a_group_are_weighted_by_token_and_an_unread_wrong_rollout_gives_none() -> None:
    items = items_of([trace(RIGHT), trace(WRONG, draw=1), trace(WRONG, draw=2)])
    n = [len(x.trace.token_ids) for x in items]
    student = [(-1.0,) * n[0], (-1.0,) * n[1], (-1.0,) * n[2]]
    rows = scope_opd.scope_rows(items, student, [None, (-1.5,) * n[1], None])
    assert [r.stream for r in rows] == ["right", "wrong"]
    assert rows[0].pieces[0].weights == (1.0,) * n[0]
    assert rows[1].pieces[0].weights == (-0.5,) * n[1]
    unknown = [replace(items[0], outcome=None)]
    assert scope_opd.scope_rows(unknown, student[:1], [None]) == []


# uni_opd

VALUES = [np.array([0.1, 0.3]), np.array([0.0]), np.array([0.5, 0.1]), np.array([-1.0, 0.4])]
MASKS = [np.ones(len(v), dtype=bool) for v in VALUES]
CORRECT, GROUP = [True, True, False, False], ["a"] * 4


def gap(values, masks=MASKS, margin="mean") -> float:
    s = uni_opd.scores(values, masks)
    return uni_opd.gap_of(s[:2], s[2:], margin)


@pytest.mark.parametrize("direction", ["both", "correct_up", "incorrect_down"])
@pytest.mark.parametrize("margin", ["mean", "extremes"])
def test_after_calibration_the_gap_is_delta_exactly(direction: str, margin: str) -> None:
    out = uni_opd.calibrated(VALUES, MASKS, CORRECT, GROUP, margin=margin, direction=direction)
    assert gap(out, margin=margin) == pytest.approx(0.4, abs=1e-12)
    if direction == "correct_up":
        assert all((a == b).all() for a, b in zip(out[2:], VALUES[2:], strict=True))
    if direction == "both":
        assert (out[0] - VALUES[0])[0] == pytest.approx((VALUES[2] - out[2])[0])


def test_consistent_groups_one_sided_groups_and_delta_of_minus_infinity_are_untouched() -> None:
    for correct, delta in ((CORRECT, -np.inf), (CORRECT, -1.0), ([True] * 4, 0.4)):
        out = uni_opd.calibrated(VALUES, MASKS, correct, GROUP, delta=delta)
        assert all((a == b).all() for a, b in zip(out, VALUES, strict=True))


def test_groups_are_calibrated_apart() -> None:
    values = [np.array([1.0]), np.array([0.0]), np.array([0.0]), np.array([0.0])]
    masks = [np.ones(1, dtype=bool)] * 4
    out = uni_opd.calibrated(values, masks, [True, False, True, False], ["a", "a", "b", "b"])
    assert [float(v[0]) for v in out] == pytest.approx([1.0, 0.0, 0.2, -0.2])


def test_far_tokens_and_failed_teacher_calls_are_masked_and_stay_0_when_others_are_shifted() -> None:
    values, masks = uni_opd.token_advantages(
        [(-1.0, -20.0), None, (-3.0, -1.0)], [(-2.0, -1.0), (-1.0,), (-1.0, -1.0)]
    )
    assert [v.tolist() for v in values] == [[1.0, 0.0], [0.0], [-2.0, 0.0]]
    assert [m.tolist() for m in masks] == [[True, False], [False], [True, True]]
    out = uni_opd.calibrated(values, masks, [True, True, False], ["a"] * 3, delta=3.0)
    assert out[0].tolist() == [1.5, 0.0]
    assert out[1].tolist() == [0.0]


def test_greedy_masking_drops_what_raises_the_gap_most_until_it_is_delta() -> None:
    values = [np.array([x]) for x in (1.0, -3.0, 0.0, 0.5)]
    masks = [np.ones(1, dtype=bool)] * 4
    out = uni_opd.greedy_masked(values, masks, CORRECT, GROUP)
    assert [m.tolist() for m in out] == [[True], [False], [True], [True]]
    kept = uni_opd.greedy_masked(values, masks, CORRECT, GROUP, least=1.0)
    assert all(m.all() for m in kept)
    hopeless = [np.array([x]) for x in (-1.0, -1.0, 1.0, 1.0)]
    assert all(m.all() for m in uni_opd.greedy_masked(hopeless, masks, CORRECT, GROUP))


def test_medium_prompts_repeat_and_sides_are_balanced() -> None:
    assert uni_opd.repeats([0.0, 0.5, 1.0, None]) == [1, 2, 1, 1]
    assert uni_opd.balanced([True, True, True, False]) == [True, False, False, True]
    assert uni_opd.balanced([True, True]) == [True, True]


def test_what_an_environment_wrote_is_neither_weighed_nor_trained() -> None:
    right = trace(RIGHT)
    n = len(right.token_ids)
    played = replace(right, sampled=tuple(k >= 8 for k in range(n)))
    items = items_of([played, trace(RIGHT, draw=1)])
    student = [(-9.0,) * 8 + (-1.0,) * (n - 8), (-1.0,) * n]
    rows = scope_opd.scope_rows(items, student, [None, None])
    assert [(p.trained, len(p.token_ids)) for p in rows[0].pieces] == [(False, 8), (True, n - 8)]
    assert rows[0].pieces[1].weights == pytest.approx((1.0,) * (n - 8))
