"""DreamPRM (arXiv 2505.20241): learn how much each training domain counts, from a small set with outcomes.

Lower level: squared error of sigma(output), weighted by w_d = softplus(a_d) / mean softplus(a). Upper level:
the loss of the *aggregated* score on the meta set, sigma of the mean logit. `hypergradient` differentiates
the meta loss through one SGD step of the lower level by a central difference (DARTS, arXiv 1806.09055): two
extra lower gradients and no second-order graph. Published: five lower steps per update of a, AdamW with lr
0.01. Our deviation: of these steps only the last is differentiated, and as plain SGD. Left out: the loop
itself (the trainer's).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import softplus

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, masked_mean
from preceptor.reward.losses.ranking import solution_scores
from preceptor.reward.losses.value import mse


def domain_weights(a: Tensor) -> Tensor:
    """softplus(a) / its mean, (D,): positive, mean 1, all 1 where `a` is constant (it starts at 0)."""
    raw = softplus(a.float())
    return raw / raw.mean()


def domain_mse(outputs: Tensor, targets: Tensor, mask: Tensor, *, domains: Tensor, a: Tensor) -> Tensor:
    """The lower loss: mean over masked entries of w_d * (sigma(output) - target)^2.

    outputs, targets (B, T, 1); domains (B,) long: the domain of each row; a (D,).
    """
    weights = domain_weights(a)[domains].view(-1, 1, 1)
    return mse(outputs, targets, mask, link="sigmoid", weights=weights)


def meta_mse(outputs: Tensor, targets: Tensor, mask: Tensor, *, outcome: Tensor) -> Tensor:
    """The upper loss: (sigma(mean over steps of the logit) - outcome)^2, mean over rows with a step.

    outputs (B, T, 1): logits of all prefixes; outcome (B,) in [0, 1]; the targets' values are not used. A
    mean, so saying every step twice changes nothing, and padding never counts.
    """
    check("meta_mse", outputs, targets, mask)
    scores = solution_scores(outputs, mask, "mean").sigmoid()
    return masked_mean((scores - outcome.to(scores)).square(), mask.flatten(1).any(1))


def hypergradient(
    lower: Callable[[], Tensor],
    meta: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    hyper: Sequence[Tensor],
    *,
    lr: float,
    epsilon: float = 0.01,
) -> list[Tensor]:
    """d meta(parameters - lr * d lower/d parameters) / d hyper, one tensor per entry of `hyper`.

    `lower` reads parameters and hyper, `meta` the parameters; both are called afresh and must be
    deterministic (same batch, no dropout). Parameters are moved in place and are bit for bit what they were
    on return. `epsilon` is the length of the finite step. Raises InputError when the meta loss does not
    depend on the parameters.
    """
    steps = torch.autograd.grad(lower(), list(parameters), allow_unused=True)
    with _moved(parameters, steps, -lr):
        direction = torch.autograd.grad(meta(), list(parameters), allow_unused=True)
    norm = torch.sqrt(sum((v.float().square().sum() for v in direction if v is not None), torch.zeros(())))
    if all(v is None for v in direction):
        raise InputError("hypergradient: the meta loss does not depend on the parameters given.")
    if norm == 0:
        return [torch.zeros_like(h) for h in hyper]
    size = epsilon / float(norm)
    with _moved(parameters, direction, size):
        plus = torch.autograd.grad(lower(), list(hyper), allow_unused=True)
    with _moved(parameters, direction, -size):
        minus = torch.autograd.grad(lower(), list(hyper), allow_unused=True)
    return [
        torch.zeros_like(h) if p is None or m is None else -lr * (p - m) / (2 * size)
        for h, p, m in zip(hyper, plus, minus, strict=True)
    ]


@contextmanager
def _moved(parameters: Sequence[Tensor], directions: Sequence[Tensor | None], size: float) -> Iterator[None]:
    kept = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, d in zip(parameters, directions, strict=True):
            if d is not None:
                p.add_(d, alpha=size)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, k in zip(parameters, kept, strict=True):
                p.copy_(k)
