"""R3L: imitate what solved the problem, push little from the rest (Reflect-then-Retry, repo shiweijiezero/R3L,
`opmd_advantage.py`).

`s = R - mean of the group`; a solved rollout (R >= 1) gets 1 whatever its group, a positive s is tripled. The
loss is `-(1 / (1 + tau)) A logp` without ratio or clipping, so off-policy text needs no stored log-probabilities: the
factor is the stream's weight (tau 1: 0.5), the form of the loss is the learner's. Turns before `Rollout.pivot` are
trained in neither the first attempt nor its retry.

A successful retry adds two samples of reward 1, the reflection and the guided retry, as groups of their own. Left out:
writing reflections and retries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Exploit(Op):
    """Rewards -> OPMD weights, one a rollout."""

    alpha: float = 3.0
    solved: float = 1.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = batch.absent("rollout")
        for members in batch.groups:
            rewards = np.array([values[i][0] for i in members])
            if np.isnan(rewards).all():
                continue
            s = rewards - np.nanmean(rewards)
            s = np.where(rewards >= self.solved, 1.0, np.where(s > 0, self.alpha * s, s))
            for i, x in zip(members, s, strict=True):
                out[i] = np.array([x])
        return out
