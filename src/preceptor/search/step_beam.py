"""Step-level beam search guided by step scores (2408.03314; ToT-BFS; the beam of search-and-learn).

The first level samples keep * expand steps; then the `keep` best live prefixes get `expand` steps each,
until nothing is live, keep * expand solutions are done, or `max_steps` is reached. Finished solutions leave
the beam and occupy no slot; a prefix cut by a limit is not a solution; a shortfall is not padded.
Deviations: exact duplicates are merged unless told otherwise; under a token budget and while nothing is done, a
level narrows so as to spend at most half of what is left, best prefixes first, instead of ending with nothing.
Cost: keep * expand steps a level, each scored with its prefix.

`beams/` holds the beams that differ in one of the hooks `level`, `frontier`, `worth`, `shortlist` and `narrow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, aggregate, resolve
from preceptor.search.duplicates import DUPLICATES, merge, prefer_distinct
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, descending, elect, live, steps
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES


@dataclass(frozen=True)
class StepBeam(Strategy):
    """Keep the best prefixes of each level."""

    needs_scorer: ClassVar[bool] = True
    keep: int = 4
    """Prefixes kept a level."""
    expand: int = 4
    """Steps sampled for each of them."""
    aggregate: str | Aggregate = "last"
    max_steps: int = 40
    vote: str = field(default="bon", kw_only=True)
    """How the answer is chosen among finished solutions: a name in `VOTES`."""
    duplicates: str = field(default="merge", kw_only=True)
    """ "keep", "merge" or "prefer-distinct": what becomes of equal prefixes within a level."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of one step."""

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.keep, self.expand, self.max_steps) < 1:
            raise ValueError(f"step beam: got {self!r}, expected keep, expand and max_steps >= 1")
        for value, known in ((self.vote, sorted(VOTES)), (self.duplicates, DUPLICATES)):
            if value not in known:
                raise ValueError(f"step beam: got {value!r}, expected one of {list(known)}")

    @property
    def asked(self) -> int:
        return self.keep * self.expand

    def level(self, search: Search) -> int:
        """Steps every standing prefix has, without those of this turn."""
        return search.round

    def frontier(self, search: Search) -> list[Node]:
        """Prefixes to continue, in order of creation."""
        return search.leaves

    def worth(self, search: Search, node: Node) -> float | None:
        """What a prefix is ranked by; None: unscored, and last."""
        return aggregate(node.scores, self.aggregate)

    def ranked(self, search: Search, nodes: Sequence[Node]) -> list[Node]:
        """Best first; ties in order of creation."""
        return descending(nodes, lambda node: self.worth(search, node))

    def select(self, search: Search) -> list[Ask]:
        sampling = steps(self.sampling, search.problem)
        if search.round == 0:
            return [Ask(search.tree.root, self.keep * self.expand, sampling)]
        room, leaves = self._width(search), self.frontier(search)
        counts: dict[int, int] = {}
        for node in self.ranked(search, leaves):
            counts[node.id] = min(self.expand, room)
            room -= counts[node.id]
            if not counts[node.id]:
                node.status = Status.PRUNED
        return [Ask(node, counts[node.id], sampling) for node in leaves]

    def _width(self, search: Search) -> int:
        """Children this level may have."""
        return affordable(search, self.keep * self.expand)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        if self.level(search) + 1 >= self.max_steps:
            for node in live(kids):
                node.status = Status.CUT
            return
        self.narrow(search, live(kids))

    def narrow(self, search: Search, standing: Sequence[Node]) -> None:
        """Drop all but the best of a level."""
        for node in self.shortlist(search, standing)[self.keep :]:
            node.status = Status.PRUNED

    def shortlist(self, search: Search, nodes: Sequence[Node]) -> list[Node]:
        """Best first, duplicates dealt with."""
        if self.duplicates == "merge":
            nodes = merge(search, nodes)
        order = self.ranked(search, nodes)
        return prefer_distinct(search, order) if self.duplicates == "prefer-distinct" else order

    def stop(self, search: Search) -> str | None:
        return "done" if len(search.done) >= self.asked else None

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.vote, self.aggregate)


def affordable(search: Search, most: int, calls: int = 1) -> int:
    """How many continuations a level may have, at most `most`, each of `calls` calls.

    While nothing is done under a token budget: what half of the rest would pay for, at least one.
    """
    spent, tokens = search.spent.policy, search.budget.tokens
    if tokens is None or search.done or not spent.generated:
        return most
    mean = spent.generated / spent.calls * calls
    return max(1, min(most, int((tokens - spent.generated) / 2 / mean)))
