"""Several targets at once, preferences between tokens and responses, and the likelihood of text."""

from __future__ import annotations

import math

import pytest
import torch

from preceptor.annotate.rules import with_trajectory
from preceptor.errors import InputError
from preceptor.reward.losses import (
    bce,
    ce,
    channels,
    cooper,
    mse,
    saffron,
    sft,
    steps_and_trajectory,
    token_pairs,
)


def every(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def test_one_channel_is_the_plain_loss():
    outputs, targets, mask = torch.randn(3, 4, 1), torch.rand(3, 4, 1), torch.rand(3, 4, 1) < 0.7
    torch.testing.assert_close(channels(outputs, targets, mask), mse(outputs, targets, mask))
    torch.testing.assert_close(channels(outputs, targets, mask, kind="bce"), bce(outputs, targets, mask))


def test_a_channel_learns_from_its_own_targets_only():
    outputs, targets = torch.randn(3, 4, 3, requires_grad=True), torch.rand(3, 4, 3)
    mask = every(3, 4, 3)
    mask[:, :, 1] = False
    channels(outputs, targets, mask, channel_weights=(1.0, 5.0, 0.0)).backward()
    assert outputs.grad is not None
    assert outputs.grad[..., 1:].abs().max() == 0
    torch.testing.assert_close(
        channels(outputs, targets, mask, channel_weights=(1.0, 5.0, 0.0)),
        mse(outputs[..., :1], targets[..., :1], every(3, 4, 1)),
    )


def test_channel_weights_are_relative():
    outputs, targets, mask = torch.randn(3, 4, 2), torch.rand(3, 4, 2), torch.rand(3, 4, 2) < 0.7
    torch.testing.assert_close(
        channels(outputs, targets, mask, channel_weights=(1, 3)),
        channels(outputs, targets, mask, channel_weights=(10, 30)),
    )
    torch.testing.assert_close(
        channels(outputs, targets, mask), ((outputs - targets)[mask] ** 2).mean(), msg="plain mean"
    )
    with pytest.raises(InputError, match="channel_weights"):
        channels(outputs, targets, mask, channel_weights=(1.0,))


def test_unobserved_next_tokens_get_no_gradient_not_even_through_the_bias():
    hidden, head = torch.randn(2, 3, 8), torch.randn(11, 8)
    bias = torch.zeros(11, requires_grad=True)
    tokens = torch.tensor([[[4, 7], [2, -100], [4, -100]], [[9, 2], [-100, -100], [7, 4]]])
    mask = torch.tensor([[[1, 1], [1, 0], [1, 0]], [[1, 1], [0, 0], [1, 1]]]) > 0
    saffron(hidden @ head.T + bias, torch.randn(2, 3, 2), mask, tokens=tokens).backward()
    assert bias.grad is not None
    assert set(bias.grad.nonzero().flatten().tolist()) == {2, 4, 7, 9}


def test_named_tokens_and_the_dense_form_agree():
    outputs, rewards = torch.randn(2, 3, 11), torch.randn(2, 3, 2)
    tokens = torch.tensor([4, 7]).expand(2, 3, 2)
    dense, kept = torch.zeros(2, 3, 11), torch.zeros(2, 3, 11, dtype=torch.bool)
    dense[..., [4, 7]], kept[..., [4, 7]] = rewards, True
    loss = saffron(outputs, rewards, every(2, 3, 2), tokens=tokens)
    torch.testing.assert_close(loss, saffron(outputs, dense, kept))
    torch.testing.assert_close(loss, ((outputs[..., [4, 7]] - rewards) ** 2).sum(-1).mean())


def padded(rows):
    longest = max(map(len, rows))
    filled = [[*row, *[(None, None)] * (longest - len(row))] for row in rows]
    values = torch.tensor([[[0.0 if y is None else y for y in pair] for pair in row] for row in filled])
    return values, torch.tensor([[[y is not None for y in pair] for pair in row] for row in filled])


def test_every_row_has_its_own_trajectory_target_at_its_own_position():
    """The published collator labels all rows with the last one's target, and drops it under right padding."""
    rows = [with_trajectory((1.0, 0.0), 0.0), with_trajectory((1.0, 1.0, 1.0, 1.0), 1.0)]
    targets, mask = padded(rows)
    assert mask.any(-1).sum(1).tolist() == [3, 5], "T steps, T + 1 readouts"
    outputs = torch.zeros(2, 5, 1, requires_grad=True)
    steps_and_trajectory(outputs, targets, mask, lambda_s=0.0, kind="bce").backward()
    assert outputs.grad is not None
    push = -outputs.grad.squeeze(-1)
    assert push.nonzero().tolist() == [[0, 2], [1, 4]]
    assert push[0, 2] < 0 < push[1, 4]


def test_lambdas_weigh_two_separate_means():
    targets, mask = padded([with_trajectory((1.0, 0.0, 1.0), 0.25)])
    outputs = torch.zeros(1, 4, 1)
    loss = steps_and_trajectory(outputs, targets, mask, lambda_s=2.0, lambda_f=3.0)
    assert loss.item() == pytest.approx(2 * 0.25 + 3 * 0.0625)


def test_fin_prm_is_the_cross_entropy_over_all_positions():
    targets, mask = padded([with_trajectory((1.0, 0.0), 0.0), with_trajectory((1.0,), 1.0)])
    outputs = torch.randn(2, 3, 2)
    joint = ce(outputs, targets.sum(-1, keepdim=True), mask.any(-1, keepdim=True))
    parts = steps_and_trajectory(outputs, targets, mask, lambda_s=3 / 5, lambda_f=2 / 5, kind="ce")
    torch.testing.assert_close(joint, parts)


def test_a_constant_added_to_all_token_values_changes_nothing():
    outputs, mask = torch.randn(2, 3, 4), torch.rand(2, 3, 3) < 0.7
    none = torch.zeros(2, 3, 3)
    torch.testing.assert_close(token_pairs(outputs + 5, none, mask), token_pairs(outputs, none, mask))
    assert token_pairs(torch.zeros(2, 3, 4), none, every(2, 3, 3)).item() == pytest.approx(math.log(2))
    with pytest.raises(InputError, match="one more"):
        token_pairs(torch.zeros(2, 3, 3), none, every(2, 3, 3))


def test_the_gold_token_is_raised_once_per_negative():
    outputs = torch.zeros(1, 1, 3, requires_grad=True)
    token_pairs(outputs, torch.zeros(1, 1, 2), every(1, 1, 2)).backward()
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == pytest.approx([-0.5, 0.25, 0.25])


def test_cooper_compares_the_two_verdicts_and_skips_a_prompt_without_a_right_response():
    outputs = torch.tensor([2.0, 0.5, 9.0, -9.0]).view(4, 1, 1)
    mask = torch.tensor([True, True, False, True]).view(4, 1, 1)
    loss = cooper(outputs, torch.zeros(4, 1, 1), mask)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.5)), abs=1e-6)
    tokens = torch.cat([torch.randn(4, 3, 1), outputs], 1)
    labelled = mask.expand(4, 4, 1)
    torch.testing.assert_close(
        cooper(tokens, torch.zeros(4, 4, 1), labelled), loss, msg="the last one is read"
    )


def test_tool_outputs_carry_no_loss_whatever_their_probability():
    outputs = torch.tensor([[-1.0, -50.0, -3.0, -7.0]]).unsqueeze(-1).requires_grad_()
    mask = torch.tensor([[True, True, True, False]]).unsqueeze(-1)
    tool = torch.tensor([[False, True, False, False]])
    loss = sft(outputs, torch.zeros(1, 4, 1), mask, tool=tool)
    loss.backward()
    assert loss.item() == 2.0
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == [-0.5, 0.0, -0.5, 0.0]
    with pytest.raises(InputError, match="tool"):
        sft(outputs, torch.zeros(1, 4, 1), mask, tool=tool.long())
