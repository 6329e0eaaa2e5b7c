"""Squared errors: OVM turns outcomes into values, TVM's explicit averages agree with it."""

from __future__ import annotations

import pytest
import torch

from preceptor.annotate.rules import copy_outcome, hindsight_values, last_only, token_values
from preceptor.errors import InputError
from preceptor.reward.losses import hindsight, mse, ovm, tvm


def lookup(solutions, targets, loss, steps=400):
    """Values of a table with one entry per distinct token prefix, after gradient descent on `loss`."""
    prefixes = {
        p: i for i, p in enumerate(dict.fromkeys(s[: k + 1] for s in solutions for k in range(len(s))))
    }
    index = torch.tensor([[prefixes[s[: k + 1]] for k in range(len(s))] for s in solutions])
    table = torch.full((len(prefixes),), 0.9, requires_grad=True)
    wanted = torch.tensor([[0.0 if y is None else y for y in row] for row in targets]).unsqueeze(-1)
    mask = torch.tensor([[y is not None for y in row] for row in targets]).unsqueeze(-1)
    optimizer = torch.optim.SGD([table], lr=0.3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(table[index].unsqueeze(-1), wanted, mask).backward()
        optimizer.step()
    return {p: table[i].item() for p, i in prefixes.items()}


SHARED = ["ab", "ac"]


def test_copied_outcomes_make_a_value_out_of_a_shared_prefix():
    values = lookup(SHARED, [copy_outcome(1.0, 2), copy_outcome(0.0, 2)], ovm)
    assert values == {k: pytest.approx(v, abs=1e-4) for k, v in {"a": 0.5, "ab": 1.0, "ac": 0.0}.items()}


def test_an_outcome_model_leaves_values_inside_unconstrained():
    values = lookup(SHARED, [last_only((1.0, 1.0)), last_only((0.0, 0.0))], ovm)
    assert values["a"] == pytest.approx(0.9), "where it started"
    assert (values["ab"], values["ac"]) == (pytest.approx(1, abs=1e-4), pytest.approx(0, abs=1e-4))


def test_explicit_token_values_have_the_minimum_that_copied_outcomes_converge_to():
    solutions, outcomes = ["abc", "abd", "aee"], [1.0, 0.0, 0.0]
    copied = lookup(solutions, [copy_outcome(z, 3) for z in outcomes], ovm, 2000)
    explicit = lookup(solutions, token_values([[ord(c) for c in s] for s in solutions], outcomes), ovm, 2000)
    assert copied == {k: pytest.approx(v, abs=1e-3) for k, v in explicit.items()}
    assert explicit["a"] == pytest.approx(1 / 3, abs=1e-3)


def test_the_published_reduction_divides_by_rows_and_the_other_by_tokens():
    outputs, targets = torch.zeros(2, 5, 1), torch.ones(2, 5, 1)
    mask = (torch.tensor([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]) > 0).unsqueeze(-1)
    assert ovm(outputs, targets, mask) == 3.0
    assert ovm(outputs, targets, mask, reduction="mean") == 1.0
    with pytest.raises(InputError, match="batch, mean"):
        ovm(outputs, targets, mask, reduction="sum")  # type: ignore[arg-type]


def test_tvm_reads_a_sigmoid_and_both_kinds_have_their_minimum_at_the_value():
    one = torch.ones(1, 1, 1, dtype=torch.bool)
    value = torch.full((1, 1, 1), 1 / 3)
    torch.testing.assert_close(
        tvm(torch.zeros(1, 1, 1), value, one), torch.tensor((0.5 - 1 / 3) ** 2), atol=1e-6, rtol=0
    )
    for kind in ("mse", "bce"):
        logit = torch.logit(value).requires_grad_()
        tvm(logit, value, one, kind=kind).backward()
        assert logit.grad is not None
        assert logit.grad.abs().max() < 1e-6


def test_an_unknown_link_is_refused():
    one = torch.ones(1, 1, 1)
    with pytest.raises(InputError, match="identity, sigmoid"):
        mse(one, one, one > 0, link="tanh")  # type: ignore[arg-type]


def test_hindsight_weighs_examples_not_steps():
    """Row 0 has four steps of error 1, row 1 one step of error 0: 1/2 by examples, 4/5 by steps."""
    outputs = torch.tensor([[[1.0]] * 4, [[0.0]] * 4])
    mask = (torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]) > 0).unsqueeze(-1)
    assert hindsight(outputs, torch.zeros(2, 4, 1), mask) == 0.5
    assert mse(outputs, torch.zeros(2, 4, 1), mask).item() == pytest.approx(0.8)


def test_a_row_without_steps_is_no_example():
    outputs = torch.ones(2, 3, 1)
    mask = torch.zeros(2, 3, 1, dtype=torch.bool)
    mask[0] = True
    assert hindsight(outputs, torch.zeros(2, 3, 1), mask) == 1.0


def test_without_discount_hindsight_targets_are_monte_carlo_values():
    rollouts = [[(3, 1.0), (5, 0.0), (4, 1.0)], [(2, 0.0), (6, 0.0)]]
    assert hindsight_values(rollouts, gamma=1.0) == (pytest.approx(2 / 3), 0.0)
