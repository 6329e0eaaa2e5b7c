"""Vanilla MCTS of OpenR: every path goes down to an end.

A path starts at the root and takes, of a node's children, the one of greatest Q + P * c(N) * sqrt(N) / (1 + N_child),
c(N) = ln((N + base + 1) / base) + init; Q is the mean of the paths that went through a child, before the first one the
child's own score. A leaf on the way gets `width` steps, equal ones merged, P = exp(mean token log-prob) over the sum of
the siblings'. At the end the score of the finished solution is backed up. So the first path always follows the best
scored child; with `by_prior` the child of a node that was not visited is drawn by prior. A path is one solution at
most.

Published: base 19652, init 1.25; width 4, depth 50, temperature 0.7 (from memory). A node without a sound step in 3
tries ends its path with 0 and is never entered again. Deviations: a path that ends in a solution for the second time is
no second candidate; an unscored end counts as a visit and not as 0; a node too deep is cut, so it ends no path.
Cost: `width` steps for every new node of a path, each scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status
from preceptor.search.trees.selection import (
    Rank,
    back_up,
    best,
    children,
    growing_c,
    mean_value,
    priors,
    puct,
    rank,
    sift,
    worth,
)
from preceptor.search.vote import VOTES

TRIES = 3
"""Expansions of a node before it is given up."""


@dataclass(frozen=True)
class VanillaMcts(Strategy):
    """Paths down a tree by PUCT."""

    needs_scorer: ClassVar[bool] = True
    paths: int = 8
    width: int = 4
    """Steps sampled where a path comes to a leaf."""
    aggregate: str | Aggregate = "last"
    max_steps: int = 50
    vote: str = field(default="weighted", kw_only=True)
    base: float = field(default=19652.0, kw_only=True)
    init: float = field(default=1.25, kw_only=True)
    by_prior: bool = field(default=False, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.paths, self.width, self.max_steps) < 1 or self.base <= 0 or self.vote not in VOTES:
            raise ValueError(
                f"vanilla MCTS: got {self!r}, expected paths, width, max_steps >= 1, base > 0 and a vote of "
                f"{sorted(VOTES)}"
            )

    @property
    def asked(self) -> int:
        return self.paths

    def select(self, search: Search) -> list[Ask]:
        memory, root = search.memory, search.tree.root
        while memory.setdefault("paths", 0) < self.paths and root.status is Status.LIVE:
            at = search.tree[memory.get("at", 0)]
            kids = children(search, at)
            if at.status is Status.DONE:
                self._end(search, at, worth(at, self.aggregate) if not at.visits else mean_value(at))
            elif kids:
                memory["at"] = self._child(search, at, kids).id
            elif at.data.get("tries", 0) < TRIES:
                return [Ask(at, self.width, steps(self.sampling, search.problem))]
            else:
                at.status, at.data["why"] = Status.PRUNED, "no sound step to go on with"
                self._end(search, at, 0.0)
        return []

    def _end(self, search: Search, node: Node, value: float | None) -> None:
        back_up(search, node, value)
        search.memory["paths"] += 1
        search.memory["at"] = 0

    def _child(self, search: Search, node: Node, kids: Sequence[Node]) -> Node:
        if self.by_prior and not node.visits:
            shares = [kid.data["prior"] / sum(k.data["prior"] for k in kids) for kid in kids]
            return kids[int(search.rng("child", node.id, search.memory["paths"]).choice(len(kids), p=shares))]
        c = growing_c(node.visits, self.base, self.init)

        def key(kid: Node) -> Rank:
            q = mean_value(kid) if kid.visits else worth(kid, self.aggregate)
            return rank(q, puct(kid.data["prior"], node.visits, kid.visits, c))

        return best(kids, key)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        at = search.tree[kids[0].parent or 0]
        sound = sift(search, at, self.max_steps)
        for kid, prior in zip(sound, priors(sound, normalize=True), strict=True):
            kid.data["prior"] = prior
        too_deep = search.tree.depth(at) + 1 >= self.max_steps
        at.data["tries"] = TRIES if too_deep else at.data.get("tries", 0) + 1

    def candidates(self, search: Search) -> list[Node]:
        """Ends of paths; all finished ones where no path ended with an answer."""
        ends = [n for n in search.done if n.visits]
        return ends if any(n.canon is not None for n in ends) else search.done

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.vote, self.aggregate)
