"""LongDPO: tree search over chunks of long text; the best and the worst sibling at each depth are a step pair.

A node is a chunk; a judge rates it on several principles from 1 to 5 (a missing one counts 2.5), its reward is the
mean. UCT selects, a visit expands a node into `children` chunks, children that contradict a fact stated on their path
are rejected, and the mean reward of the new chunks is backed up. Along the best path every level gives one pair
behind the shared prefix. A chosen chunk below the threshold is replaced by a critic's rewriting, unless that
contradicts the facts; then there is no pair. Loss: `dpo`.

Published: depth 4, chunks of 512 to 2048 tokens. Not found: threshold (4.0), beta. Ours: children, simulations, c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log, sqrt
from statistics import fmean
from typing import Any

from preceptor.errors import InputError
from preceptor.generation import Policy, Request, Sampling
from preceptor.learn.preference.records import Built, Pair, Piece, compare
from preceptor.store import Store, complete
from preceptor.trace import Finish, Problem

MISSING = 2.5
Rate = Callable[[Problem, str, str], Mapping[str, float | None]]
"""(problem, text so far, chunk) -> rating of each principle."""


@dataclass(eq=False)
class Chunk:
    """A node of the search."""

    piece: Piece
    parent: Chunk | None = None
    reward: float = 0.0
    visits: int = 0
    total: float = 0.0
    ended: bool = False
    """Nothing comes after it: the text ended, or its continuation failed."""
    children: list[Chunk] = field(default_factory=list)

    @property
    def path(self) -> list[Chunk]:
        return [] if self.parent is None else [*self.parent.path, self]

    @property
    def before(self) -> Piece:
        """All text up to and with this chunk."""
        return sum((node.piece for node in self.path), Piece("", ()))

    def back_up(self, reward: float) -> None:
        node: Chunk | None = self
        while node is not None:
            node.visits, node.total = node.visits + 1, node.total + reward
            node = node.parent


def overall(ratings: Mapping[str, float | None], principles: Sequence[str]) -> float:
    """Mean over the principles; a missing one counts 2.5.

    >>> overall({"clarity": 4.5}, ["clarity", "facts"])
    3.5
    """
    given = [ratings.get(name) for name in principles]
    return fmean(MISSING if r is None else r for r in given)


@dataclass(frozen=True)
class LongDPO:
    """Build with `build(problems)`."""

    policy: Policy
    rate: Rate
    principles: Sequence[str]
    facts: Callable[[str], Sequence[str]] | None = None
    """Facts that a chunk states, for the memory of what comes after it."""
    contradicts: Callable[[Sequence[str], str], bool] | None = None
    """Whether a chunk contradicts the facts in memory."""
    rewrite: Callable[[Problem, str, str], str | None] | None = None
    """(problem, text so far, chunk) -> a better chunk; None where the critic has none."""
    threshold: float = 4.0
    depth: int = 4
    children: int = 3
    simulations: int = 8
    c: float = 1.4
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=512))
    store: Store | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.principles or self.depth < 1 or self.children < 2 or self.simulations < 1:
            raise InputError(
                f"longdpo: got {len(self.principles)} principles, depth={self.depth}, children={self.children}, "
                f"simulations={self.simulations}, expected at least 1, 1, 2 and 1."
            )

    def build(self, problems: Sequence[Problem]) -> Built[Pair]:
        dropped: Counter[str] = Counter()
        pairs = [pair for p in problems for pair in self.pairs_of(p, self.search(p, dropped), dropped)]
        return Built(tuple(pairs), dropped)

    def search(self, problem: Problem, dropped: Counter[str]) -> Chunk:
        """The root of the grown tree."""
        root = Chunk(Piece("", ()))
        for _ in range(self.simulations):
            leaf = self._select(root)
            if leaf.ended or len(leaf.path) == self.depth:
                leaf.back_up(leaf.reward)
                continue
            self._expand(problem, leaf, dropped)
        return root

    def pairs_of(self, problem: Problem, root: Chunk, dropped: Counter[str]) -> list[Pair]:
        """One pair a level of the best path."""
        pairs: list[Pair] = []
        node = root
        while node.children:
            best, worst = max(node.children, key=_reward), min(node.children, key=_reward)
            if best.reward == worst.reward:
                dropped["tie"] += 1
            else:
                chosen = self._improved(problem, node, best, dropped)
                meta: dict[str, Any] = {"depth": len(node.path), "rewards": [best.reward, worst.reward]}
                meta["rewritten"] = chosen is not best.piece
                if chosen is not None:
                    pairs += compare(problem, node.before, chosen, worst.piece, dropped, **meta)
            node = best
        return pairs

    def _select(self, node: Chunk) -> Chunk:
        while node.children:
            scale, whole = self.c, log(node.visits + 1)
            node = max(
                node.children,
                key=lambda n: n.total / max(n.visits, 1) + scale * sqrt(whole / max(n.visits, 1)),
            )
        return node

    def _expand(self, problem: Problem, node: Chunk, dropped: Counter[str]) -> None:
        before, memory = node.before, self._memory(node)
        asked = [
            Request(problem, before.text, before.ids, draw, self.seed, self.sampling)
            for draw in range(self.children)
        ]
        for answer in complete(self.policy, asked, self.store):
            if answer.error is not None or not answer.text:
                dropped["failed" if answer.error is not None else "empty"] += 1
            elif any(answer.text == other.piece.text for other in node.children):
                dropped["same"] += 1
            elif self.contradicts is not None and self.contradicts(memory, answer.text):
                dropped["contradiction"] += 1
            else:
                reward = overall(self.rate(problem, before.text, answer.text), self.principles)
                new = Chunk(Piece(answer.text, answer.token_ids), node, reward)
                new.ended = answer.finish is Finish.STOP
                node.children.append(new)
        node.ended = not node.children
        for child in node.children:
            child.back_up(child.reward)

    def _memory(self, node: Chunk) -> list[str]:
        return [fact for at in node.path for fact in self.facts(at.piece.text)] if self.facts else []

    def _improved(self, problem: Problem, node: Chunk, best: Chunk, dropped: Counter[str]) -> Piece | None:
        """The best chunk, or its rewriting where it is not good enough; None where that breaks the memory."""
        if best.reward >= self.threshold or self.rewrite is None:
            return best.piece
        text = self.rewrite(problem, node.before.text, best.piece.text)
        if text is None:
            return best.piece
        if self.contradicts is not None and self.contradicts(self._memory(node), text):
            dropped["rewriting-contradicts"] += 1
            return None
        return Piece(text)


def _reward(node: Chunk) -> float:
    return node.reward
