"""Step targets with one more for the whole trajectory (Fin-PRM, ReasonFlux-PRM).

T steps give T + 1 supervised readouts. Each row carries its own trajectory target in a second channel at its
own last readout, so that padding and batching cannot move it: a published collator gives all rows the label
of the batch's last row. Loss: `losses.steps_and_trajectory`. ReasonFlux' alignment and coherence scores need
embeddings and are the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Pair = tuple[float | None, float | None]


def with_trajectory(targets: Sequence[float | None], trajectory: float | None) -> tuple[Pair, ...]:
    """T targets -> T + 1 pairs (step target, trajectory target); the last readout has only the second."""
    return (*((y, None) for y in targets), (None, trajectory))


def softmax_mix(scores: Sequence[float]) -> float:
    """sum_k softmax(scores)_k * scores_k: ReasonFlux' step target from alignment, quality and coherence (from
    memory). Between the mean and the largest score."""
    top = max(scores)
    weights = [math.exp(s - top) for s in scores]
    return sum(w * s for w, s in zip(weights, scores, strict=True)) / sum(weights)


def combined_score(steps: Sequence[float], trajectory: float, *, alpha: float = 1.0) -> float:
    """Mean of the step scores plus alpha times the trajectory score; published alpha 1."""
    return sum(steps) / len(steps) + alpha * trajectory if steps else alpha * trajectory
