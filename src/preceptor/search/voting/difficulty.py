"""How hard a problem is: five quantile bins of one number per problem, 1 the easiest.

The number is higher for easier problems: pass@1 over many samples (oracle difficulty, needs gold answers) or the mean
verifier score of a few samples (deployable). Bins are those of search-and-learn: below the 20 % quantile is 5, below
the 40 % quantile 4, and so on. Quantiles belong to the problems they were taken from: take them from others than
those reported. `absolute_bin` is the fixed alternative of compute-optimal TTS (from memory).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from preceptor.search.aggregate import Aggregate, aggregate

BINS = 5


def quantile_edges(values: Sequence[float], bins: int = BINS) -> tuple[float, ...]:
    """The bins - 1 inner quantiles, ascending."""
    if not len(values) or bins < 1:
        raise ValueError(
            f"difficulty bins: got {len(values)} values and {bins} bins, expected at least 1 of each"
        )
    return tuple(float(q) for q in np.quantile(values, [k / bins for k in range(1, bins)]))


def bin_of(value: float, edges: Sequence[float]) -> int:
    """1 (easiest) to `len(edges) + 1`: one more than the number of edges above the value.

    >>> [bin_of(v, (0.2, 0.4, 0.6, 0.8)) for v in (0.9, 0.8, 0.5, 0.1)]
    [1, 1, 3, 5]
    """
    return 1 + sum(value < edge for edge in edges)


def absolute_bin(pass_at_1: float) -> str:
    """easy [0.5, 1], medium [0.1, 0.5), hard [0, 0.1)."""
    return "easy" if pass_at_1 >= 0.5 else "medium" if pass_at_1 >= 0.1 else "hard"


def mean_score(
    scores: Sequence[Sequence[float | None] | None], how: str | Aggregate = "last"
) -> float | None:
    """Deployable difficulty: the mean aggregated score of a few samples; None where none is scored."""
    known = [s for own in scores if (s := aggregate(own, how)) is not None]
    return math.fsum(known) / len(known) if known else None
