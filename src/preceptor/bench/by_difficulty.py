"""The best method for each difficulty bin, chosen on one half of the problems and measured on the other, both ways.

Compute-optimal choice (2408.03314): bins are quantiles of the difficulty on the half that chooses; the honest
comparison is with the single method that is best on that half. Halves are drawn by problem id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.search.voting.difficulty import BINS, bin_of, quantile_edges
from preceptor.trace import stream_seed


@dataclass(frozen=True)
class TwoFold:
    """Outcome of every problem under what the other half chose."""

    by_bin: NDArray[np.float64]
    single: NDArray[np.float64]
    chosen: tuple[tuple[int, ...], tuple[int, ...]]
    """Per half that chose: the method of each bin, bin 1 (easiest) first."""


def halves(names: Sequence[str], seed: int = 0) -> NDArray[np.int64]:
    """0 or 1 for each problem, as equal in number as can be; depends on the ids and the seed, not on their order."""
    order = sorted(range(len(names)), key=lambda i: stream_seed("half", seed, names[i]))
    side = np.zeros(len(names), dtype=np.int64)
    side[order[1::2]] = 1
    return side


def two_fold(
    outcomes: ArrayLike, difficulty: Sequence[float], names: Sequence[str], bins: int = BINS, seed: int = 0
) -> TwoFold:
    """`outcomes` (P, M): what each of M methods scored on each problem; `difficulty` (P,): higher is easier.

    Ties between methods go to the first; a bin that the choosing half leaves empty takes its single best.
    """
    table, hard = np.asarray(outcomes, dtype=np.float64), np.asarray(difficulty, dtype=np.float64)
    if len(table) != len(hard) or len(table) != len(names) or len(table) < 2:
        raise ValueError(
            f"two_fold: got {len(table)} outcomes, {len(hard)} difficulties, {len(names)} names, expected >= 2"
        )
    side = halves(names, seed)
    by_bin, single, chosen = np.zeros(len(table)), np.zeros(len(table)), []
    for fold in (0, 1):
        learn, test = side == fold, side != fold
        edges = quantile_edges(hard[learn].tolist(), bins)
        best = int(table[learn].mean(axis=0).argmax())
        where = np.array([bin_of(d, edges) for d in hard])
        picks = []
        for b in range(1, bins + 1):
            own = learn & (where == b)
            picks.append(int(table[own].mean(axis=0).argmax()) if own.any() else best)
        by_bin[test] = [table[i, picks[where[i] - 1]] for i in np.flatnonzero(test)]
        single[test] = table[test, best]
        chosen.append(tuple(picks))
    return TwoFold(by_bin, single, (chosen[0], chosen[1]))
