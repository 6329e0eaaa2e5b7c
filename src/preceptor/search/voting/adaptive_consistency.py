"""Majority votes that stop once they are decided (adaptive-consistency, 2305.11860, the id from memory).

`AdaptiveConsistency` samples `batch` at a time and looks at the two leading answers, v1 and v2 samples: it stops where
`P = 1 - I_0.5(v1 + 1, v2 + 1)`, the chance that the first would go on to lead, reaches `confidence`. P is .9375 at
(3, 0), .96875 at (4, 0), .965 at (6, 1), .9375 at (5, 1), so at 0.95 nothing stops before 4 samples. At most 40
samples (from memory). `DoublingConsistency` has 2, 4, 8, ... samples and stops where the leader's share of those who
answered is at least 0.75. The samples are the first ones of `Majority` with the same seed. Samples without an answer
cost and do not vote. Cost: as many solutions as the votes need.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, elect
from preceptor.search.tree import Node
from preceptor.search.vote import by_class

SETTLED = "settled"


def lead(first: int, second: int) -> float:
    """`1 - I_0.5(first + 1, second + 1)`: P that more than half of the votes for either go to the first, exactly.

    >>> lead(3, 0), lead(4, 0), lead(5, 1)
    (0.9375, 0.96875, 0.9375)
    """
    n = first + second + 1
    return sum(math.comb(n, i) for i in range(first + 1)) / (1 << n)


def counts(nodes: list[Node]) -> list[int]:
    """Members of the classes, the largest first."""
    return sorted(map(len, by_class([n.canon for n in nodes]).values()), reverse=True)


@dataclass(frozen=True)
class AdaptiveConsistency(Samples):
    """Majority vote that stops by the Beta rule."""

    n: int | None = 40
    """The most samples; None: as many as the budget buys."""
    confidence: float = 0.95
    batch: int = field(default=1, kw_only=True)
    """Samples between two looks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 < self.confidence <= 1:
            raise ValueError(
                f"adaptive consistency: got confidence={self.confidence}, expected it in (0.5, 1]"
            )

    def select(self, search: Search) -> list[Ask]:
        have = len(search.tree) - 1
        more = self.batch if self.n is None else min(self.batch, self.n - have)
        return [Ask(search.tree.root, more, self.sampling, role="solution")]

    def stop(self, search: Search) -> str | None:
        first, second = [*counts(self.candidates(search)), 0, 0][:2]
        return SETTLED if first and lead(first, second) >= self.confidence else None

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")


@dataclass(frozen=True)
class DoublingConsistency(Samples):
    """Majority vote over 2, 4, 8, ... samples until one answer leads by far."""

    n: int | None = 64
    """The most samples (ours); None: as many as the budget buys."""
    share: float = 0.75
    batch: int = field(default=2, kw_only=True)
    """Samples in the first round; the number in all doubles with each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1:
            raise ValueError(f"doubling consistency: got share={self.share}, expected it in (0, 1]")

    def select(self, search: Search) -> list[Ask]:
        have = len(search.tree) - 1
        more = have or self.batch
        more = more if self.n is None else min(more, self.n - have)
        return [Ask(search.tree.root, more, self.sampling, role="solution")]

    def stop(self, search: Search) -> str | None:
        found = counts(self.candidates(search))
        return SETTLED if found and found[0] / sum(found) >= self.share else None

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")
