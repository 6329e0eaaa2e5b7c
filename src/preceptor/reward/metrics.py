"""Held-out figures of a training run: step accuracy, AUROC, first-error F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from preceptor.judgement import NO_ERROR, first_below

Scores = Sequence[float | None]


def auroc(scores: np.ndarray, good: np.ndarray) -> float | None:
    """Probability that a good step scores above a bad one, ties half; None with one class only."""
    n_good, n_bad = int(good.sum()), int((~good).sum())
    if not n_good or not n_bad:
        return None
    ranks = rankdata(scores)
    return float((ranks[good].sum() - n_good * (n_good + 1) / 2) / (n_good * n_bad))


def first_error_f1(found: Sequence[int | None], truth: Sequence[int | None]) -> float | None:
    """ProcessBench's F1: harmonic mean of the exact-location rate on traces with an error and the
    no-error rate on right ones. Traces of unknown truth are left out; an unknown answer is a miss."""
    pairs = [(f, t) for f, t in zip(found, truth, strict=True) if t is not None]
    wrong = [f == t for f, t in pairs if t != NO_ERROR]
    right = [f == t for f, t in pairs if t == NO_ERROR]
    if not wrong or not right:
        return None
    a, b = sum(wrong) / len(wrong), sum(right) / len(right)
    return 0.0 if a + b == 0 else 2 * a * b / (a + b)


def step_metrics(scored: Sequence[Scores | None], targets: Sequence[Scores]) -> dict[str, float | int | None]:
    """Figures over all labelled steps at the threshold 0.5; a step without score counts as unscored."""
    pairs = [
        (s, y)
        for trace_scores, trace_targets in zip(scored, targets, strict=True)
        for s, y in zip(trace_scores or [None] * len(trace_targets), trace_targets, strict=True)
        if y is not None
    ]
    values = np.array([s for s, _ in pairs if s is not None], dtype=float)
    good = np.array([y >= 0.5 for s, y in pairs if s is not None], dtype=bool)
    return {
        "traces": len(targets),
        "steps": len(pairs),
        "unscored": len(pairs) - len(values),
        "accuracy": float(((values >= 0.5) == good).mean()) if len(values) else None,
        "auroc": auroc(values, good),
        "first_error_f1": first_error_f1(
            [None if s is None else first_below(s, 0.5) for s in scored],
            [first_below(y, 0.5) for y in targets],
        ),
    }
