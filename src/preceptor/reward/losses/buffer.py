"""FreePRM (arXiv 2506.03570): outcomes copied to all steps, and a third class that soaks up their noise.

Softmax over (right, wrong, buffer). A step of a right solution asks for p_right + u * p_buffer, one of a
wrong solution for p_wrong + u * p_buffer; the random factor u keeps "all buffer" (loss 0 at u = 1) from being
a free solution. Our catalogue has two readings of u's distribution: Bernoulli(0.5), a default of ours where
it was not found, and Bernoulli(p_buffer), said to be the paper's; a constant (0.5) is the deterministic
variant. The last step's label is the true outcome, so it has no buffer. Score at inference: not found;
default p_right / (p_right + p_wrong). The released trainer leaves this loss unfinished, so no code could be
compared.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.reward.losses.masked import check, inside, masked_mean

RIGHT, WRONG, BUFFER = 0, 1, 2
"""The order of the head's outputs."""


def freeprm(
    outputs: Tensor,
    targets: Tensor,
    mask: Tensor,
    *,
    factor: float | Literal["half", "buffer"] = "half",
    last_without_buffer: bool = True,
    last_weight: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """outputs (B, T, 3): right, wrong, buffer; targets (B, T, 1): the outcome, in [0, 1].

    `factor`: "half" draws u ~ Bernoulli(0.5) per step, "buffer" draws u ~ Bernoulli(p_buffer), a number in
    [0, 1] is u itself (0: cross entropy on the copied outcome). `last_without_buffer`: u = 0 at the last
    masked readout of each row, whose term counts `last_weight` times (3 in the released run names).
    """
    check("freeprm", outputs, targets, mask, width=3)
    log_p = inside(outputs, mask).log_softmax(-1)
    u = _factor(log_p[..., BUFFER:], factor, generator)
    last = last_readout(mask)
    if last_without_buffer:
        u = u.masked_fill(last, 0.0)
    extra = u.log() + log_p[..., BUFFER:]
    right = torch.logaddexp(log_p[..., RIGHT : RIGHT + 1], extra)
    wrong = torch.logaddexp(log_p[..., WRONG : WRONG + 1], extra)
    wanted = inside(targets, mask)
    terms = -(wanted * right + (1 - wanted) * wrong)
    return masked_mean(torch.where(last, last_weight * terms, terms), mask)


def buffer_score(outputs: Tensor) -> Tensor:
    """p_right / (p_right + p_wrong): (..., 3) -> (...)."""
    logits = outputs.float()
    return (logits[..., RIGHT] - logits[..., WRONG]).sigmoid()


def last_readout(mask: Tensor) -> Tensor:
    """True at the last masked position of each row and channel; same shape (B, T, K)."""
    after = mask.flip(1).cumsum(1).flip(1)
    return mask & (after == 1)


def _factor(log_buffer: Tensor, factor: float | str, generator: torch.Generator | None) -> Tensor:
    if isinstance(factor, str):
        if factor not in ("half", "buffer"):
            raise InputError(f"factor: got {factor!r}, expected 'half', 'buffer' or a number in [0, 1].")
        # Drawn where the generator lives, so that a seed gives the same factors on every device.
        device = generator.device if generator is not None else log_buffer.device
        draws = torch.rand(log_buffer.shape, generator=generator, device=device).to(log_buffer.device)
        chance = 0.5 if factor == "half" else log_buffer.detach().exp()
        return (draws < chance).float()
    if not 0 <= factor <= 1:
        raise InputError(f"factor: got {factor}, expected a number in [0, 1].")
    return torch.full_like(log_buffer, factor).detach()
