"""Which rollouts and tokens are trained on. Learners must leave the others out of the loss's denominator."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Filter
from preceptor.credit.types import Flags, Ragged


@dataclass(frozen=True)
class AccuracyRange(Filter):
    """Before any statistic: prompts whose mean outcome is in `[low, high]` (PRIME).

    PRIME samples more prompts to fill the batch; here the batch gets smaller.
    """

    reads: ClassVar[frozenset[str]] = frozenset({"outcome"})
    low: float = 0.2
    high: float = 0.8

    def __call__(self, batch: Batch) -> Flags:
        return (batch.rates >= self.low) & (batch.rates <= self.high)


def decided(batch: Batch, advantages: Ragged) -> Flags:
    """Every rollout with a verdict that no earlier filter dropped."""
    return batch.present


def informative(batch: Batch, advantages: Ragged) -> Flags:
    """Of those, the ones whose prompt has any non-zero advantage (DAPO, arXiv 2503.14476).

    DAPO samples more prompts to fill the batch; here the batch gets smaller.
    """
    live = {r.prompt_id for r, a in zip(batch.rollouts, advantages, strict=True) if np.nan_to_num(a).any()}
    return batch.present & np.array([r.prompt_id in live for r in batch.rollouts], dtype=bool)


KEEP: dict[str, Callable[[Batch, Ragged], Flags]] = {
    "decided": decided,
    "informative": informative,
    "judged": decided,
}
"""`judged` differs in who is present to begin with: rollouts that a stream says something of."""


def token_weights(batch: Batch, keep: Flags, once: bool) -> Ragged:
    """`(L_i,)` each: 1 on the tokens that are trained on. With `once`, the steps of a tree node count in the
    first kept rollout that has it, so that a shared prefix is not trained on several times."""
    seen: set[Hashable] = set()
    out = []
    for r, kept, nodes in zip(batch.rollouts, keep, batch.nodes, strict=True):
        weights = r.trained & kept
        if once and kept and nodes:
            fresh = np.array([(r.prompt_id, n) not in seen for n in nodes], dtype=bool)
            seen.update((r.prompt_id, n) for n in nodes[r.pivot :])
            weights = weights & fresh[r.owner]
        out.append(weights.astype(float))
    return out
