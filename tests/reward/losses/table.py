"""Every loss with the shapes it is fed, for the properties that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from preceptor.reward.losses import (
    bce,
    birm,
    ce,
    channels,
    class_index,
    cooper,
    domain_mse,
    dpo,
    ensemble,
    freeprm,
    hindsight,
    implicit_ce,
    kto,
    meta_mse,
    mse,
    nca,
    ovm,
    pairwise,
    pqm,
    saffron,
    sft,
    steps_and_trajectory,
    token_pairs,
    tvm,
)


@dataclass(frozen=True)
class Loss:
    """A loss and what it must be fed."""

    loss: Callable[..., Tensor]
    width: int | None = 1
    """C, outputs of the head per readout; None: the data decide (classes, heads, channels, vocabulary)."""
    channels: int | None = 1
    """K, targets per readout; None: as many as the data have."""
    pairs: bool = False
    """Rows come as [chosen, rejected, ...]."""
    logprobs: bool = False
    """The outputs are log-probabilities of tokens, not outputs of a head."""
    needs: tuple[str, ...] = ()
    """Keywords that hold tensors of the batch and must be given."""


LOSSES: dict[str, Loss] = {
    "bce": Loss(bce),
    "birm": Loss(birm, width=2, channels=2),
    "ce": Loss(ce, width=2),
    "channels": Loss(channels, width=None, channels=None),
    "class_index": Loss(class_index, width=None),
    "cooper": Loss(cooper, pairs=True),
    "domain_mse": Loss(domain_mse, needs=("domains", "a")),
    "dpo": Loss(dpo, pairs=True, logprobs=True),
    "ensemble": Loss(ensemble, width=None),
    "freeprm": Loss(freeprm, width=3),
    "hindsight": Loss(hindsight),
    "implicit_ce": Loss(implicit_ce, logprobs=True, needs=("outcome",)),
    "kto": Loss(kto, pairs=True, logprobs=True),
    "meta_mse": Loss(meta_mse, needs=("outcome",)),
    "mse": Loss(mse),
    "nca": Loss(nca, pairs=True, logprobs=True),
    "ovm": Loss(ovm),
    "pairwise": Loss(pairwise, pairs=True),
    "pqm": Loss(pqm),
    "saffron": Loss(saffron, width=None, channels=None),
    "sft": Loss(sft, logprobs=True),
    "steps_and_trajectory": Loss(steps_and_trajectory, channels=2),
    "token_pairs": Loss(token_pairs, width=None, channels=None),
    "tvm": Loss(tvm),
}
