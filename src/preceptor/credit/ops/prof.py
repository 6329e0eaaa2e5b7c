"""PROF: rollouts whose process scores contradict their outcome are not trained on (abstract index 182).

Of a prompt's n rollouts m stay: of the right ones those with the highest mean step score, of the wrong ones those with
the lowest. `k_right = clip(m/2, m - wrong, right)`, the rest are wrong ones. Scores choose and never enter a gradient;
the group's statistics are those of the rollouts that stay.

    both             as above                      correct_only     wrong ones are drawn at random
    incorrect_only   right ones at random          together         no split: highest of s (right) and 1 - s (wrong)

n and m are not found; half of them stay (8 of which 4). Ours: an unjudged rollout is dropped before any judged one,
and "at random" is by the rollout's content, so that the order of a batch decides nothing. Left out: the
regulariser on extreme step counts (from memory, formula not found). From the README of Chenluye99/PROF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Filter, Source
from preceptor.credit.pool import Pool
from preceptor.credit.sources import StepScore
from preceptor.credit.types import Array, Flags
from preceptor.trace import stream_seed


@dataclass(frozen=True)
class Consistency(Filter):
    """Chooses `share` of each prompt's rollouts, rounded up."""

    reads: ClassVar[frozenset[str]] = frozenset({"outcome"})
    variant: Literal["both", "correct_only", "incorrect_only", "together"] = "both"
    share: float = 0.5
    seed: int = 0
    scores: Source = field(default_factory=StepScore)

    def __call__(self, batch: Batch) -> Flags:
        means = np.array([x[0] for x in Pool("mean")(self.scores.of(batch), batch.at("step"))])
        right, random = batch.outcomes > 0, self._random(batch)
        agreement = np.where(right, means, 1.0 - means)
        if self.variant == "correct_only":
            agreement = np.where(right, agreement, random)
        elif self.variant == "incorrect_only":
            agreement = np.where(right, random, agreement)
        keep = np.zeros(len(batch), dtype=bool)
        for members in batch.groups:
            for pool, kept in self._split(members, right):
                keep[_best(pool, agreement, random)[:kept]] = True
        return keep

    def _split(self, members: list[int], right: Flags) -> list[tuple[list[int], int]]:
        """Pools of a prompt's rollouts and how many of each stay."""
        m = math.ceil(self.share * len(members))
        if self.variant == "together":
            return [(members, m)]
        good, bad = [i for i in members if right[i]], [i for i in members if not right[i]]
        k = min(max(m // 2, m - len(bad)), len(good))
        return [(good, k), (bad, m - k)]

    def _random(self, batch: Batch) -> Array:
        """`(N,)` in [0, 1): the same for the same rollout, wherever it stands."""
        given = batch.signals.scores or (None,) * len(batch)
        step = batch.signals.step
        return np.array(
            [
                stream_seed(
                    "prof",
                    self.seed,
                    step,
                    r.prompt_id,
                    r.outcome,
                    r.length,
                    r.spans,
                    r.model_mask,
                    r.answer,
                    s,
                )
                / 2**63
                for r, s in zip(batch.rollouts, given, strict=True)
            ]
        )


def _best(pool: list[int], agreement: Array, random: Array) -> list[int]:
    """Highest agreement first, unjudged last; ties by `random`."""
    return sorted(pool, key=lambda i: (np.isnan(agreement[i]), -np.nan_to_num(agreement[i]), random[i], i))
