"""The tree of a search over tokens: one node a token, kept as candidates of a problem compete for B places.

Nothing is removed. A node that lost its place is `"dropped"`; candidates that never won one are counted only, for
no text was made of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import ItemError
from preceptor.generation import Request
from preceptor.trace import Finish
from preceptor.usage import Usage


@dataclass
class TokenNode:
    """`reward`: the value of this token behind its parent. `finish`: why the text ends here; None: it does not."""

    parent: int
    token: int
    logprob: float
    reward: float
    level: int
    finish: Finish | None = None
    status: str = "live"
    """ "live", "grown" (has children or had its turn), "done", "dropped", "cut"."""


@dataclass(frozen=True)
class Growth:
    """Candidates of one level, in order of preference among equals: parent (index among the live texts), token,
    log-probability, value. `broken`: a model computed NaN."""

    parents: Sequence[int]
    tokens: Sequence[int]
    logprobs: Sequence[float]
    rewards: Sequence[float]
    broken: bool = False


@dataclass
class TokenTree:
    """Node 0 is the prefix; `live` are the texts that are continued next."""

    request: Request
    prefix: tuple[int, ...]
    beams: int
    depth: int
    """Tokens of a text, at most."""
    ends: Callable[[Sequence[int]], Finish | None]
    nodes: list[TokenNode] = field(default_factory=lambda: [TokenNode(-1, -1, 0.0, -math.inf, 0)])
    live: list[int] = field(default_factory=lambda: [0])
    done: list[int] = field(default_factory=list)
    level: int = 0
    candidates: int = 0
    """Tokens that were valued."""
    reward_calls: int = 0
    usage: Usage = field(default_factory=lambda: Usage(calls=1))
    error: ItemError | None = None

    def __post_init__(self) -> None:
        if not self.prefix:
            self._fail("empty-prompt", "the tokenizer made no token of the prompt and the prefix")
        elif self.depth < 1:
            self._fail(
                "too-long", f"prompt and prefix are {len(self.prefix)} tokens and fill the model's context"
            )

    def _fail(self, kind: str, message: str) -> None:
        self.error, self.live = ItemError(kind, message), []

    @property
    def written(self) -> int:
        """Tokens the search has made texts of."""
        return len(self.nodes) - 1

    def pay(self, read: Usage, judged: Usage) -> None:
        """What reading one live text cost. The first reads are the prefix's; later ones belong to tokens that
        were generated."""
        first = self.level == 0
        self.usage += Usage(
            prefilled=read.prefilled if first else 0,
            reused=read.reused if first else 0,
            scored=judged.scored,
            flops=read.flops + judged.flops,
        )
        self.reward_calls += 1

    def grow(self, level: Growth, rank: str) -> None:
        """Make the best candidates texts, and drop what lost its place."""
        if level.broken:
            self._fail("not-finite", f"a model computed NaN or infinity at token {self.level}")
            return
        self.candidates += len(level.tokens)
        self.level += 1
        order = sorted(range(len(level.tokens)), key=lambda c: -level.rewards[c])
        room = self.request.sampling.max_tokens - self.written
        fresh = []
        for c in order[: min(self.beams, room)]:
            parent = self.live[level.parents[c]]
            node = TokenNode(parent, level.tokens[c], level.logprobs[c], level.rewards[c], self.level)
            self.nodes.append(node)
            fresh.append(len(self.nodes) - 1)
            node.finish = self.ends(self.sampled(fresh[-1]))
        for i in self.live:
            self.nodes[i].status = "grown"
        self.usage += Usage(generated=len(fresh))
        self._compete(fresh, rank)
        if self.level >= self.depth or self.request.sampling.max_tokens <= self.written:
            for i in self.live:
                self.nodes[i].status = "cut"
            self.live = []

    def _compete(self, fresh: Sequence[int], rank: str) -> None:
        """The `beams` best of ended and unfinished texts stay."""

        def worth(i: int) -> tuple[bool, float]:
            node = self.nodes[i]
            unfinished = node.finish is None and rank == "final"
            return unfinished, -node.reward

        order = sorted([*self.done, *fresh], key=worth)
        for i in order[self.beams :]:
            self.nodes[i].status = "dropped"
        kept = order[: self.beams]
        self.done = [i for i in kept if self.nodes[i].finish is not None]
        self.live = [i for i in kept if self.nodes[i].finish is None]
        for i in self.done:
            self.nodes[i].status = "done"

    @property
    def best(self) -> int:
        """The ended text of the highest value; without one the unfinished text of the highest value."""
        if self.done:
            return max(self.done, key=lambda i: (self.nodes[i].reward, -i))
        last = [i for i, n in enumerate(self.nodes) if n.status == "cut"] or [0]
        return max(last, key=lambda i: (self.nodes[i].reward, -i))

    def path(self, node: int) -> list[int]:
        """Node numbers from the first token on."""
        out = []
        while node > 0:
            out.append(node)
            node = self.nodes[node].parent
        return out[::-1]

    def sampled(self, node: int) -> list[int]:
        return [self.nodes[i].token for i in self.path(node)]

    def logprobs(self, node: int) -> list[float]:
        return [self.nodes[i].logprob for i in self.path(node)]

    def ids(self, node: int) -> tuple[int, ...]:
        """Prefix and sampled tokens."""
        return (*self.prefix, *self.sampled(node))

    def summary(self) -> dict[str, Any]:
        """JSON values."""
        reward = self.nodes[self.best].reward
        return {
            "texts": len(self.done),
            "tokens": self.written,
            "candidates": self.candidates,
            "reward_calls": self.reward_calls,
            "reward": reward if math.isfinite(reward) else None,
        }
