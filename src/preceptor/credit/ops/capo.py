"""CAPO: generative critiques flag wrong steps (abstract index 51).

Every token gets C times the outcome, those of a wrong step P less; the advantage is that number against all sampled
tokens of the prompt (`Center("steps", "mean", "std")` on tokens). With C > P a wrong step of a right answer stays
below its siblings and above a wrong answer. `SequenceNorm` is the alternative: mean and deviation of the
rollouts' mean token rewards, one number a rollout.

Left out: the critic's prompt and the reading of its reply (they give `Signals.verdicts`, K critiques a rollout).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.baseline import EPS
from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.ops.judges import Vote, critiques_of, wrong_share
from preceptor.credit.types import Level, Ragged


@dataclass(frozen=True)
class CritiqueReward(Source):
    """`C R - P [the token's step is wrong]`, `(L_i,)` each."""

    level: ClassVar[Level] = "token"
    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "verdicts"})
    vote: Vote = "majority"
    outcome: float = 2.0
    """C."""
    penalty: float = 1.0
    """P."""

    def __call__(self, batch: Batch) -> Ragged:
        out = []
        for r, known, critiques in zip(batch.rollouts, batch.outcomes, critiques_of(batch), strict=True):
            reward = np.full(r.length, self.outcome * known)
            if r.spans:
                reward -= self.penalty * wrong_share(critiques, len(r.spans), self.vote)[r.owner]
            out.append(np.where(r.mask, reward, np.nan))
        return out


@dataclass(frozen=True)
class SequenceNorm(Op):
    """Values minus the mean, by the sample deviation, of the prompt's rollouts' mean values; alone, NaN."""

    eps: float = EPS

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        means = np.array([np.nan if np.isnan(x).all() else np.nanmean(x) for x in values])
        out = [np.full(len(x), np.nan) for x in values]
        for members in batch.groups:
            known = means[members][~np.isnan(means[members])]
            if len(known) > 1:
                for i in members:
                    out[i] = (values[i] - known.mean()) / (known.std(ddof=1) + self.eps)
        return out
