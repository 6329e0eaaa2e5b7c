"""Reward-balanced search: REBASE.

A fixed width of W continuations a level is shared among the live prefixes by the softmax of their scores: best first,
each gets `ceil(W' * exp(s / T) / S')` of what is left. A prefix that ends takes one off the width for good, so at most
W solutions come out; the weighted vote chooses. Published defaults: W = 16, T = 0.2, 256 tokens a step, 1024 a path,
depth 25, sampling temperature 1. Low T gives all to the best, high T even shares.

Deviations: the cap on a path's tokens is enforced (the peer's never fires) and ends the path as cut; cut and failed
steps take their place off the width like finished ones; an unscored prefix gets a share only where none is scored; a
level narrows near the end of a token budget as in `StepBeam`. The shares are guarded against rounding: equal scores of
four nodes share a width of 6 as (2, 2, 1, 1).
Cost: W steps a level and fewer as paths end, each scored with its prefix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, aggregate, resolve
from preceptor.search.beams.finished import drop
from preceptor.search.state import Search
from preceptor.search.step_beam import affordable
from preceptor.search.strategy import Ask, Strategy, elect, live, ranked, steps
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES

ROUNDING = 1e-9


def shares(scores: Sequence[float], width: int, temperature: float) -> list[int]:
    """How many of `width` continuations each score gets; they sum to `width`. Ties go to the first.

    >>> shares([0.9, 0.7, 0.1], 16, 0.2)
    [12, 4, 0]
    """
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    weights = [math.exp((scores[i] - scores[order[0]]) / temperature) for i in order]
    out = [0] * len(scores)
    for rank, i in enumerate(order):
        rest = math.fsum(weights[rank:])
        share = math.ceil(width * weights[rank] / rest - ROUNDING) if rest > 0 else 0
        out[i] = width if rank == len(order) - 1 else min(width, share)
        width -= out[i]
    return out


@dataclass(frozen=True)
class Rebase(Strategy):
    """Continuations in proportion to the softmax of the scores."""

    needs_scorer: ClassVar[bool] = True
    width: int = 16
    temperature: float = 0.2
    """T of the softmax over scores."""
    aggregate: str | Aggregate = "last"
    max_steps: int = 25
    vote: str = field(default="weighted", kw_only=True)
    top: float = field(default=1.0, kw_only=True)
    """Share of the live prefixes of a level that take part, best first (the published truncated variant)."""
    max_path_tokens: int = field(default=1024, kw_only=True)
    sampling: Sampling = field(default_factory=Sampling, kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.width, self.max_steps, self.max_path_tokens) < 1 or not (
            0 < self.temperature < math.inf and 0 < self.top <= 1 and self.vote in VOTES
        ):
            raise ValueError(
                f"rebase: got {self!r}, expected width, max_steps and max_path_tokens >= 1, temperature > 0, "
                f"0 < top <= 1 and a vote of {sorted(VOTES)}"
            )

    @property
    def asked(self) -> int:
        return self.width

    def select(self, search: Search) -> list[Ask]:
        sampling = steps(self.sampling, search.problem)
        if search.round == 0:
            return [Ask(search.tree.root, self.width, sampling)]
        standing = ranked(search.leaves, self.aggregate)
        width = self.width - self._ended(search)
        if width < 1 or not standing:
            return []
        width = affordable(search, width)
        taking = standing[: math.ceil(self.top * len(standing))]
        worth = {n.id: s for n in taking if (s := aggregate(n.scores, self.aggregate)) is not None}
        worth = worth or {n.id: 0.0 for n in taking}
        counts = dict(zip(worth, shares(list(worth.values()), width, self.temperature), strict=True))
        asks = []
        for node in search.leaves:
            if counts.get(node.id):
                asks.append(Ask(node, counts[node.id], sampling))
            else:
                drop(node, "no share")
        return asks

    def _ended(self, search: Search) -> int:
        return sum(n.status in (Status.DONE, Status.CUT, Status.FAILED) for n in search.tree.nodes)

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        for node in live(kids):
            tokens = sum(n.usage.generated for n in search.tree.lineage(node))
            if tokens >= self.max_path_tokens:
                node.status, node.data["why"] = Status.CUT, f"{tokens} tokens in its path"
            elif search.round + 1 >= self.max_steps:
                node.status = Status.CUT

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.vote, self.aggregate)
