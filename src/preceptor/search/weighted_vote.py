"""Weighted vote: the answer with the greatest sum of scores over N samples (2206.02336, 2406.06592).

A constant scorer makes it the majority vote, a scorer that is 1 on one sample and 0 elsewhere best of N.
Scores must not be negative. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import elect
from preceptor.search.tree import Node


@dataclass(frozen=True)
class WeightedVote(Samples):
    """The answer with the most weight behind it."""

    needs_scorer: ClassVar[bool] = True
    aggregate: str | Aggregate = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve(self.aggregate)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "weighted", self.aggregate)
