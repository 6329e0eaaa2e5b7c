"""SIOP: the group's own answers as references (Self-Induced Outcome Potential, repo dl-m9/SIOP). No gold answer.

Answers that entail each other form a cluster c of mass `m_c = |c| / K`, K the rollouts with an answer, and weight
`q_c = softmax(log m_c + eta r_c)`, r_c the mean over its members of how well their observations entail its answer.
After turn t the model gives the references of the rollout's own cluster the support p_t. Turn reward
`q_c (log p_t - log p_{t-1})`; the last turn gets `(1 - lambda) q_c` on top, a rollout of one turn nothing else.

Given from outside: `Rollout.answer`, equal strings for one cluster; p_t in `Signals.scores`, p_0 in `start`;
`reliability` in the scalars, 0 where none is known (`preceptor.learn.signals.clusters`). A rollout without an answer
has weight 0 and rewards 0, which count. Deviation: a turn whose support could not be measured has no reward
(published: 0) and the next turn gets the whole difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Source
from preceptor.credit.ops.beliefs import levels
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Array, Level, Ragged


def weights(answers: Sequence[str | None], reliability: Array, eta: float = 1.0) -> Array:
    """`(K,)` weight q of each rollout's cluster; 0 without an answer. NaN reliabilities are left out of r_c."""
    members: dict[str, list[int]] = {}
    for i, answer in enumerate(answers):
        if answer:
            members.setdefault(answer, []).append(i)
    out = np.zeros(len(answers))
    total = sum(map(len, members.values()))
    logits = {}
    for answer, own in members.items():
        known = reliability[own][~np.isnan(reliability[own])]
        logits[answer] = np.log(len(own) / total) + eta * (known.mean() if len(known) else 0.0)
    top = max(logits.values(), default=0.0)
    norm = sum(np.exp(x - top) for x in logits.values())
    for answer, own in members.items():
        out[own] = np.exp(logits[answer] - top) / norm
    return out


@dataclass(frozen=True)
class OutcomePotential(Source):
    """Turn rewards, `(T_i,)` each. Without a source of reliability, `q_c = m_c`."""

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"answer", "scores"})
    lam: float = 0.5
    eta: float = 1.0
    floor: float = 1e-8
    reliability: Source | None = field(default_factory=lambda: Scalar("reliability"))

    def __call__(self, batch: Batch) -> Ragged:
        shares = self._weights(batch)
        out = []
        for r, q, (at, found) in zip(batch.rollouts, shares, levels(batch, answer=True), strict=True):
            carriers = r.tokens > 0
            rewards = np.where(carriers & (q == 0), 0.0, np.nan)
            if q > 0 and carriers.any():
                if carriers.sum() > 1:
                    rewards[at] = q * np.diff(np.log(found + self.floor))
                last = last_carrier(r.tokens)
                rewards[last] = np.nan_to_num(rewards[last]) + (1.0 - self.lam) * q
            out.append(rewards)
        return out

    def _weights(self, batch: Batch) -> Array:
        """`(N,)`, each prompt's present rollouts among themselves."""
        given = batch.absent("rollout") if self.reliability is None else self.reliability.of(batch)
        out = np.full(len(batch), np.nan)
        for members in batch.groups:
            known = np.array([given[i][0] for i in members])
            out[members] = weights([batch.rollouts[i].answer for i in members], known, self.eta)
        return out


@dataclass(frozen=True)
class ClusterReward(Source):
    """The paper's baselines without a belief, `(1,)` each: 1 in the largest cluster, else 0 (TTRL); or the
    cluster's mass (EMPO). 0 without an answer. Clusters that tie for the largest all get 1."""

    level: ClassVar[Level] = "rollout"
    reads: ClassVar[frozenset[str]] = frozenset({"answer"})
    by: Literal["majority", "mass"] = "majority"

    def __call__(self, batch: Batch) -> Ragged:
        out = batch.absent("rollout")
        for members in batch.groups:
            mass = weights([batch.rollouts[i].answer for i in members], np.zeros(len(members)))
            largest = (mass > 0) & (mass > mass.max() - 1e-9)
            for i, m, first in zip(members, mass, largest, strict=True):
                out[i] = np.array([float(first) if self.by == "majority" else m])
        return out
