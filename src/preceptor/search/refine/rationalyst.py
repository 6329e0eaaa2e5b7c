"""RATIONALYST at test time (2410.01044 from memory): of a few next steps, the one that a rationale speaks for.

Each round the policy proposes n steps (and the greedy one, if asked), the best is appended, until it ends its text or
15 steps are written. A step's worth is a mean log-probability per token, so length alone wins nothing; ties, up to
1e-9, go to the first. Three forms:

    implicit, released code  `Rationalyst`: helper "rationale" writes a rationale behind each candidate, greedily; worth
                             is that of the rationale's tokens without the last
    explicit                 `Rationalyst(explicit=True)`: the winner's rationale also stays in the text, unless a limit
                             cut it, and the next steps are written behind it
    implicit, the paper's    `RationalystGiven` (from memory): one rationale is written before the step; worth is that
                             of the candidate's tokens behind it. That needs a policy which reads given text, so it is
                             the last score of `scorer=preceptor.reward.likelihood.Rationalyst(model, "given")`

Deviations: equal candidates get one rationale; where a rationale is not known token by token, or has one token, its
candidate is unscored and ranks last; the text ends where the policy ends it, not at "The answer is:". Opening, length
and stop of rationales are our choice. Cost: n steps a round; n rationales, or one and n scored steps (the scorer reads
all steps of the path again).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.duplicates import merge
from preceptor.search.refine.asking import reply
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, steps
from preceptor.search.tree import Node, Status

TIE = 1e-9
"""Means over different numbers of equal values differ in their last bits."""


@dataclass(frozen=True)
class Rationalyst(Strategy):
    """The candidate step behind which a rationale is likeliest."""

    helpers: ClassVar[tuple[str, ...]] = ("rationale",)
    n: int = 3
    """Sampled candidates a step."""
    greedy: bool = False
    """One more candidate, at temperature 0."""
    explicit: bool = False
    """Leave the winning rationale in the text."""
    max_steps: int = 15
    opening: str = field(default="", kw_only=True)
    """Put between the steps so far and the rationale, as its writer was trained."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7), kw_only=True)
    """Of candidates; `max_tokens` is the limit of one step."""
    reasoning: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=64, stop=("\n",)), kw_only=True
    )
    """Of rationales."""

    def __post_init__(self) -> None:
        if min(self.n, self.max_steps) < 1:
            raise ValueError(f"rationalyst: got {self!r}, expected n and max_steps >= 1")

    def select(self, search: Search) -> list[Ask]:
        if waiting := [search.tree[i] for i in search.memory.pop("waiting", [])]:
            return [
                Ask(node, 1, self.reasoning, role="rationale", by="rationale", insert=self.opening)
                for node in waiting
            ]
        return self._proposals(search)

    def _proposals(self, search: Search) -> list[Ask]:
        at = search.tree[search.memory.get("at", 0)]
        if search.memory.get("ended"):
            return []
        sampling, text = steps(self.sampling, search.problem), search.tree.path(at).text
        insert = "\n" if at.role == "rationale" and not text.endswith("\n") else ""
        asks = [Ask(at, self.n, sampling, insert=insert)]
        if self.greedy:
            asks.append(Ask(at, 1, replace(sampling, temperature=0.0), insert=insert))
        return asks

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        if any(k.role == "rationale" for k in kids):
            self._weigh(search, kids)
        else:
            search.memory["waiting"] = [n.id for n in merge(search, standing(kids))]
            search.memory["ended"] = not search.memory["waiting"]

    def _weigh(self, search: Search, rationales: Sequence[Node]) -> None:
        worth: dict[int, float | None] = {}
        for node in rationales:
            value = mean_logprob(node)
            node.data["mean_logprob"] = value
            worth[node.parent or 0] = value
        winner = self._appended(search, [search.tree[i] for i in worth], worth)
        if self.explicit and winner.status is Status.LIVE:
            behind = next(n for n in rationales if n.parent == winner.id)
            search.memory["at"] = behind.id if reply(behind) else winner.id

    def _appended(self, search: Search, nodes: Sequence[Node], worth: Mapping[int, float | None]) -> Node:
        """The winner, made the place to go on from; the others are pruned."""
        winner = best(nodes, worth)
        for node in nodes:
            if node is not winner:
                node.status = Status.PRUNED
        taken = search.memory["taken"] = search.memory.get("taken", 0) + 1
        if winner.status is Status.LIVE and taken >= self.max_steps:
            winner.status = Status.CUT
        search.memory["at"], search.memory["ended"] = winner.id, winner.status is not Status.LIVE
        return winner

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.role == "step"]

    def choose(self, search: Search) -> Node | None:
        return next((n for n in self.candidates(search) if n.canon is not None), None)


@dataclass(frozen=True)
class RationalystGiven(Rationalyst):
    """The candidate step that the scorer gives the highest last score."""

    needs_scorer: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.explicit:
            raise ValueError("rationalyst: the scorer's rationales cannot stay in the text: use Rationalyst")

    def select(self, search: Search) -> list[Ask]:
        return self._proposals(search)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        if nodes := merge(search, standing(kids)):
            self._appended(search, nodes, {n.id: n.scores[-1] if n.scores else None for n in nodes})
        else:
            search.memory["ended"] = True


def standing(kids: Sequence[Node]) -> list[Node]:
    return [k for k in kids if k.status in (Status.LIVE, Status.DONE)]


def mean_logprob(rationale: Node) -> float | None:
    """Of its tokens without the last; None where it failed, a token is impossible, or none is left."""
    values = (rationale.logprobs or ())[:-1]
    if rationale.status is Status.FAILED or not values or not all(map(math.isfinite, values)):
        return None
    return math.fsum(values) / len(values)


def best(nodes: Sequence[Node], worth: Mapping[int, float | None]) -> Node:
    """The first within `TIE` of the highest worth; the first of all where nothing is scored."""
    known = [v for n in nodes if (v := worth[n.id]) is not None]
    high = max(known, default=-math.inf)
    return next((n for n in nodes if (v := worth[n.id]) is not None and v >= high - TIE), nodes[0])
