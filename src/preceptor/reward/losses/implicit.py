"""Implicit rewards (Free Process Rewards without Process Labels, arXiv 2412.01981; PRIME arXiv 2502.01456).

r(y) = beta * sum over response tokens of log p_phi - log p_ref, trained on outcomes only. The prefix sum q_t
is then beta * log E_{y ~ ref}[exp(r(y) / beta) | y_<=t], a soft value, and r_t = q_t - q_{t-1} a process
reward. Sums, never means: dividing by length breaks that identity. NCA's form is from memory. Inference has
its own coefficient. In fp32: bf16 log-probabilities flip ranks. Left out: unpaired KTO.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, inside, logistic, masked_mean, pairs

BETA = 0.05
"""The published training coefficient."""


def implicit_ce(
    outputs: Tensor, targets: Tensor, mask: Tensor, *, outcome: Tensor, beta: float = BETA
) -> Tensor:
    """Cross entropy of sigma(r(y)) against the outcome, mean over rows with a response.

    outputs (B, T, 1): log p_phi of each response token; targets (B, T, 1): log p_ref of it; outcome (B,) in
    [0, 1].
    """
    r = response_reward(outputs, targets, mask, beta=beta)
    if outcome.shape != r.shape:
        raise InputError(f"outcome: got shape {tuple(outcome.shape)}, expected one per row: ({len(r)},).")
    z = outcome.to(r)
    answered = mask.flatten(1).any(1) & ~z.isnan()
    z = z.masked_fill(~answered, 0.0)
    return masked_mean(-(z * logsigmoid(r) + (1 - z) * logsigmoid(-r)), answered)


def dpo(outputs: Tensor, targets: Tensor, mask: Tensor, *, beta: float = BETA) -> Tensor:
    """-log sigma(r(chosen) - r(rejected)), mean over pairs; shapes as `implicit_ce`, rows in pairs.

    log 2 at phi = ref. Also trains a generative judge on (right, wrong) verdicts (R-PRM), beta 0.1.
    """
    chosen, rejected, valid = _paired("dpo", outputs, targets, mask, beta)
    return logistic(chosen - rejected, valid)


def kto(outputs: Tensor, targets: Tensor, mask: Tensor, *, beta: float = BETA) -> Tensor:
    """1 - sigma(r_w - KL_l) and 1 - sigma(KL_w - r_l), mean over both; KL_* is the batch mean of r over that
    side, at least 0, without gradient. Rows in pairs."""
    chosen, rejected, valid = _paired("kto", outputs, targets, mask, beta)
    kl_chosen, kl_rejected = (masked_mean(r, valid).clamp(min=0).detach() for r in (chosen, rejected))
    terms = torch.stack([(kl_rejected - chosen).sigmoid(), (rejected - kl_chosen).sigmoid()])
    return masked_mean(terms, valid.expand_as(terms))


def nca(outputs: Tensor, targets: Tensor, mask: Tensor, *, beta: float = BETA) -> Tensor:
    """-log sigma(r_w) - 1/2 log sigma(-r_w) - 1/2 log sigma(-r_l), mean over pairs (from memory)."""
    chosen, rejected, valid = _paired("nca", outputs, targets, mask, beta)
    terms = -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)
    return masked_mean(terms, valid)


def response_reward(outputs: Tensor, targets: Tensor, mask: Tensor, *, beta: float = BETA) -> Tensor:
    """r(y) of each row, (B,); 0 for a row without response tokens."""
    return beta * _log_ratios(outputs, targets, mask).sum(1)


def prefix_values(outputs: Tensor, targets: Tensor, mask: Tensor, *, beta: float = BETA) -> Tensor:
    """q after each token, (B, T): the prefix sums of beta times the log-ratio; unmasked tokens add 0."""
    return beta * _log_ratios(outputs, targets, mask).cumsum(1)


def step_rewards(prefixes: Tensor, ends: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(q, r) of each step, both (B, S): the accumulative score and its increments, which sum to q of the
    last.

    prefixes (B, T) from `prefix_values`; ends (B, S) long: index of each step's last token; mask (B, S) bool.
    Both are 0 outside the mask, which must keep a row's first steps (padding only on the right).
    """
    q = prefixes.gather(1, ends.masked_fill(~mask, 0)).masked_fill(~mask, 0.0)
    before = torch.cat([torch.zeros_like(q[:, :1]), q[:, :-1]], 1)
    return q, (q - before).masked_fill(~mask, 0.0)


def _log_ratios(outputs: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    check("implicit", outputs, targets, mask)
    return (inside(outputs, mask) - inside(targets, mask)).squeeze(-1)


def _paired(
    name: str, outputs: Tensor, targets: Tensor, mask: Tensor, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    chosen, rejected = pairs(name, response_reward(outputs, targets, mask, beta=beta))
    first, second = pairs(name, mask.flatten(1).any(1))
    return chosen, rejected, first & second
