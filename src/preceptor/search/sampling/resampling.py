"""Weights of particles and how they are redrawn; pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

CLIP = 1e-7


def log_odds(score: float) -> float:
    """ln(R / (1 - R)), R clipped to [1e-7, 1 - 1e-7]. ValueError for what is no probability."""
    if not 0 <= score <= 1:
        raise ValueError(
            f"particle weight: got score {score}, expected a probability in [0, 1]. Map the scores with a sigmoid, or "
            "choose an aggregator that keeps them in [0, 1]."
        )
    p = min(max(score, CLIP), 1 - CLIP)
    return math.log(p) - math.log1p(-p)


def normalized(log_weights: Sequence[float | None], temperature: float = 1.0) -> list[float]:
    """softmax(lw / temperature). -inf weighs nothing; None (unknown) weighs nothing where something is known, and
    otherwise all unknown ones weigh the same. Where all are -inf, all weigh the same.

    >>> [round(w, 3) for w in normalized([log_odds(0.9), log_odds(0.5), log_odds(0.1)])]
    [0.89, 0.099, 0.011]
    """
    known = [lw for lw in log_weights if lw is not None and lw > -math.inf]
    if not known:
        unknown = [lw is None for lw in log_weights]
        return [float(u) / sum(unknown) if any(unknown) else 1 / len(unknown) for u in unknown]
    top = max(known)
    raised = [0.0 if lw is None else math.exp((lw - top) / temperature) for lw in log_weights]
    return [w / math.fsum(raised) for w in raised]


def effective_size(weights: Sequence[float]) -> float:
    """1 / sum of squares of normalized weights: n for equal ones, 1 where one has all.

    >>> effective_size([0.25] * 4), effective_size([1.0, 0.0])
    (4.0, 1.0)
    """
    return 1 / math.fsum(w * w for w in weights)


def multinomial(weights: Sequence[float], count: int, rng: np.random.Generator) -> list[int]:
    """`count` independent draws."""
    return [int(i) for i in rng.choice(len(weights), size=count, p=weights)]


def systematic(weights: Sequence[float], count: int, rng: np.random.Generator) -> list[int]:
    """One uniform number and `count` equidistant points: floor or ceil of count * w copies of each."""
    ends = np.cumsum(weights)
    points = (rng.random() + np.arange(count)) / count * ends[-1]
    found = np.searchsorted(ends, points, side="right")
    return [int(i) for i in np.minimum(found, len(weights) - 1)]


RESAMPLERS: dict[str, Callable[[Sequence[float], int, np.random.Generator], list[int]]] = {
    "multinomial": multinomial,
    "systematic": systematic,
}
