"""How likely a step errs, and mends, from how it looks: two logistic curves learned from outcomes alone.

Expectation-maximisation: the posterior says how likely each step was the error, a weighted logistic regression
with a Gaussian prior fits that, and so on. The prior is what a calibrated policy means by its log-probabilities
(odds of an error = odds of having sampled something else), so that few data do no harm. Only the steps of the
given traces teach: rollouts are drawn where it was hard to tell, which would bias the curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from preceptor.annotate.adaptive.forest import Arrays, Floats, Ints
from preceptor.annotate.adaptive.inference import Chances, Posterior, infer

POINTS = 9
"""Grid points of a problem's difficulty."""
SPREADS = (0.1, 1.0)
"""Bounds of its spread. Rollouts are drawn where they fail as often as not, which makes problems seem further apart
than they are: without an upper bound the spread runs away after some hundred tokens a trace (arithmetic)."""


@dataclass(frozen=True)
class Hazards:
    """Weights of the features, and what all problems share."""

    spoil: Floats
    """(F,): of the log-odds that a step errs."""
    mend: Floats
    """(F,): of the log-odds that a step makes up for an error."""
    spread: float = 0.5
    """Standard deviation of a problem's difficulty, in log-odds."""
    rivalry: float = 0.5
    """Probability that different steps after one beginning exclude each other."""

    def grid(self) -> tuple[Floats, Floats]:
        """Difficulties and their prior weights (Gauss-Hermite)."""
        x, w = np.polynomial.hermite_e.hermegauss(POINTS)
        return x * self.spread, w / w.sum()

    def infer(self, arrays: Arrays) -> Posterior:
        grid, weights = self.grid()
        spoil, mend = arrays.features @ self.spoil, arrays.features @ self.mend
        return infer(arrays, Chances(spoil, mend, grid, weights, self.rivalry))

    def errs(self, arrays: Arrays, posterior: Posterior) -> Floats:
        """(N,): probability that each step errs on sound ground, at the mean difficulty of its problem."""
        difficulty = posterior.difficulty @ self.grid()[0]
        return _sigmoid(arrays.features @ self.spoil + difficulty[arrays.problem])


@dataclass(frozen=True)
class Prior:
    """Where learning starts, and how firmly: precisions of the weights."""

    start: Hazards
    spoil: Floats
    mend: Floats

    def log(self, hazards: Hazards) -> float:
        """Log-density of the weights, up to a constant."""
        apart = self.spoil * (hazards.spoil - self.start.spoil) ** 2
        return float(-0.5 * (apart.sum() + (self.mend * (hazards.mend - self.start.mend) ** 2).sum()))


def fit_best(
    arrays: Arrays, among: Ints, prior: Prior, starts: Sequence[Hazards], rounds: int = 20
) -> tuple[Hazards, Posterior]:
    """`fit` from several starts, and the most probable result: the likelihood has more than one peak."""
    found = [fit(arrays, among, prior, start, rounds) for start in starts]
    return max(found, key=lambda pair: pair[1].evidence + prior.log(pair[0]))


def fit(
    arrays: Arrays, among: Ints, prior: Prior, start: Hazards, rounds: int = 20
) -> tuple[Hazards, Posterior]:
    """Learn from all outcomes in the forest, by the nodes `among`."""
    hazards = start
    posterior = hazards.infer(arrays)
    for _ in range(rounds):
        before = posterior.evidence
        hazards = _maximise(arrays, among, prior, hazards, posterior)
        posterior = hazards.infer(arrays)
        if abs(posterior.evidence - before) < 1e-4 * abs(before):
            break
    return hazards, posterior


def _maximise(arrays: Arrays, among: Ints, prior: Prior, now: Hazards, found: Posterior) -> Hazards:
    x = arrays.features[among]
    grid, _ = now.grid()
    difficulty = (found.difficulty @ grid)[arrays.problem[among]]
    sound, spoiled = found.sound_before + found.mended_before, found.spoiled_before
    errors = found.first_error + found.erred_again
    spoil = _logistic(x, errors[among], sound[among], difficulty, now.spoil, prior.start.spoil, prior.spoil)
    mend = _logistic(
        x, found.mended[among], spoiled[among], 0 * difficulty, now.mend, prior.start.mend, prior.mend
    )
    forks = np.flatnonzero(np.bincount(arrays.parent[arrays.parent >= 0], minlength=len(arrays.parent)) > 1)
    weight = found.sound[forks]
    rivalry = float(((weight * found.rivals[forks]).sum() + 1) / (weight.sum() + 2))
    second = (found.difficulty @ grid**2).mean()
    spread = float(np.clip(np.sqrt(second), *SPREADS))
    return replace(now, spoil=spoil, mend=mend, rivalry=rivalry, spread=spread)


def _logistic(
    x: Floats, hits: Floats, weight: Floats, offset: Floats, start: Floats, prior: Floats, precision: Floats
) -> Floats:
    """Newton steps for fractional successes `hits` out of `weight` trials."""
    w = start.copy()
    for _ in range(8):
        p = _sigmoid(x @ w + offset)
        gradient = x.T @ (hits - weight * p) - precision * (w - prior)
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step = np.linalg.solve(curvature, gradient)
        w = w + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-6:
            break
    return w


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))
