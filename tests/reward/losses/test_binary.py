"""Cross entropies: closed forms, the two head widths agree, class and position balance."""

from __future__ import annotations

import math

import pytest
import torch

from preceptor.annotate.rules import after_error, last_only, rating_classes
from preceptor.errors import InputError
from preceptor.reward.losses import balance, bce, ce, class_index, position_weights

FULL = torch.ones(3, 5, 1, dtype=torch.bool)


def tensors(rows):
    """Targets and mask of rows with None, padded on the right."""
    longest = max(map(len, rows))
    padded = [[*row, *[None] * (longest - len(row))] for row in rows]
    targets = torch.tensor([[0.0 if y is None else y for y in row] for row in padded]).unsqueeze(-1)
    mask = torch.tensor([[y is not None for y in row] for row in padded]).unsqueeze(-1)
    return targets, mask


@pytest.mark.parametrize("weights", [{}, {"pos_weight": 2.5}, {"neg_weight": 3.0}])
def test_a_two_class_softmax_is_the_sigmoid_of_the_logit_difference(weights):
    two, targets = torch.randn(3, 5, 2), torch.rand(3, 5, 1)
    one = two[..., 1:] - two[..., :1]
    torch.testing.assert_close(ce(two, targets, FULL, **weights), bce(one, targets, FULL, **weights))
    torch.testing.assert_close(ce(two + 7, targets, FULL), ce(two, targets, FULL))


def test_a_verbalizer_head_is_a_two_class_head_with_the_rows_of_its_two_tokens():
    hidden, lm_head, minus, plus = torch.randn(3, 5, 16), torch.randn(40, 16), 12, 31
    targets = torch.rand(3, 5, 1)
    verbalized = (hidden @ lm_head.T)[..., [minus, plus]]
    linear = hidden @ lm_head[[minus, plus]].T
    torch.testing.assert_close(ce(verbalized, targets, FULL), ce(linear, targets, FULL))


def test_soft_targets_have_the_closed_form_and_their_minimum_at_the_target():
    logits = torch.log(torch.tensor([[[0.2, 0.8]]]))
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    expected = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert ce(logits, torch.tensor([[[0.25]]]), one).item() == pytest.approx(expected, abs=1e-6)
    at = torch.logit(torch.full((1, 1, 1), 0.25)).requires_grad_()
    bce(at, torch.tensor([[[0.25]]]), one).backward()
    assert at.grad is not None
    assert at.grad.abs().max() < 1e-6


def test_very_sure_wrong_logits_give_a_finite_linear_loss():
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    assert bce(torch.tensor([[[-200.0]]]), torch.ones(1, 1, 1), one).item() == pytest.approx(200)


def test_an_outcome_model_is_a_process_model_masked_to_the_last_step():
    rows = [(1.0, 1.0, 0.0), (1.0, 1.0)]
    targets, mask = tensors([last_only(r) for r in rows])
    outputs = torch.randn(2, 3, 1, requires_grad=True)
    loss = bce(outputs, targets, mask)
    read = torch.stack([outputs[0, 2], outputs[1, 1]]).unsqueeze(1)
    torch.testing.assert_close(loss, bce(read, torch.tensor([[[0.0]], [[1.0]]]), torch.ones(2, 1, 1) > 0))
    loss.backward()
    assert outputs.grad is not None
    assert (outputs.grad.squeeze(-1) != 0).tolist() == [[False, False, True], [False, True, False]]


def test_three_classes_end_at_the_first_wrong_step():
    """Supervision of PRM800K stops there: later readouts must have no gradient at all."""
    ratings = (1, 0, -1, 1, -1)
    targets, mask = tensors([after_error(rating_classes(ratings), "mask")])
    outputs = torch.randn(1, 5, 3, requires_grad=True)
    loss = class_index(outputs, targets, mask)
    expected = -outputs.log_softmax(-1)[0, [0, 1, 2], [2, 1, 0]].mean()
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert outputs.grad is not None
    assert outputs.grad[0, 3:].abs().sum() == 0
    assert (outputs.grad[0, :3].abs().sum(-1) > 0).all()


def test_class_index_with_two_classes_is_the_hard_cross_entropy():
    outputs, targets = torch.randn(3, 5, 2), torch.randint(0, 2, (3, 5, 1)).float()
    torch.testing.assert_close(class_index(outputs, targets, FULL), ce(outputs, targets, FULL))
    weighted = class_index(outputs, targets, FULL, class_weights=(1.0, 2.5))
    torch.testing.assert_close(weighted, ce(outputs, targets, FULL, pos_weight=2.5))


@pytest.mark.parametrize("bad", [-1.0, 3.0, 0.5])
def test_a_target_that_is_no_class_is_refused(bad):
    with pytest.raises(InputError, match=r"0\.\.2"):
        class_index(torch.zeros(3, 5, 3), torch.full((3, 5, 1), bad), FULL)


def test_class_balance_gives_both_classes_the_same_pull_at_a_neutral_head():
    targets, mask = tensors([(1.0, 1.0, 1.0, 0.0), (1.0, None, None, None)])
    weight = balance(targets, mask)
    assert weight.item() == pytest.approx(1 / 4)
    outputs = torch.zeros(2, 4, 1, requires_grad=True)
    bce(outputs, targets, mask, pos_weight=weight).backward()
    assert outputs.grad is not None
    assert outputs.grad.sum().abs() < 1e-7
    assert balance(torch.ones(1, 2, 1), torch.ones(1, 2, 1) > 0) == 1


def test_with_position_weights_a_head_that_sees_only_the_position_learns_nothing():
    """Errors come late, so without balance "late means wrong" lowers the loss: the shortcut SORM removes."""
    targets, mask = tensors([(1.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0), (1.0, 1.0, 1.0)])
    weights = position_weights(targets, mask)
    for used, shortcut in ((None, True), (weights, False)):
        by_position = torch.zeros(1, 3, 1, requires_grad=True)
        bce(by_position.expand(4, 3, 1), targets, mask, weights=used).backward()
        assert by_position.grad is not None
        assert bool(by_position.grad.abs().max() > 1e-3) == shortcut
    good, wrong = weights * targets, weights * (1 - targets) * mask
    torch.testing.assert_close(good.sum(0), wrong.sum(0))
    assert weights.sum() == mask.sum(), "weights average 1 where both classes occur"


def test_a_position_with_one_class_only_has_weight_zero():
    targets, mask = tensors([(1.0, 1.0), (1.0, 0.0)])
    assert position_weights(targets, mask).squeeze(-1).tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_row_weights_do_not_cancel_in_a_batch_of_one():
    outputs, targets, one = torch.randn(1, 4, 1), torch.rand(1, 4, 1), torch.ones(1, 4, 1) > 0
    weighted = bce(outputs, targets, one, weights=torch.tensor([0.25]).view(1, 1, 1))
    torch.testing.assert_close(weighted, 0.25 * bce(outputs, targets, one))
