"""Rewards that are sums of several numbers of a rollout."""

from __future__ import annotations

from dataclasses import dataclass

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Plus(Op):
    """Values plus `weight` times a rollout's number. Unlike `Add`: without the number there is no sum, for a
    reward that lacks a part is not comparable with those of its group."""

    source: Source
    weight: float = 1.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [x + self.weight * y for x, y in zip(values, self.source.of(batch), strict=True)]
