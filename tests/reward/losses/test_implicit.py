"""Implicit rewards: the exponential-average identity by enumeration, and the four objectives."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from preceptor.errors import InputError
from preceptor.reward.losses import (
    dpo,
    implicit_ce,
    kto,
    nca,
    pairwise,
    prefix_values,
    response_reward,
    step_rewards,
)

SYMBOLS, LENGTH = 2, 2
SEQUENCES = list(itertools.product(range(SYMBOLS), repeat=LENGTH))


def tabular(seed):
    """log p of each symbol after each prefix of a tabular model."""
    draw = torch.Generator().manual_seed(seed)
    prefixes = [p for n in range(LENGTH) for p in itertools.product(range(SYMBOLS), repeat=n)]
    return {p: torch.randn(SYMBOLS, generator=draw, dtype=torch.float64).log_softmax(0) for p in prefixes}


def token_logprobs(model):
    rows = [[model[y[:t]][y[t]] for t in range(LENGTH)] for y in SEQUENCES]
    return torch.tensor(rows).unsqueeze(-1)


@pytest.mark.parametrize("beta", [0.05, 1.0])
def test_a_prefix_sum_is_the_soft_value_of_its_prefix_under_the_reference(beta):
    """q(prefix) = beta log E_{y ~ ref given prefix} exp(r(y) / beta), for every prefix, root included."""
    phi, ref = tabular(0), tabular(1)
    log_phi, log_ref = token_logprobs(phi), token_logprobs(ref)
    every = torch.ones_like(log_phi, dtype=torch.bool)
    q = prefix_values(log_phi, log_ref, every, beta=beta)
    r = response_reward(log_phi, log_ref, every, beta=beta)
    torch.testing.assert_close(q[:, -1], r)
    for t in range(LENGTH + 1):
        for prefix in itertools.product(range(SYMBOLS), repeat=t):
            inside = [i for i, y in enumerate(SEQUENCES) if y[:t] == prefix]
            given = [sum(ref[SEQUENCES[i][:k]][SEQUENCES[i][k]] for k in range(t, LENGTH)) for i in inside]
            mean = sum(math.exp(p + r[i].item() / beta) for p, i in zip(given, inside, strict=True))
            expected = 0.0 if t == 0 else q[inside[0], t - 1].item()
            assert beta * math.log(mean) == pytest.approx(expected, abs=1e-5)


def test_an_equal_reference_gives_zeros():
    log_p = -torch.rand(4, 6, 1)
    every = torch.ones(4, 6, 1, dtype=torch.bool)
    assert prefix_values(log_p, log_p, every).abs().max() == 0
    assert dpo(log_p, log_p, every).item() == pytest.approx(math.log(2))
    assert implicit_ce(log_p, log_p, every, outcome=torch.rand(4)).item() == pytest.approx(math.log(2))
    assert kto(log_p, log_p, every).item() == pytest.approx(0.5)
    assert nca(log_p, log_p, every).item() == pytest.approx(2 * math.log(2))


def test_step_rewards_sum_to_the_reward_however_the_steps_are_cut():
    log_p, log_ref = -torch.rand(1, 6, 1), -torch.rand(1, 6, 1)
    every = torch.ones(1, 6, 1, dtype=torch.bool)
    q = prefix_values(log_p, log_ref, every)
    total = response_reward(log_p, log_ref, every)
    seen = {}
    for ends in ([5], [1, 5], [0, 1, 3, 5], [1, 3, 5]):
        kept = torch.ones(1, len(ends), dtype=torch.bool)
        values, rewards = step_rewards(q, torch.tensor([ends]), kept)
        torch.testing.assert_close(rewards.sum(1), total)
        for end, value in zip(ends, values[0].tolist(), strict=True):
            assert seen.setdefault(end, value) == value, "a boundary's q does not depend on the others"


def test_padding_steps_have_no_reward():
    q = torch.tensor([[1.0, 3.0, 6.0], [2.0, 2.0, 2.0]])
    kept = torch.tensor([[True, True], [True, False]])
    values, rewards = step_rewards(q, torch.tensor([[0, 2], [0, -1]]), kept)
    assert values.tolist() == [[1.0, 6.0], [2.0, 0.0]]
    assert rewards.tolist() == [[1.0, 5.0], [2.0, 0.0]]


def rewards_batch(*rewards, beta=0.05):
    """Rows of two tokens whose summed, scaled log-ratio is the reward asked for."""
    half = torch.tensor(rewards).view(-1, 1, 1).expand(-1, 2, 1) / (2 * beta)
    return half - 50, torch.full_like(half, -50.0), torch.ones_like(half, dtype=torch.bool)


def test_the_objectives_are_their_formulas():
    w, low = torch.tensor([0.8, -0.3]), torch.tensor([-0.5, 0.4])
    rows = rewards_batch(0.8, -0.5, -0.3, 0.4)
    torch.testing.assert_close(dpo(*rows), -logsigmoid(w - low).mean(), atol=1e-5, rtol=0)
    expected = -logsigmoid(w) - 0.5 * logsigmoid(-w) - 0.5 * logsigmoid(-low)
    torch.testing.assert_close(nca(*rows), expected.mean(), atol=1e-5, rtol=0)
    kl_w, kl_l = 0.25, 0.0
    terms = torch.cat([1 - (w - kl_l).sigmoid(), 1 - (kl_w - low).sigmoid()])
    torch.testing.assert_close(kto(*rows), terms.mean(), atol=1e-5, rtol=0)
    z = torch.tensor([1.0, 0.0, 1.0, 0.25])
    r = torch.tensor([0.8, -0.5, -0.3, 0.4])
    ce = -(z * logsigmoid(r) + (1 - z) * logsigmoid(-r))
    torch.testing.assert_close(implicit_ce(*rows, outcome=z), ce.mean(), atol=1e-5, rtol=0)


def test_dpo_is_the_pairwise_loss_of_the_rewards():
    log_p, log_ref = -torch.rand(6, 4, 1), -torch.rand(6, 4, 1)
    every = torch.ones(6, 4, 1, dtype=torch.bool)
    ratios = 0.05 * (log_p - log_ref)
    torch.testing.assert_close(
        dpo(log_p, log_ref, every), pairwise(ratios, torch.zeros(6, 4, 1), every, reduce="sum")
    )


def test_the_kl_of_kto_carries_no_gradient():
    """With one pair: the chosen row's gradient is that of its own term at a fixed KL of the other side."""
    log_p, log_ref, every = rewards_batch(0.8, 0.3)
    log_p = log_p.clone().requires_grad_()
    kto(log_p, log_ref, every).backward()
    p = torch.sigmoid(torch.tensor(0.8 - 0.3)).item()
    assert log_p.grad is not None
    assert log_p.grad[0, 0].item() == pytest.approx(-0.05 * p * (1 - p) / 2, rel=1e-4)


def test_rewards_are_sums_not_means_over_tokens():
    log_p = torch.full((2, 8, 1), -1.0)
    mask = torch.ones(2, 8, 1, dtype=torch.bool)
    mask[1, 2:] = False
    assert response_reward(log_p, torch.full_like(log_p, -2.0), mask, beta=1.0).tolist() == [8.0, 2.0]


def test_an_undecided_outcome_is_no_example_and_a_missing_one_an_error():
    rows = rewards_batch(0.8, -0.5)
    known = implicit_ce(*rows, outcome=torch.tensor([1.0, math.nan]))
    assert known.item() == pytest.approx(-logsigmoid(torch.tensor(0.8)).item(), abs=1e-5)
    with pytest.raises(InputError, match="one per row"):
        implicit_ce(*rows, outcome=torch.ones(1))
