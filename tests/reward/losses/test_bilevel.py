"""DreamPRM: domain weights average 1, the hypergradient is right, a domain of noise loses its weight."""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError
from preceptor.reward.losses import domain_mse, domain_weights, hypergradient, meta_mse, mse


def test_weights_average_one_and_start_equal():
    assert domain_weights(torch.zeros(4)).tolist() == [1.0] * 4
    weights = domain_weights(torch.tensor([3.0, -2.0, 0.1]))
    assert weights.mean().item() == pytest.approx(1)
    assert (weights > 0).all()


def test_frozen_at_the_start_it_is_uniform_training():
    outputs, targets, mask = torch.randn(3, 4, 1), torch.rand(3, 4, 1), torch.rand(3, 4, 1) < 0.7
    loss = domain_mse(outputs, targets, mask, domains=torch.tensor([0, 2, 1]), a=torch.full((3,), 0.7))
    torch.testing.assert_close(loss, mse(outputs, targets, mask, link="sigmoid"))


def test_the_meta_score_is_the_sigmoid_of_the_mean_logit_so_length_does_not_matter():
    logits = torch.tensor([[2.0, -1.0]]).unsqueeze(-1)
    full = torch.ones(1, 2, 1, dtype=torch.bool)
    z = torch.ones(1)
    loss = meta_mse(logits, torch.zeros(1, 2, 1), full, outcome=z)
    assert loss.item() == pytest.approx((torch.sigmoid(torch.tensor(0.5)).item() - 1) ** 2)
    twice = meta_mse(logits.repeat(1, 2, 1), torch.zeros(1, 4, 1), full.repeat(1, 2, 1), outcome=z)
    torch.testing.assert_close(twice, loss)


class Logistic:
    """Three domains of the same linear concept; the labels of domain 2 are coin flips."""

    def __init__(self, seed=0, rows=240, width=4, dtype=torch.float32):
        draw = torch.Generator().manual_seed(seed)
        truth = torch.tensor([2.0, -1.0, 0.5, 1.5])
        self.x = torch.randn(rows, 1, width, generator=draw)
        self.y = (self.x @ truth > 0).float().unsqueeze(-1)
        self.domains = torch.arange(rows) % 3
        flips = torch.rand(rows, 1, 1, generator=draw)
        self.y[self.domains == 2] = (flips[self.domains == 2] < 0.5).float()
        self.meta_x = torch.randn(60, 3, width, generator=draw)
        self.meta_z = ((self.meta_x @ truth).mean(1) > 0).float()
        self.w = torch.zeros(width, requires_grad=True)
        self.a = torch.zeros(3, requires_grad=True)
        self.mask = torch.ones(rows, 1, 1, dtype=torch.bool)

    def lower(self):
        outputs = (self.x @ self.w).unsqueeze(-1)
        return domain_mse(outputs, self.y, self.mask, domains=self.domains, a=self.a)

    def meta(self, w=None):
        outputs = (self.meta_x @ (self.w if w is None else w)).unsqueeze(-1)
        every = torch.ones_like(outputs, dtype=torch.bool)
        return meta_mse(outputs, torch.zeros_like(outputs), every, outcome=self.meta_z)


def test_the_finite_difference_is_the_gradient_through_the_step():
    task, lr = Logistic(), 2.0
    with torch.no_grad():
        task.w.copy_(torch.tensor([0.3, -0.2, 0.1, 0.4]))
    before = task.w.detach().clone()
    (found,) = hypergradient(task.lower, task.meta, [task.w], [task.a], lr=lr)
    assert torch.equal(task.w.detach(), before), "parameters are restored to the bit"
    (step,) = torch.autograd.grad(task.lower(), [task.w], create_graph=True)
    (exact,) = torch.autograd.grad(task.meta(task.w - lr * step), [task.a])
    assert exact.abs().max() > 1e-4
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-6)


def test_parameters_are_restored_when_the_meta_loss_fails():
    task = Logistic()

    def broken():
        raise RuntimeError("no meta batch")

    with pytest.raises(RuntimeError):
        hypergradient(task.lower, broken, [task.w], [task.a], lr=1.0)
    assert task.w.abs().max() == 0


def test_a_meta_loss_of_something_else_is_named():
    task = Logistic()
    other = torch.ones(1, requires_grad=True)
    with pytest.raises(InputError, match="does not depend"):
        hypergradient(task.lower, lambda: other.sum(), [task.w], [task.a], lr=1.0)


def test_the_domain_with_random_labels_ends_below_one():
    task = Logistic()
    optimizer = torch.optim.AdamW([task.a], lr=0.05, weight_decay=0.0)
    for _ in range(60):
        for _ in range(5):
            (step,) = torch.autograd.grad(task.lower(), [task.w])
            with torch.no_grad():
                task.w -= 2.0 * step
        task.a.grad = hypergradient(task.lower, task.meta, [task.w], [task.a], lr=2.0)[0]
        optimizer.step()
        assert domain_weights(task.a.detach()).mean().item() == pytest.approx(1, abs=1e-6)
    weights = domain_weights(task.a.detach())
    assert weights[2] < 0.8
    assert (weights[:2] > 1).all()
