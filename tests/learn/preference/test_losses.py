"""Specifies the losses on numbers worked out by hand, and what each of them reduces to."""

from __future__ import annotations

from math import exp, log

import pytest
import torch

from preceptor.learn.preference.losses import dpo_margins, dpo_nll, log_odds, nll, orpo, step_kto, w_dpo
from preceptor.learn.preference.rows import Part, Row, collate, part_sizes, part_sums

CHOSEN, REJECTED = torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -1.0])
REF_CHOSEN, REF_REJECTED = torch.tensor([-1.5, -3.0]), torch.tensor([-1.5, -2.0])
MARGINS = [1.0, -1.0]


def softplus(x: float) -> float:
    return log(1 + exp(x))


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_dpo_margins_and_losses_by_hand() -> None:
    margins = dpo_margins(CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)
    assert margins.tolist() == MARGINS
    dpo = (softplus(-0.5) + softplus(0.5)) / 2
    assert w_dpo(margins, torch.ones(2), 0.5).item() == pytest.approx(dpo)
    weighted = (softplus(-0.5) + 0.25 * softplus(0.5)) / 2
    assert w_dpo(margins, torch.tensor([1.0, 0.25]), 0.5).item() == pytest.approx(weighted)
    # the chosen sides' sums, 1 and 3 nats, inside the same mean
    assert dpo_nll(margins, CHOSEN, 0.5).item() == pytest.approx(dpo + 2.0)
    assert dpo_nll(margins, CHOSEN, 0.5, nll=0.0).item() == pytest.approx(dpo)


def test_log_odds_are_those_of_the_mean_token_probability() -> None:
    # two tokens of 0.75 and 1/3: geometric mean 0.5, odds 1
    sums = torch.tensor([log(0.75) + log(1 / 3)])
    assert log_odds(sums, torch.tensor([2])).item() == pytest.approx(0.0, abs=1e-6)
    assert log_odds(torch.tensor([log(0.9)]), torch.tensor([1])).item() == pytest.approx(log(9), rel=1e-5)


def test_log_odds_of_a_certain_answer_are_finite() -> None:
    sums = torch.tensor([0.0, -1e-9], requires_grad=True)
    odds = log_odds(sums, torch.tensor([1, 3]))
    odds.sum().backward()
    assert odds.isfinite().all()
    assert sums.grad.isfinite().all()
    assert odds[0].item() == pytest.approx(log(1e6), rel=1e-2)


def test_orpo_by_hand_and_without_its_odds_it_is_sft() -> None:
    chosen, rejected = torch.tensor([2 * log(0.5), log(0.8)]), torch.tensor([log(0.2), 4 * log(0.5)])
    sizes = torch.tensor([2, 1]), torch.tensor([1, 4])
    sft = -(2 * log(0.5) + log(0.8)) / 3
    odds = [log(1) - log(0.25), log(4) - log(1)]
    expected = sft + 0.1 * (softplus(-odds[0]) + softplus(-odds[1])) / 2
    assert orpo(chosen, rejected, sizes, 0.1).item() == pytest.approx(expected, rel=1e-5)
    assert orpo(chosen, rejected, sizes, 0.0).item() == pytest.approx(sft)
    assert nll(chosen, sizes[0], torch.ones(2)).item() == pytest.approx(sft)


def test_weights_of_the_likelihood_are_not_normalised() -> None:
    sums, sizes = torch.tensor([-1.0, -2.0]), torch.tensor([1, 2])
    assert nll(sums, sizes, torch.ones(2)).item() == pytest.approx(1.0)
    assert nll(sums, sizes, torch.full((2,), 3.0)).item() == pytest.approx(3.0)


def kto(ratios, good, shares, mismatched, attempts, beta=0.1, **more) -> torch.Tensor:
    return step_kto(
        torch.as_tensor(ratios), torch.tensor(good), torch.tensor(shares), torch.tensor(mismatched), attempts,
        beta, **more,
    )  # fmt: skip


def test_step_kto_by_hand() -> None:
    # one attempt: outcome good, three steps of which the last is bad; z0 = mean(0.5, 0.1)
    loss = kto([2.0, 1.0, 0.5, -1.0], [True, True, True, False], [1.0, 1 / 3, 1 / 3, 1 / 3], [0.5, 0.1], 1)
    z0 = 0.3
    outcome = 1 - sigmoid(0.1 * (2.0 - z0))
    steps = [1 - sigmoid(0.1 * (1.0 - z0)), 1 - sigmoid(0.1 * (0.5 - z0)), 1 - sigmoid(0.1 * (z0 + 1.0))]
    assert loss.item() == pytest.approx(outcome + sum(steps) / 3)


def test_z0_is_not_below_zero_and_has_no_gradient() -> None:
    assert kto([1.0], [True], [1.0], [-3.0], 1).item() == pytest.approx(1 - sigmoid(0.1))
    mismatched = torch.tensor([2.0], requires_grad=True)
    ratios = torch.tensor([1.0], requires_grad=True)
    loss = step_kto(ratios, torch.tensor([True]), torch.ones(1), mismatched, 1, 0.1)
    loss.backward()
    assert mismatched.grad is None
    assert ratios.grad is not None


def test_step_kto_without_steps_is_kto() -> None:
    ratios, good = [2.0, -0.5], [True, False]
    z0 = 0.2
    kto_loss = ((1 - sigmoid(0.1 * (2.0 - z0))) + (1 - sigmoid(0.1 * (z0 + 0.5)))) / 2
    assert kto(ratios, good, [1.0, 1.0], [0.2, 0.2], 2).item() == pytest.approx(kto_loss)


def test_flipping_all_labels_flips_the_signs_of_step_ktos_gradient() -> None:
    grads = []
    good = torch.tensor([True, False, True])
    for labels in (good, ~good):
        ratios = torch.tensor([0.7, -1.2, 3.0], requires_grad=True)
        step_kto(ratios, labels, torch.tensor([1.0, 0.5, 0.5]), torch.tensor([0.4]), 1, 0.1).backward()
        grads.append(ratios.grad)
    torch.testing.assert_close(grads[0], -grads[1])
    assert (grads[0] != 0).all()


def test_lambdas_scale_the_good_and_the_bad() -> None:
    loss = kto([1.0, 1.0], [True, False], [1.0, 1.0], [0.0], 1, desirable=2.0, undesirable=3.0)
    assert loss.item() == pytest.approx(2 * (1 - sigmoid(0.1)) + 3 * (1 - sigmoid(-0.1)))


ROWS = [
    Row(((9, 1, 0, 1), (9, 1, 1)), (Part(0, 2, 4), Part(1, 2, 3))),
    Row(((9, 0), (9, 1, 1, 0, 0)), (Part(0, 1, 2), Part(1, 1, 5))),
]


def test_sums_of_parts_are_those_of_their_own_tokens() -> None:
    batch = collate(ROWS, pad=7)
    assert batch["input_ids"].tolist()[0] == [9, 1, 0, 1, 7]
    assert batch["attention_mask"].tolist()[2] == [1, 1, 0, 0, 0]
    # token 1 has probability 0.75 everywhere, token 0 0.25
    logits = torch.full((4, 5, 10), -1e9)
    logits[..., 0], logits[..., 1] = 0.0, log(3)
    found = part_sums(logits, batch)
    expected = [log(0.25) + log(0.75), log(0.75), log(0.25), 2 * log(0.75) + 2 * log(0.25)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert part_sizes(batch).tolist() == [2, 1, 1, 4]


def test_prompt_prefix_and_padding_have_a_gradient_of_exactly_zero() -> None:
    batch = collate(ROWS, pad=7)
    logits = torch.randn((4, 5, 10), generator=torch.Generator().manual_seed(0), requires_grad=True)
    part_sums(logits, batch).sum().backward()
    touched = (logits.grad.abs().sum(-1) > 0).tolist()
    # the logits at a position say what the next token is
    assert touched == [
        [False, True, True, False, False],
        [False, True, False, False, False],
        [True, False, False, False, False],
        [True, True, True, True, False],
    ]
