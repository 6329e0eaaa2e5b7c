"""Several critiques of one rollout as one share of wrong a step; for the methods that read `Signals.verdicts`.

    union          wrong if any critique says so
    intersection   wrong if all do
    majority       wrong if more than half do
    average        the share that does

An unreadable critique counts as one without a flag: what a judge failed to write condemns nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.types import Array

Critiques = Sequence[tuple[bool, ...] | None]
Vote = Literal["union", "intersection", "majority", "average"]

_VOTES: dict[str, Callable[[Array, int], Array]] = {
    "union": lambda n, k: (n > 0).astype(float),
    "intersection": lambda n, k: (n == k).astype(float),
    "majority": lambda n, k: (n > k / 2).astype(float),
    "average": lambda n, k: n / k,
}


def wrong_share(critiques: Critiques, steps: int, vote: Vote = "majority") -> Array:
    """`(T,)` 0 for a right step, 1 for a wrong one, between them with `average`."""
    readable = [f for f in critiques if f is not None]
    if not readable:
        return np.zeros(steps)
    return _VOTES[vote](np.array(readable, dtype=float).sum(axis=0), len(critiques))


def critiques_of(batch: Batch) -> Sequence[Critiques]:
    """Of each rollout, in their order; none where nobody was asked."""
    return batch.signals.verdicts or ((),) * len(batch)
