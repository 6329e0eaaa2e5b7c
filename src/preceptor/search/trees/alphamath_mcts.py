"""MCTS of AlphaMath Almost Zero, as it is used at test time.

An iteration walks from the root over open children (unfinished, with something open below them), taking the greatest
Q + c_puct * P * sqrt(N) / (1 + N_child); Q = W / N, 0 before the first visit; P = exp(mean token log-prob), not divided
by the siblings' sum; ties at random. The leaf gets `width` steps and its own value is added to W, with one visit, on
the way up; so is the value of every finished child. A finished text without an answer, a step cut by its limit and one
that is too deep count `invalid`. A node whose children are all closed is closed, and the iteration ends without cost.
The finished solution of greatest value wins.

Values lie in [-1, 1]: the value head's tanh (`signed`), otherwise 2s - 1 of a score s in [0, 1]. Published: 40
iterations, width 5, c_puct 1.25 (1.5 elsewhere), depth 8, temperature 0.6. Training's +1 and -1 from the known answer
are left out. Deviations: equal siblings are merged; an unscored leaf counts as a visit and adds no value.
Cost: `width` steps an iteration; scored are only leaves that are expanded, and finished solutions.
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
    mean_value,
    priors,
    puct,
    rank,
    sift,
    unscored,
    worth,
)


@dataclass(frozen=True)
class AlphaMathMcts(Strategy):
    """A tree that a value function and the policy's own probabilities grow."""

    needs_scorer: ClassVar[bool] = True
    iterations: int = 40
    width: int = 5
    """Steps sampled at a leaf."""
    c_puct: float = 1.25
    max_steps: int = 8
    aggregate: str | Aggregate = field(default="last", kw_only=True)
    signed: bool = field(default=False, kw_only=True)
    """Scores are values in [-1, 1] already."""
    invalid: float = field(default=-1.0, kw_only=True)
    """Value of what can be no solution."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.iterations, self.width, self.max_steps) < 1 or self.c_puct < 0:
            raise ValueError(
                f"AlphaMath MCTS: got {self!r}, expected iterations, width, max_steps >= 1 and c_puct >= 0"
            )

    def value(self, node: Node) -> float | None:
        """In [-1, 1]; None: unscored."""
        score = worth(node, self.aggregate)
        return score if score is None or self.signed else 2 * score - 1

    def select(self, search: Search) -> list[Ask]:
        memory = search.memory
        while memory.setdefault("iterations", 0) < self.iterations and not _closed(search.tree.root):
            memory["iterations"] += 1
            leaf = self._leaf(search)
            if leaf is not None:
                memory["leaf"] = leaf.id
                return [Ask(leaf, self.width, steps(self.sampling, search.problem))]
        return []

    def _leaf(self, search: Search) -> Node | None:
        """Where the walk from the root ends; None where that turned out to be closed."""
        node = search.tree.root
        while kids := search.tree.children(node):
            standing = [k for k in kids if k.status is Status.LIVE and not _closed(k)]
            if not standing:
                node.data["closed"] = True
                return None
            visits, at, turn = node.visits, node.id, search.memory["iterations"]
            node = best(standing, lambda k: self._rank(k, visits), lambda: search.rng("tie", turn, at))  # noqa: B023
        return node

    def _rank(self, kid: Node, parent_visits: int) -> Rank:
        q = mean_value(kid) or 0.0
        return rank(q, puct(kid.data["prior"], parent_visits, kid.visits, self.c_puct))

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        leaf = search.tree[search.memory["leaf"]]
        return unscored([leaf, *(k for k in kids if k.status is Status.DONE)])

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        leaf = search.tree[search.memory["leaf"]]
        sound = sift(search, leaf, self.max_steps)
        for kid, prior in zip(sound, priors(sound, normalize=False), strict=True):
            kid.data["prior"] = prior
        back_up(search, leaf, self.value(leaf))
        for kid in kids:
            if kid.status is Status.DONE and kid.canon is not None:
                back_up(search, kid, self.value(kid))
            elif kid.status in (Status.CUT, Status.DONE):
                back_up(search, kid, self.invalid)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon", self.aggregate)


def _closed(node: Node) -> bool:
    return bool(node.data.get("closed", False))
