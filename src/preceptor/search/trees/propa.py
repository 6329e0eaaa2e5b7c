"""Inference-time search of PROPA: UCT over steps with a process reward model that writes its score.

An iteration walks down to a leaf by W / n + c * sqrt(2 ln N_parent / n), a child without a visit first. The leaf gets
`width` steps; if one of them is finished all are judged, otherwise only the first, and every judged value, clipped to
[0, 1], is backed up to the root. A finished node that is selected again backs up 0. Ends after `iterations` (100), or
once `enough` (10) are done and `solutions` (3) have finished. The solution with the greatest mean score over its steps
wins. The root is no step: counting it, as published, divides by T + 1 and favors long paths.

Published: width 4, c 1, temperature 1. Deviations: a text is finished when the policy ends it, not by a phrase; equal
siblings are merged; an unscored step counts as a visit, not as 0; a node without a sound step to go on with backs up 0.
20 steps at most (those of its step-level best of N; for the tree not found, ours).
Cost: `width` steps an iteration, and one judged step unless a solution is finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status
from preceptor.search.trees.selection import (
    CONTINUABLE,
    Rank,
    back_up,
    best,
    children,
    mean_value,
    rank,
    sift,
    uct,
    unscored,
)


@dataclass(frozen=True)
class Propa(Strategy):
    """UCT; the answer is the path of best mean score."""

    needs_scorer: ClassVar[bool] = True
    width: int = 4
    """Steps sampled at a leaf."""
    iterations: int = 100
    enough: int = 10
    """Iterations after which finished solutions may end the search."""
    solutions: int = 3
    """How many of those."""
    c: float = 1.0
    max_steps: int = 20
    aggregate: str | Aggregate = field(default="mean", kw_only=True)
    """Of the steps of a solution, for the choice."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=1.0), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.width, self.iterations, self.solutions, self.max_steps) < 1 or self.c < 0:
            raise ValueError(
                f"PROPA: got {self!r}, expected width, iterations, solutions, max_steps >= 1 and c >= 0"
            )

    @property
    def asked(self) -> int:
        return self.solutions

    def select(self, search: Search) -> list[Ask]:
        while not self._over(search):
            leaf = self._leaf(search)
            search.memory["iterations"] += 1
            if leaf.status is Status.LIVE and "barren" not in leaf.data:
                return [Ask(leaf, self.width, steps(self.sampling, search.problem))]
            back_up(search, leaf, 0.0)
        return []

    def _over(self, search: Search) -> bool:
        done = search.memory.setdefault("iterations", 0)
        found = done >= self.enough and len(search.done) >= self.solutions
        return found or done >= self.iterations or "barren" in search.tree.root.data

    def _leaf(self, search: Search) -> Node:
        node = search.tree.root
        while kids := children(search, node):
            visits = node.visits
            node = best(kids, lambda k: self._rank(k, visits))  # noqa: B023
        return node

    def _rank(self, kid: Node, parent_visits: int) -> Rank:
        if not kid.visits:
            return Rank(True, math.inf)
        return rank(mean_value(kid), uct(parent_visits, kid.visits, self.c))

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        """Of all steps of this turn, those that came in earlier waves included."""
        sound = [k for k in search.kids if k.status in CONTINUABLE]
        return unscored(sound if any(k.status is Status.DONE for k in sound) else sound[:1])

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        leaf = search.tree[kids[0].parent or 0]
        sound = sift(search, leaf, self.max_steps)
        for kid in sound:
            if kid.scores is not None or kid.score_error is not None:
                back_up(search, kid, _clipped(kid))
        if not sound:
            leaf.data["barren"] = True
            back_up(search, leaf, 0.0)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon", self.aggregate)


def _clipped(node: Node) -> float | None:
    """The score of the last step, in [0, 1]."""
    last = node.scores[-1] if node.scores else None
    return None if last is None else min(max(last, 0.0), 1.0)
