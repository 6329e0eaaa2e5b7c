"""Best-first search over steps: A*, Q*, uniform-cost and greedy best-first.

Of all open prefixes the one of greatest `f = g + weight * q` is continued by `expand` steps; the first finished
solution that comes up for continuation is the answer, not the first one written. g is what the path is worth so far:

    utility="none"       0: greedy best-first by q
    utility="logprob"    log-probability of the path under the policy; with weight=0 uniform-cost search
    any aggregator       of the path's step scores: "mean", "min", "sum" ...: Q* with process rewards

q is an estimate of what is still to come: the last score of the path, or with `value="NAME"` the last of the scores
that the scorer gives beside its own under that name (`Paired(rewards, value, "NAME")`). Where every possible step is
sampled and q never falls short of the best that can follow, the answer has the greatest g of all (q of a finished path
being 0, or constant). When `expansions` are used up the finished solution of greatest f is taken (ours).

Constants of Q* were not checked (not found): weight = 1, expand = 4, expansions = 64 are ours. Equal siblings are
merged. A prefix whose f is not known ranks last; a finished one without an answer is passed over.
Cost: `expand` steps and scores an expansion, one expansion after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, aggregate, resolve
from preceptor.search.beams.finished import drop, kept
from preceptor.search.duplicates import merge
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, descending, steps
from preceptor.search.tree import Node, Status


@dataclass(frozen=True)
class BestFirst(Strategy):
    """Continue the most promising of all open prefixes."""

    needs_scorer: ClassVar[bool] = True
    expand: int = 4
    """Steps sampled of a prefix, once."""
    expansions: int = 64
    utility: str | Aggregate = "none"
    """g."""
    weight: float = 1.0
    """lambda, of q."""
    max_steps: int = 40
    value: str = field(default="", kw_only=True)
    """Under which name the scorer says q; "": its scores."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        if self.utility not in ("none", "logprob"):
            resolve(self.utility)
        if min(self.expand, self.expansions, self.max_steps) < 1 or not 0 <= self.weight < math.inf:
            raise ValueError(
                f"best first: got {self!r}, expected expand, expansions and max_steps >= 1 and weight >= 0"
            )

    def select(self, search: Search) -> list[Ask]:
        sampling = steps(self.sampling, search.problem)
        if search.round == 0:
            return [Ask(search.tree.root, self.expand, sampling)]
        for node in self._open(search):
            if node.status is Status.DONE and node.canon is None:
                drop(node, "finished without an answer")
            elif node.status is Status.DONE or search.round >= self.expansions:
                return []
            else:
                return [Ask(node, self.expand, sampling)]
        return []

    def _open(self, search: Search) -> list[Node]:
        finished = [n for n in search.done if "why" not in n.data]
        nodes = sorted([*search.leaves, *finished], key=lambda n: n.id)
        return descending(nodes, lambda node: self.f(search, node))

    def f(self, search: Search, node: Node) -> float | None:
        """The priority of a prefix; None: not known."""
        g, q = self._so_far(search, node), self._to_come(node)
        return None if g is None or q is None else g + self.weight * q

    def _so_far(self, search: Search, node: Node) -> float | None:
        if self.utility == "none":
            return 0.0
        if self.utility == "logprob":
            logprobs = search.tree.path(node).logprobs
            return None if logprobs is None else math.fsum(logprobs)
        return aggregate(node.scores, self.utility)

    def _to_come(self, node: Node) -> float | None:
        if self.weight == 0:
            return 0.0
        if not self.value:
            return aggregate(node.scores, "last")
        beside: list[float | None] = node.data.get("judged", {}).get(self.value) or [None]
        return beside[-1]

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        unused = self.weight == 0 and self.utility in ("none", "logprob")
        return [] if unused else super().to_score(search, kids)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        standing = [k for k in kids if k.status in (Status.LIVE, Status.DONE)]
        if self.utility == "logprob" and standing and search.round == 0:
            self._check_logprobs(search, standing)
        merge(search, standing)
        for kid in kids:
            if kid.status is Status.LIVE and search.tree.depth(kid) >= self.max_steps:
                kid.status = Status.CUT
            elif self.f(search, kid) is not None:
                kid.data["f"] = self.f(search, kid)

    def _check_logprobs(self, search: Search, nodes: Sequence[Node]) -> None:
        if all(search.tree.path(n).logprobs is None for n in nodes):
            raise InputError(
                f"best first with utility='logprob': policy {search.tree.policy} gives no log-probabilities of what "
                "it samples. Use a policy that does, or another utility."
            )

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)

    def choose(self, search: Search) -> Node | None:
        answered = [n for n in self.candidates(search) if n.canon is not None]
        return next(iter(descending(answered, lambda node: self.f(search, node))), None)
