"""DRM: confidence, relevance and coherence as a reward without gold answers (abstract index 20).

Each dimension is stretched to [0, 1] over the prompt's rollouts, then they are added. No shift or positive scale of a
dimension changes anything; one that is the same for all of them says 0. The measures themselves are a scorer's:
`preceptor.reward.likelihood.DRM` has them (with z-scores instead of the stretch). Weights 1/3 each: not found, ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Array, Level, Ragged

NAMES = ("confidence", "relevance", "coherence")


@dataclass(frozen=True)
class Dimensions(Source):
    """Weighted sum of the stretched scalars, `(1,)` each; NaN for a rollout that lacks one."""

    level: ClassVar[Level] = "rollout"
    names: tuple[str, ...] = NAMES
    weights: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(f"scalars.{name}" for name in self.names)

    def __call__(self, batch: Batch) -> Ragged:
        total = np.zeros(len(batch))
        for name, weight in zip(self.names, self.weights, strict=True):
            values = np.array([x[0] for x in Scalar(name).of(batch)])
            for members in batch.groups:
                values[members] = stretched(values[members])
            total += weight * values
        return [np.array([x]) for x in total]


def stretched(x: Array) -> Array:
    """`(n,)` onto [0, 1]: minimum to 0, maximum to 1; NaN stays; all equal: 0."""
    known = x[~np.isnan(x)]
    if not len(known):
        return x
    low, width = known.min(), np.ptp(known)
    return (x - low) / width if width > 0 else x * 0.0
