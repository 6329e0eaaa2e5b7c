"""The gate of `Reversed`: how much the forward score of a step counts, learned from labels.

`w = sigmoid(b . x)` with x = (1, forward - 1/2, backward - 1/2, place - 1/2) and place = t / T; b minimises
the binary cross entropy of the *fused* score, as in BiPRM, plus a small penalty on b that makes the answer
unique. All zeros is the plain mean. Cost: a few hundred small vector operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.judgement import Judgement
from preceptor.reward.combine.parts import Scores

EDGE = 1e-6
"""Fused scores are kept this far from 0 and 1 while fitting, so that the loss is finite."""


@dataclass(frozen=True)
class Gate:
    """Four weights: constant, forward score, backward score, place in the trace."""

    weights: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def __call__(self, forward: float, backward: float, place: float) -> float:
        """The forward share in (0, 1); `place` is t / T in (0, 1]."""
        inputs = (1.0, forward - 0.5, backward - 0.5, place - 0.5)
        z = sum(w * x for w, x in zip(self.weights, inputs, strict=True))
        return 0.5 * (1.0 + math.tanh(0.5 * z))

    def to_record(self) -> dict[str, Any]:
        return {"weights": list(self.weights)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Gate:
        constant, forward, backward, place = record["weights"]
        return cls((constant, forward, backward, place))

    @classmethod
    def fit(
        cls,
        passes: Sequence[tuple[Judgement | None, Judgement | None]],
        targets: Sequence[Scores | None],
        *,
        penalty: float = 1e-2,
    ) -> Gate:
        """Learn from `Reversed.passes` and, per trace, one target in [0, 1] or None per step.

        Steps without both scores or without a target teach nothing; InputError when no step is left, or a
        score lies outside [0, 1]. Keep the problems apart from those the result is measured on.
        """
        from scipy.optimize import minimize

        f, b, place, y = _table(passes, targets)
        x = np.stack([np.ones_like(f), f - 0.5, b - 0.5, place - 0.5], axis=1)

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            w = 0.5 * (1.0 + np.tanh(0.5 * (x @ weights)))
            r = np.clip(w * f + (1 - w) * b, EDGE, 1 - EDGE)
            value = -(y * np.log(r) + (1 - y) * np.log1p(-r)).mean() + penalty * (weights**2).sum()
            slope = (r - y) / (r * (1 - r)) * (f - b) * w * (1 - w)
            return float(value), x.T @ slope / len(y) + 2 * penalty * weights

        found = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B")
        constant, forward, backward, where = (float(v) for v in found.x)
        return cls((constant, forward, backward, where))


def _table(
    passes: Sequence[tuple[Judgement | None, Judgement | None]], targets: Sequence[Scores | None]
) -> NDArray[np.float64]:
    """Rows of forward, backward (un-reversed), place and target: shape (4, steps)."""
    if len(passes) != len(targets):
        raise InputError(f"got {len(passes)} traces and {len(targets)} targets, expected as many of each")
    rows: list[tuple[float, float, float, float]] = []
    for (forward, backward), target in zip(passes, targets, strict=True):
        if forward is None or backward is None or target is None:
            continue
        if forward.scores is None or backward.scores is None:
            continue
        count = len(target)
        if len(forward.scores) != count:
            raise InputError(
                f"trace {forward.trace}: got {count} targets for {len(forward.scores)} steps. Give one "
                "target, or None, per step."
            )
        columns = zip(forward.scores, backward.scores[::-1], target, strict=True)
        for t, (f, b, y) in enumerate(columns):
            if f is not None and b is not None and y is not None:
                rows.append((f, b, (t + 1) / count, y))
    if not rows:
        raise InputError("no step has a target and both scores, so there is nothing to fit")
    table = np.asarray(rows, dtype=np.float64).T
    if table.min() < 0 or table.max() > 1:
        raise InputError(f"scores and targets lie in [{table.min()}, {table.max()}], expected [0, 1]")
    return table
