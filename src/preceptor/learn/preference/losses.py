"""The losses, as functions of summed log-probabilities. Pure; all prefixes and prompts are outside these sums.

`chosen`, `rejected` (B,): log-probability of each side under the policy, `ref_...` under the reference. `sizes` are
token counts. `dpo` itself is TRL's (`trl_dpo.py`); here is what TRL lacks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

CLAMP = -1e-6
"""A mean log-probability stays below it: at 0 the odds are infinite."""


def dpo_margins(chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor) -> Tensor:
    """(B,): by how much more the policy prefers the chosen side than the reference does, in nats."""
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def w_dpo(margins: Tensor, weights: Tensor, beta: float) -> Tensor:
    """StepORLM: mean of -w log sigma(beta margin). The mean is over pairs, so w = 1 everywhere is DPO."""
    return -(weights * logsigmoid(beta * margins)).mean()


def dpo_nll(margins: Tensor, chosen: Tensor, beta: float, nll: float = 1.0) -> Tensor:
    """IPR: DPO plus the chosen side's negative log-likelihood, a sum over its tokens, inside the same mean."""
    return (-logsigmoid(beta * margins) - nll * chosen).mean()


def log_odds(sums: Tensor, sizes: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean token log-probability).

    >>> round(log_odds(torch.tensor([-2.0]), torch.tensor([2])).item(), 4)     # p = 1/e
    -0.5413
    """
    mean = (sums / sizes).clamp(max=CLAMP)
    return mean - torch.log(-torch.expm1(mean))


def nll(sums: Tensor, sizes: Tensor, weights: Tensor) -> Tensor:
    """Mean over all tokens of the batch of -w log p: SFT where all weights are 1. Weights are not normalised."""
    return -(weights * sums).sum() / sizes.sum()


def orpo(chosen: Tensor, rejected: Tensor, sizes: tuple[Tensor, Tensor], lam: float) -> Tensor:
    """NLL of the chosen side (a token mean over the batch) + lam * -log sigma(difference of log odds)."""
    difference = log_odds(chosen, sizes[0]) - log_odds(rejected, sizes[1])
    return nll(chosen, sizes[0], torch.ones_like(chosen)) - lam * logsigmoid(difference).mean()


def kto_values(
    ratios: Tensor, good: Tensor, z0: Tensor, beta: float, desirable: float, undesirable: float
) -> Tensor:
    """lambda - v of each labelled stretch: v = lambda sigma(beta (g - z0)) if good, sigma(beta (z0 - g)) if bad."""
    signed = torch.where(good, ratios - z0, z0 - ratios)
    scale = torch.where(good, torch.full_like(ratios, desirable), torch.full_like(ratios, undesirable))
    return scale * (1 - torch.sigmoid(beta * signed))


def step_kto(
    ratios: Tensor,
    good: Tensor,
    shares: Tensor,
    mismatched: Tensor,
    attempts: int,
    beta: float,
    desirable: float = 1.0,
    undesirable: float = 1.0,
) -> Tensor:
    """Step-KTO over P labelled stretches of B attempts.

    ratios (P,): log pi - log ref of each; shares (P,): 1 for an outcome, 1/H for each of H steps; mismatched (B,):
    the ratios of answers to other problems, whose mean, not below 0 and without gradient, is z0.
    """
    z0 = mismatched.detach().mean().clamp(min=0)
    return (shares * kto_values(ratios, good, z0, beta, desirable, undesirable)).sum() / attempts
