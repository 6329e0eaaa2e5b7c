"""Rankings: PQM against a direct evaluation of its formula, its reduction to a pair, pairwise on solutions."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from preceptor.errors import InputError
from preceptor.reward.losses import pairwise, pqm, solution_scores


def one_row(q, labels):
    outputs = torch.tensor(q).view(1, -1, 1)
    targets = torch.tensor([0.0 if y is None else float(y) for y in labels]).view(1, -1, 1)
    return outputs, targets, torch.tensor([y is not None for y in labels]).view(1, -1, 1)


def brute_force(q, labels, margin):
    """The formula, term by term, in exponentials."""
    wrong = sum(math.exp(v + margin) for v, y in zip(q, labels, strict=True) if y == 0)
    terms, earlier = [], 1.0
    for value, label in zip(q, labels, strict=True):
        if label == 1:
            terms.append(-math.log(math.exp(value) / (math.exp(value) + earlier + wrong)))
            earlier += math.exp(value)
    if wrong:
        terms.append(-math.log(1 / (1 + wrong)))
    return sum(terms) / len(terms)


@pytest.mark.parametrize(
    "q, labels",
    [
        ((0.3, -0.7), (1, 0)),
        ((0.3, -0.7, 1.2, 0.1), (1, 1, 0, 0)),
        ((0.3, -0.7, 1.2), (1, 1, 1)),
        ((0.3, -0.7), (0, 0)),
        ((0.3, -0.7, 1.2, 0.4), (1, 0, 1, 0)),
        ((0.3, -0.7, 1.2, 0.4), (1, None, 1, 0)),
    ],
)
@pytest.mark.parametrize("margin", [4.0, 2.0, 0.0])
def test_pqm_is_its_formula(q, labels, margin):
    loss = pqm(*one_row(q, labels), margin=margin).item()
    assert loss == pytest.approx(brute_force(q, labels, margin), abs=1e-5)


def test_one_right_and_one_wrong_step_give_the_two_terms_of_the_entry():
    a, b, zeta = 0.7, -1.1, 4.0
    first = -math.log(math.exp(a) / (math.exp(a) + 1 + math.exp(b + zeta)))
    anchor = -math.log(1 / (1 + math.exp(b + zeta)))
    assert pqm(*one_row((a, b), (1, 0))).item() == pytest.approx((first + anchor) / 2, abs=1e-6)


def test_without_the_anchor_one_pair_is_the_pairwise_loss_with_the_margin():
    a, b = 0.7, -1.1
    rows = torch.tensor([[[a]], [[b]]])
    pair = pairwise(rows, torch.zeros(2, 1, 1), torch.ones(2, 1, 1) > 0, margin=4.0)
    torch.testing.assert_close(pqm(*one_row((a, b), (1, 0)), anchor=False), pair)
    assert pair.item() == pytest.approx(-logsigmoid(torch.tensor(a - b - 4)).item(), abs=1e-6)


def test_all_right_steps_are_pushed_apart_in_order_and_all_wrong_ones_below_the_anchor():
    outputs, targets, mask = one_row((0.0, 0.0, 0.0), (1, 1, 1))
    outputs.requires_grad_()
    pqm(outputs, targets, mask).backward()
    assert outputs.grad is not None
    push = -outputs.grad.flatten()
    assert push[2] > push[1] > push[0]
    outputs = torch.zeros(1, 2, 1, requires_grad=True)
    pqm(outputs, torch.zeros(1, 2, 1), torch.ones(1, 2, 1) > 0).backward()
    assert outputs.grad is not None
    assert (outputs.grad > 0).all()


def test_large_values_stay_finite_in_log_space():
    outputs, targets, mask = one_row((90.0, 120.0, 200.0), (1, 1, 0))
    outputs.requires_grad_()
    loss = pqm(outputs, targets, mask)
    loss.backward()
    assert loss.item() == pytest.approx((114 + 84 + 204) / 3, rel=1e-5)
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


def test_rows_count_the_same_whatever_their_number_of_steps():
    q = torch.randn(1, 4, 1)
    targets = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 4, 1)
    short = (torch.tensor([1, 0, 1, 0]) > 0).view(1, 4, 1)
    full = torch.ones(1, 4, 1, dtype=torch.bool)
    both = pqm(q.expand(2, 4, 1), targets.expand(2, 4, 1), torch.cat([full, short]))
    torch.testing.assert_close(both, (pqm(q, targets, full) + pqm(q, targets, short)) / 2)


def test_equal_solutions_cost_log_two_and_only_the_read_step_learns():
    outputs = torch.zeros(2, 3, 1, requires_grad=True)
    mask = (torch.tensor([[1, 1, 1], [1, 1, 0]]) > 0).unsqueeze(-1)
    loss = pairwise(outputs, torch.zeros(2, 3, 1), mask)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert outputs.grad is not None
    assert outputs.grad.squeeze(-1).tolist() == [[0, 0, -0.5], [0, 0.5, 0]]


@pytest.mark.parametrize(
    "reduce, expected",
    [("last", [3.0, 5.0]), ("min", [-2.0, 4.0]), ("sum", [5.0, 9.0]), ("mean", [5 / 3, 4.5])],
)
def test_solution_scores_read_masked_steps_only(reduce, expected):
    outputs = torch.tensor([[4.0, -2.0, 3.0, -9.0], [-9.0, 4.0, 5.0, math.nan]]).unsqueeze(-1)
    mask = (torch.tensor([[1, 1, 1, 0], [0, 1, 1, 0]]) > 0).unsqueeze(-1)
    assert solution_scores(outputs, mask, reduce).tolist() == pytest.approx(expected)


def test_an_unknown_reduction_is_refused():
    with pytest.raises(InputError, match="last, min, mean, sum"):
        solution_scores(torch.zeros(1, 1, 1), torch.ones(1, 1, 1) > 0, "max")  # type: ignore[arg-type]
