"""Best of N by step scores: "Let's Verify Step by Step" (2305.20050).

Sample N solutions, score every step, reduce each vector to one number, return the answer of the best solution
that has one. Deviation: the default takes the last score, which suits value models; the paper's setting for
validity models is `aggregate="prod"`. Cost: n solutions and n scored traces.
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
class BestOfN(Samples):
    """The answer of the best-scored sample."""

    needs_scorer: ClassVar[bool] = True
    aggregate: str | Aggregate = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve(self.aggregate)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon", self.aggregate)
