"""What holds for every loss: unlabelled entries have no influence, order is free, misuse is named.

Run: python -m pytest tests/reward/losses
"""

from __future__ import annotations

import math

import pytest
import torch

from preceptor.errors import InputError
from preceptor.reward import losses
from tests.reward.losses.cases import ROWS, STEPS, case
from tests.reward.losses.table import LOSSES

ALL = pytest.mark.parametrize("name", sorted(LOSSES))


def gradient(batch, name, outputs, **changed):
    outputs = outputs.clone().requires_grad_()
    loss = batch.loss(name, outputs, **changed)
    loss.backward()
    assert outputs.grad is not None
    return loss.detach(), outputs.grad


@ALL
def test_a_loss_is_a_finite_scalar_with_gradient_at_labels_only(name):
    batch = case(name)
    loss, grad = gradient(batch, name, batch.outputs)
    assert loss.shape == ()
    assert loss.isfinite()
    assert grad.abs().sum() > 0
    assert grad[~batch.mask.any(-1)].abs().sum() == 0


@ALL
def test_nan_and_infinity_outside_the_mask_change_neither_value_nor_gradient(name):
    batch = case(name)
    loss, grad = gradient(batch, name, batch.outputs)
    unlabelled = ~batch.mask.any(-1)
    for junk in (math.nan, math.inf, -math.inf):
        outputs, targets = batch.outputs.clone(), batch.targets.clone()
        outputs[unlabelled], targets[~batch.mask] = junk, junk
        if outputs.shape == targets.shape:
            outputs[~batch.mask] = junk
        other, found = gradient(batch, name, outputs, targets=targets)
        assert torch.equal(other, loss)
        assert torch.equal(found, grad)


@ALL
def test_a_batch_without_labels_has_loss_zero_and_can_be_stepped_on(name):
    batch = case(name)
    none = torch.zeros_like(batch.mask)
    loss, grad = gradient(batch, name, torch.full_like(batch.outputs, math.nan), mask=none)
    assert loss == 0
    assert torch.equal(grad, torch.zeros_like(grad))


@ALL
def test_the_order_of_rows_or_of_pairs_does_not_matter(name):
    batch = case(name)
    order = torch.tensor([4, 5, 0, 1, 2, 3])
    moved = {k: v[order] for k, v in batch.settings.items() if isinstance(v, torch.Tensor) and len(v) == ROWS}
    other = batch.loss(
        name, batch.outputs[order], targets=batch.targets[order], mask=batch.mask[order], **moved
    )
    torch.testing.assert_close(other, batch.loss(name))


@ALL
def test_padding_on_the_right_does_not_matter(name):
    batch = case(name)

    def pad(x, value):
        return torch.cat([x, torch.full_like(x[:, :2], value)], 1)

    other = batch.loss(
        name, pad(batch.outputs, math.nan), targets=pad(batch.targets, 0), mask=pad(batch.mask, False)
    )
    torch.testing.assert_close(other, batch.loss(name))


@ALL
def test_half_precision_outputs_are_computed_in_fp32(name):
    batch = case(name)
    half = batch.outputs.bfloat16()
    assert batch.loss(name, half).dtype == torch.float32
    torch.testing.assert_close(batch.loss(name, half), batch.loss(name, half.float()))


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"kto"}))
def test_the_gradient_is_that_of_the_value(name):
    """Except in KTO, whose KL terms carry no gradient on purpose (test_implicit.py)."""
    batch = case(name)
    _, grad = gradient(batch, name, batch.outputs)
    draw = torch.Generator().manual_seed(1)
    direction = torch.randn(batch.outputs.shape, generator=draw)
    up, down = (batch.loss(name, batch.outputs + s * 1e-2 * direction) for s in (1, -1))
    assert ((up - down) / 2e-2).item() == pytest.approx((grad * direction).sum().item(), rel=2e-2, abs=2e-3)


@ALL
def test_a_mask_of_integers_is_refused(name):
    """-100 cast to bool is True: a mask must have been made as one."""
    batch = case(name)
    with pytest.raises(InputError, match=r"expected torch\.bool"):
        batch.loss(name, mask=batch.mask.long())


@ALL
def test_a_head_of_another_shape_is_refused(name):
    batch = case(name)
    with pytest.raises(InputError):
        batch.loss(name, batch.outputs[..., 0])
    if LOSSES[name].width is not None:
        with pytest.raises(InputError, match="expected"):
            batch.loss(name, torch.zeros(ROWS, STEPS, 9))


@pytest.mark.parametrize("name", sorted(n for n, o in LOSSES.items() if o.pairs))
def test_pair_losses_want_an_even_number_of_rows(name):
    batch = case(name)
    with pytest.raises(InputError, match="pairs"):
        batch.loss(name, batch.outputs[:5], targets=batch.targets[:5], mask=batch.mask[:5])


@pytest.mark.parametrize("name", ["cooper", "dpo", "kto", "nca", "pairwise"])
def test_a_pair_with_an_empty_side_does_not_count(name):
    batch = case(name)
    cut = batch.mask.clone()
    cut[3] = False
    kept = [0, 1, 4, 5]
    torch.testing.assert_close(
        batch.loss(name, mask=cut),
        batch.loss(name, batch.outputs[kept], targets=batch.targets[kept], mask=batch.mask[kept]),
    )


def test_the_table_names_every_loss_once_and_the_map_every_public_name():
    assert all(getattr(losses, name) is o.loss for name, o in LOSSES.items())
    assert losses.__all__ == sorted(set(losses.__all__), key=lambda n: (not n.isupper(), n[0].islower(), n))
