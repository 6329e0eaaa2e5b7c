"""Two heads (BiRM) and many heads (ActPRM)."""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError
from preceptor.reward.losses import (
    bce,
    birm,
    birm_solution,
    birm_value,
    ensemble,
    head_distance,
    needs_label,
    participation,
    trusted,
    uncertainty,
)

FULL = torch.ones(3, 4, 1, dtype=torch.bool)


def test_c_zero_leaves_the_forward_head_alone_and_the_backward_head_unchanged():
    values, targets = torch.randn(3, 4, 2), torch.rand(3, 4, 2)
    grads = {}
    for c in (0.0, 1.0, 2.0):
        outputs = values.clone().requires_grad_()
        birm(outputs, targets, FULL.expand(3, 4, 2), c=c).backward()
        assert outputs.grad is not None
        grads[c] = outputs.grad
    plain = values[..., :1].clone().requires_grad_()
    bce(plain, targets[..., :1], FULL).backward()
    assert grads[0.0][..., 1].abs().max() == 0
    for grad in grads.values():
        torch.testing.assert_close(grad[..., :1], plain.grad)
    torch.testing.assert_close(grads[2.0][..., 1], 2 * grads[1.0][..., 1])


def test_beta_zero_ranks_as_the_plain_model_and_beta_one_sinks_the_hopeless_prefix():
    logits = torch.logit(torch.tensor([[1.0, 0.0], [0.9, 0.6]]), eps=1e-6)
    assert birm_value(logits, beta=0.0)[0] > birm_value(logits, beta=0.0)[1]
    assert birm_value(logits, beta=1.0)[0] < birm_value(logits, beta=1.0)[1]
    torch.testing.assert_close(birm_value(logits, beta=0.0), logits[:, 0].sigmoid())


def test_a_solution_scores_its_mean_backward_and_its_last_forward_value():
    p = torch.tensor([[[0.8, 0.1], [0.6, 0.7], [0.5, 0.9]]])
    mask = torch.tensor([[[True], [True], [False]]])
    assert birm_solution(torch.logit(p), mask, beta=0.5).item() == pytest.approx(0.7 + 0.5 * 0.7)


def test_an_ensemble_of_one_is_the_plain_model_and_more_heads_average():
    outputs, targets = torch.randn(3, 4, 5), torch.rand(3, 4, 1)
    torch.testing.assert_close(
        ensemble(outputs[..., :1], targets, FULL), bce(outputs[..., :1], targets, FULL)
    )
    heads = [bce(outputs[..., e : e + 1], targets, FULL) for e in range(5)]
    torch.testing.assert_close(ensemble(outputs, targets, FULL), torch.stack(heads).mean())


def test_a_head_learns_only_from_the_rows_it_takes_part_in():
    outputs = torch.randn(3, 4, 2, requires_grad=True)
    members = torch.tensor([[True, False], [True, True], [False, True]])
    ensemble(outputs, torch.rand(3, 4, 1), FULL, members=members).backward()
    assert outputs.grad is not None
    assert torch.equal(outputs.grad.abs().sum(1) > 0, members)
    assert participation(50, 8, 1.0).all()
    share = participation(500, 8, 0.25, torch.Generator().manual_seed(0)).float().mean()
    assert share == pytest.approx(0.25, abs=0.03)


def test_the_penalty_is_lambda_times_the_mean_squared_distance_and_moves_only_the_heads():
    heads = [torch.ones(2, 3, requires_grad=True), torch.zeros(2, requires_grad=True)]
    start = [torch.zeros(2, 3, requires_grad=True), torch.zeros(2, requires_grad=True)]
    assert head_distance(heads, start).item() == pytest.approx(6 / 8)
    outputs, targets = torch.randn(3, 4, 2), torch.rand(3, 4, 1)
    plain = ensemble(outputs, targets, FULL)
    loss = ensemble(outputs, targets, FULL, parameters=heads, initial=start)
    assert (loss - plain).item() == pytest.approx(0.5 * 6 / 8)
    loss.backward()
    assert heads[0].grad is not None
    torch.testing.assert_close(heads[0].grad, torch.full((2, 3), 0.5 * 2 / 8))
    assert start[0].grad is None
    with pytest.raises(InputError, match="same shapes"):
        head_distance(heads, start[:1])


def test_one_head_has_no_spread_and_equal_heads_stay_equal():
    assert uncertainty(torch.randn(3, 4, 1))[1].abs().max() == 0
    outputs = torch.randn(3, 4, 1).expand(3, 4, 8).clone().requires_grad_()
    ensemble(outputs, torch.rand(3, 4, 1), FULL).backward()
    assert outputs.grad is not None
    assert outputs.grad.std(-1).max() < 1e-8
    mean, std = uncertainty(torch.logit(torch.tensor([0.2, 0.6])))
    assert (mean.item(), std.item()) == (pytest.approx(0.4), pytest.approx(0.2))


def test_trust_wants_agreement_and_confidence():
    mean = torch.tensor([0.95, 0.05, 0.5, 0.95])
    std = torch.tensor([0.01, 0.0, 0.0, 0.02])
    assert trusted(mean, std).tolist() == [True, True, False, False]


def test_a_trace_needs_a_label_unless_all_steps_up_to_its_predicted_error_are_trusted():
    cases = [
        ((0.99, 0.01, 0.6), False),
        ((0.99, 0.7, 0.01), True),
        ((0.99, 0.98, 0.99), False),
        ((0.99, 0.4, 0.99), True),
        ((0.99, 0.98, 0.6), False),
    ]
    outputs = torch.logit(torch.tensor([p for p, _ in cases])).unsqueeze(-1).expand(5, 3, 4)
    mask = torch.ones(5, 3, 1, dtype=torch.bool)
    mask[4, 2] = False
    assert needs_label(outputs, mask).tolist() == [asked for _, asked in cases]
    assert needs_label(outputs, mask, confidence=1.1).all()
    assert needs_label(outputs, mask, spread=-1).all()
    assert not needs_label(outputs, torch.zeros_like(mask), spread=-1).any()
