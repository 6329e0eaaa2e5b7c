"""FreePRM: cross entropy without the buffer, collapse with all of it, which the random factor prevents."""

from __future__ import annotations

import math

import pytest
import torch

from preceptor.errors import InputError
from preceptor.reward.losses import buffer_score, class_index, freeprm
from preceptor.reward.losses.buffer import last_readout

ONE = torch.ones(1, 1, 1, dtype=torch.bool)


def logits(*p):
    return torch.log(torch.tensor(p)).view(1, 1, 3)


@pytest.mark.parametrize(
    "p, outcome, u, mass",
    [
        ((0.2, 0.5, 0.3), 1.0, 1.0, 0.5),
        ((0.2, 0.5, 0.3), 1.0, 0.0, 0.2),
        ((0.2, 0.5, 0.3), 0.0, 1.0, 0.8),
        ((0.2, 0.5, 0.3), 0.0, 0.0, 0.5),
        ((0.2, 0.3, 0.5), 1.0, 0.5, 0.45),
    ],
)
def test_the_numbers_of_the_entry(p, outcome, u, mass):
    loss = freeprm(logits(*p), torch.full((1, 1, 1), outcome), ONE, factor=u, last_without_buffer=False)
    assert loss.item() == pytest.approx(-math.log(mass), abs=1e-6)


def test_without_buffer_it_is_three_way_cross_entropy_on_the_copied_outcome():
    outputs, outcome = torch.randn(4, 6, 3), torch.randint(0, 2, (4, 1, 1)).float().expand(4, 6, 1)
    mask = torch.rand(4, 6, 1) < 0.7
    expected = class_index(outputs, 1 - outcome, mask)
    torch.testing.assert_close(freeprm(outputs, outcome, mask, factor=0.0), expected)


def test_with_all_of_the_buffer_doing_nothing_is_a_free_solution():
    sure = torch.tensor([[[0.0, 0.0, 40.0]]], requires_grad=True)
    loss = freeprm(sure, torch.ones(1, 1, 1), ONE, factor=1.0, last_without_buffer=False)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert sure.grad is not None
    assert sure.grad.abs().max() < 1e-6


@pytest.mark.parametrize("factor", ["half", "buffer"])
def test_the_random_factor_pulls_out_of_the_collapse(factor):
    """At p_buffer ~ 1 "half" still costs. "buffer" draws u = 1 there, but the last step has none."""
    sure = torch.tensor([0.0, 0.0, 12.0]).expand(1, 200, 3).clone().requires_grad_()
    every = torch.ones(1, 200, 1, dtype=torch.bool)
    loss = freeprm(sure, torch.ones_like(every) * 1.0, every, factor=factor, generator=seeded(0))
    loss.backward()
    assert sure.grad is not None
    assert sure.grad[..., 2].max() > 0, "descent lowers the buffer's logit somewhere"
    assert loss > 0.01


def test_the_factor_is_drawn_per_step_at_the_stated_rate_and_by_the_seed():
    every = torch.ones(1, 4000, 1, dtype=torch.bool)
    outputs = logits(0.2, 0.5, 0.3).expand(1, 4000, 3)
    plain, eased = -math.log(0.2), -math.log(0.5)
    for factor, rate in (("half", 0.5), ("buffer", 0.3)):
        loss = freeprm(outputs, every * 1.0, every, factor=factor, generator=seeded(3))
        assert loss.item() == pytest.approx(rate * eased + (1 - rate) * plain, abs=0.03)
        assert loss == freeprm(outputs, every * 1.0, every, factor=factor, generator=seeded(3))
        assert loss != freeprm(outputs, every * 1.0, every, factor=factor, generator=seeded(4))


def test_the_last_step_has_no_buffer_and_may_count_more():
    outputs = logits(0.2, 0.5, 0.3).expand(2, 3, 3)
    mask = (torch.tensor([[1, 1, 1], [1, 1, 0]]) > 0).unsqueeze(-1)
    assert last_readout(mask).squeeze(-1).tolist() == [[False, False, True], [False, True, False]]
    eased, exact = -math.log(0.5), -math.log(0.2)
    for weight in (1.0, 3.0):
        loss = freeprm(outputs, mask * 1.0, mask, factor=1.0, last_weight=weight)
        assert loss.item() == pytest.approx((3 * eased + 2 * weight * exact) / 5, abs=1e-6)


def test_the_score_leaves_the_buffer_out():
    assert buffer_score(logits(0.2, 0.3, 0.5)).item() == pytest.approx(0.4)


@pytest.mark.parametrize("factor", [1.5, -0.1, "third"])
def test_another_factor_is_refused(factor):
    with pytest.raises(InputError, match="factor"):
        freeprm(logits(0.2, 0.5, 0.3), torch.ones(1, 1, 1), ONE, factor=factor)


def seeded(seed):
    return torch.Generator().manual_seed(seed)
