"""Values in a tree of rollouts: what several tree methods share.

Each rollout is a path from the root (the prompt) to a leaf; equal node ids within a prompt are the same node. A node
is worth the mean outcome of the leaves below it. Only decided rollouts are leaves.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.types import Array


class Path(NamedTuple):
    """One rollout's way down, T steps; NaN values where no leaf below is decided."""

    value: Array
    """`(T,)` V of the step's node."""
    above: Array
    """`(T,)` V of its parent; the root's for the first."""
    leaves: Array
    """`(T,)` decided leaves below the node."""
    root: float
    """V of the prompt; NaN for a rollout that is not a decided leaf."""


def paths(batch: Batch) -> list[Path]:
    """One a rollout. Refuses ids that do not make a tree."""
    _ = batch.parents  # raises for a node under two parents
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for r, row, outcome in zip(batch.rollouts, batch.nodes, batch.outcomes, strict=True):
        if not np.isnan(outcome):
            for node in dict.fromkeys(row):
                sums[r.prompt_id, node] = sums.get((r.prompt_id, node), 0.0) + float(outcome)
                counts[r.prompt_id, node] = counts.get((r.prompt_id, node), 0) + 1
    found = []
    for r, row, outcome, rate in zip(batch.rollouts, batch.nodes, batch.outcomes, batch.rates, strict=True):
        leaves = np.array([counts.get((r.prompt_id, n), 0) for n in row], dtype=float)
        total = np.array([sums.get((r.prompt_id, n), 0.0) for n in row])
        value = np.divide(total, leaves, out=np.full(len(row), np.nan), where=leaves > 0)
        root = np.nan if np.isnan(outcome) else float(rate)
        found.append(Path(value, np.concatenate([[root], value])[: len(row)], leaves, root))
    return found
