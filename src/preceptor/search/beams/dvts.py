"""Diverse verifier tree search (search-and-learn): independent subtrees, one best step at a time in each.

Every subtree samples `expand` steps of its one prefix and goes on from the best of them. It ends when the best one is
finished, and then gives all finished ones of that last turn. Subtrees share nothing, so a run with fewer subtrees is
the first part of a run with more. One subtree is step-level best of `expand`. Published: n = subtrees * expand
solutions with expand = 4, 40 steps, temperature 0.8; the vote is one of three offered.

Deviations: unfinished siblings are never solutions (the peer returns them); a finished sibling that lost to a live one
is only chosen where nothing else gave an answer; near the end of a token budget subtrees narrow, then the worst end.
Left out: its look-ahead, see `LookAheadBeam`. Cost: subtrees * expand steps a level, each scored with its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.beams.finished import drop, kept
from preceptor.search.state import Search
from preceptor.search.step_beam import affordable
from preceptor.search.strategy import Ask, Strategy, elect, ranked, steps
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES


@dataclass(frozen=True)
class Dvts(Strategy):
    """Several greedy searches that do not compete."""

    needs_scorer: ClassVar[bool] = True
    subtrees: int = 4
    expand: int = 4
    """Steps sampled a turn in each subtree (m)."""
    aggregate: str | Aggregate = "last"
    max_steps: int = 40
    vote: str = field(default="weighted", kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.subtrees, self.expand, self.max_steps) < 1 or self.vote not in VOTES:
            raise ValueError(
                f"dvts: got {self!r}, expected subtrees, expand and max_steps >= 1 and a vote of {sorted(VOTES)}"
            )

    @property
    def asked(self) -> int:
        return self.subtrees * self.expand

    def select(self, search: Search) -> list[Ask]:
        sampling = steps(self.sampling, search.problem)
        if search.round == 0:
            return [Ask(search.tree.root, self.asked, sampling)]
        order = ranked(search.leaves, self.aggregate)
        if not order:
            return []
        room = affordable(search, len(order) * self.expand)
        for node in order[room:]:
            drop(node, "the budget does not reach for this subtree")
        return [Ask(node, max(1, room // len(order)), sampling) for node in search.leaves]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        groups: dict[int, list[Node]] = {}
        for i, kid in enumerate(kids):
            at = search.tree[kid.parent or 0]
            kid.data["subtree"] = i // self.expand if at is search.tree.root else at.data["subtree"]
            if kid.status in (Status.LIVE, Status.DONE):
                groups.setdefault(kid.data["subtree"], []).append(kid)
        for group in groups.values():
            best, *others = ranked(group, self.aggregate)
            for node in others:
                if node.status is Status.LIVE or best.status is Status.LIVE:
                    drop(node, "a sibling scored higher")
            if best.status is Status.LIVE and search.round + 1 >= self.max_steps:
                best.status = Status.CUT

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.vote, self.aggregate)
