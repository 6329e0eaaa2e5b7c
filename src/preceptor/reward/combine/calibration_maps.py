"""Non-decreasing maps from a score to a probability, fitted to targets: what `Calibrated` applies.

    Temperature   sigmoid(logit(s) / T): one number, keeps the ranking and the threshold 1/2
    Platt         sigmoid(a * s + b) with a >= 0, on the logit of a score in [0, 1] or on any real score
    Isotonic      the non-decreasing step function closest to the targets (pool adjacent violators), joined
                  by straight lines; it may tie scores but never swaps them

Targets lie in [0, 1]: labels, or success rates. Temperature and Platt minimise the cross entropy, Isotonic
the squared error. Platt uses Platt's own smoothed targets, (N+ + 1) / (N+ + 2) for 1 and 1 / (N- + 2) for 0,
so that separable data give a finite slope; a soft target lies between them. The ranking is kept up to the
resolution of doubles, and scores closer than `EDGE` to 0 or 1 count as `EDGE` away. Cost: sorting for
Isotonic, a bounded one- or two-number search for the others. Left out: binning (it makes ties of all
neighbors).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError

EDGE = 1e-8
"""Smaller than the distance between 1 and the float32 below it, so that no such scores are tied."""

Array = NDArray[np.float64]


class ScoreMap(Protocol):
    """A fitted, non-decreasing map."""

    def __call__(self, score: float) -> float: ...

    def to_record(self) -> dict[str, Any]:
        """JSON object; `"kind"` names the method."""
        ...


def logit(score: float) -> float:
    """Log odds, finite everywhere; InputError outside [0, 1]."""
    if not 0 <= score <= 1:
        raise InputError(
            f"score: got {score}, expected [0, 1]. For other scores use 'platt-raw' or 'isotonic'."
        )
    s = min(max(score, EDGE), 1 - EDGE)
    return math.log(s) - math.log1p(-s)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _cross_entropy(z: Array, y: Array) -> float:
    """Mean of -y log sigmoid(z) - (1 - y) log sigmoid(-z)."""
    return float((np.logaddexp(0, z) - y * z).mean())


@dataclass(frozen=True)
class Temperature:
    """`temperature` above 1 makes scores less sure, below 1 surer."""

    temperature: float

    def __call__(self, score: float) -> float:
        return sigmoid(logit(score) / self.temperature)

    def to_record(self) -> dict[str, Any]:
        return {"kind": "temperature", "temperature": self.temperature}

    @classmethod
    def fit(cls, scores: Array, targets: Array) -> Self:
        """T between 1/50 and 50; the loss is convex in 1/T."""
        from scipy.optimize import minimize_scalar

        z = np.array([logit(s) for s in scores])
        found = minimize_scalar(
            lambda b: _cross_entropy(b * z, targets),
            bounds=(0.02, 50),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return cls(1 / float(found.x))


@dataclass(frozen=True)
class Platt:
    """Two numbers; a scorer that is worse than chance gets the slope 0, a constant, and is not inverted."""

    slope: float
    offset: float
    raw: bool = False
    """On the score itself, which may be any real number, instead of on its logit."""

    def __call__(self, score: float) -> float:
        return sigmoid(self.slope * (score if self.raw else logit(score)) + self.offset)

    def to_record(self) -> dict[str, Any]:
        kind = "platt-raw" if self.raw else "platt"
        return {"kind": kind, "slope": self.slope, "offset": self.offset}

    @classmethod
    def fit(cls, scores: Array, targets: Array, *, raw: bool = False) -> Self:
        from scipy.optimize import minimize

        z = scores if raw else np.array([logit(s) for s in scores])
        center, scale = float(z.mean()), float(z.std()) or 1.0
        x = (z - center) / scale
        good = float(targets.sum())
        top, bottom = (good + 1) / (good + 2), 1 / (len(targets) - good + 2)
        y = bottom + targets * (top - bottom)

        def loss(ab: Array) -> tuple[float, Array]:
            u = ab[0] * x + ab[1]
            gap = 0.5 * (1 + np.tanh(u / 2)) - y
            return _cross_entropy(u, y), np.array([(gap * x).mean(), gap.mean()])

        options = {"ftol": 1e-15, "gtol": 1e-10}
        bounds = [(0, None), (None, None)]
        found = minimize(
            loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        slope = float(found.x[0]) / scale
        return cls(slope, float(found.x[1]) - slope * center, raw)


@dataclass(frozen=True)
class Isotonic:
    """Straight lines between the points (`scores[k]`, `values[k]`); constant outside them."""

    scores: tuple[float, ...]
    """Strictly increasing."""
    values: tuple[float, ...]
    """Non-decreasing."""

    def __call__(self, score: float) -> float:
        k = bisect_right(self.scores, score)
        if k == 0:
            return self.values[0]
        if k == len(self.scores):
            return self.values[-1]
        a, b, low, high = *self.scores[k - 1 : k + 1], *self.values[k - 1 : k + 1]
        share = (score - a) / (b - a)
        return min(low + (high - low) * share, high)

    def to_record(self) -> dict[str, Any]:
        return {"kind": "isotonic", "scores": list(self.scores), "values": list(self.values)}

    @classmethod
    def fit(cls, scores: Array, targets: Array) -> Self:
        """Both ends of every pool are kept as points; the middle of a pool adds nothing."""
        x, where, count = np.unique(scores, return_inverse=True, return_counts=True)
        means = np.bincount(where, weights=targets) / count
        fitted = pool_adjacent_violators(means, count.astype(np.float64))
        inner = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
        keep = np.concatenate([[True], ~inner, [True]])[: len(x)]
        return cls(tuple(x[keep].tolist()), tuple(fitted[keep].tolist()))


def pool_adjacent_violators(values: Array, weights: Array) -> Array:
    """The non-decreasing sequence with the least weighted squared distance to `values`; linear time."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] >= pool[0]:
            v, w, n = pools.pop()
            total = w + pool[1]
            pool = ((v * w + pool[0] * pool[1]) / total, total, n + pool[2])
        pools.append(pool)
    return np.repeat([p[0] for p in pools], [p[2] for p in pools])


def fit_map(scores: Array, targets: Array, method: str) -> ScoreMap:
    """The map of this method. Raises InputError for a method that is none of the four, no data, scores that
    are not numbers or that the method cannot take, and targets outside [0, 1]."""
    if not len(scores):
        raise InputError("no step has both a score and a target, so there is nothing to fit")
    if not np.isfinite(scores).all() or not ((targets >= 0) & (targets <= 1)).all():
        raise InputError("got scores that are not finite or targets outside [0, 1]; expected neither")
    match method:
        case "temperature":
            return Temperature.fit(scores, targets)
        case "platt" | "platt-raw":
            return Platt.fit(scores, targets, raw=method == "platt-raw")
        case "isotonic":
            return Isotonic.fit(scores, targets)
    raise InputError(f"method: got {method!r}, expected 'temperature', 'platt', 'platt-raw' or 'isotonic'")


def map_from_record(record: Mapping[str, Any]) -> ScoreMap:
    """The map that wrote the record; InputError for an unknown kind."""
    match record.get("kind"):
        case "temperature":
            return Temperature(record["temperature"])
        case "platt" | "platt-raw":
            return Platt(record["slope"], record["offset"], record["kind"] == "platt-raw")
        case "isotonic":
            return Isotonic(tuple(record["scores"]), tuple(record["values"]))
    raise InputError(f"map record: got kind {record.get('kind')!r}, expected one written by `to_record`")
