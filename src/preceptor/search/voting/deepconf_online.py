"""DeepConf, online (2508.15260): traces that grow unsure are cut while they are written, and do not vote.

16 traces are written whole. The threshold is the (1 - keep) quantile of the means of their least confident windows:
`keep` 0.9 spares nine in ten, 0.1 one in ten. Later traces, 256 in all, are written `unit` tokens at a time, and one
whose window of 2048 tokens falls below the threshold is rejected; so is one that ended within that unit. A trace
shorter than a window is never cut. Survivors and the warm-up traces at or above the threshold vote, weighted by their
least confident window; where none of them answered, all that finished do. Deviations: cutting waits for the end of a
unit, at most unit - 1 tokens late, which are counted; where the policy is no local model the confidence is the
sampled-token log-probability, a statistic of its own (`confidence.py`); without log-probabilities nothing is cut and
the majority decides. That the rule for warm-up traces is the same is ours. Left out: stopping by consensus.
Cost: warmup solutions, and of the others what was written before the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from preceptor.generation import Policy, Sampling
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Status
from preceptor.search.voting.confidence import WINDOW, check, tokens, windows, with_confidences
from preceptor.search.voting.deepconf import confident_vote, note


@dataclass(frozen=True)
class DeepConfOnline(Strategy):
    """Sampling that drops what it is not sure of."""

    n: int = 256
    """Traces in all, warm-up included."""
    warmup: int = 16
    keep: float = 0.1
    window: int = field(default=WINDOW, kw_only=True)
    unit: int = field(default=256, kw_only=True)
    """Tokens written between two looks (ours)."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of a whole solution."""

    def __post_init__(self) -> None:
        check("min", self.window, self.keep)
        if min(self.warmup, self.unit) < 1 or self.n < self.warmup:
            raise ValueError(f"deepconf online: got {self!r}, expected unit >= 1 and n >= warmup >= 1")

    @property
    def asked(self) -> int:
        return self.n

    def prepare(self, policy: Policy) -> Policy:
        return with_confidences(policy)

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            return [Ask(search.tree.root, self.warmup, self.sampling, role="solution")]
        unit = min(self.unit, self.sampling.max_tokens)
        if search.round == 1:
            sampling = replace(self.sampling, max_tokens=unit)
            return [
                Ask(search.tree.root, self.n - self.warmup, sampling, role="solution", resume=True),
            ]
        asks = []
        for leaf in search.leaves:
            left = self.sampling.max_tokens - _written(search, leaf)
            sampling = replace(self.sampling, max_tokens=min(unit, left))
            asks.append(Ask(leaf, 1, sampling, role="solution", resume=True))
        return asks

    def backup(self, search: Search, kids: Sequence[Node]) -> None:
        if search.round == 0:
            warm = [k for k in kids if k.status in (Status.DONE, Status.CUT)]
            for node in warm:
                note(search, node, "min", self.window)
            known = [c for node in warm if (c := node.data["confidence"]) is not None]
            threshold = float(np.quantile(known, 1 - self.keep)) if known else None
            search.memory["threshold"] = threshold

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        if search.round == 0:
            return
        for node in kids:
            if node.status not in (Status.LIVE, Status.DONE):
                continue
            if self._unsure(search, node):
                node.status = Status.REJECTED
                node.data["why"] = "a window below the threshold"
            elif node.status is Status.LIVE and _written(search, node) >= self.sampling.max_tokens:
                node.status = Status.CUT
                node.data["why"] = "max_tokens"

    def _unsure(self, search: Search, node: Node) -> bool:
        found, threshold = tokens(search, node), search.memory.get("threshold")
        if found is None or threshold is None:
            return False
        fresh = windows(found.values, self.window, since=len(found.values) - len(node.token_ids or ()))
        if len(fresh):
            node.data["lowest"] = float(fresh.min())
        return bool(len(fresh)) and node.data["lowest"] < threshold

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        for node in nodes:
            note(search, node, "min", self.window)
        return confident_vote(nodes, search.memory.get("threshold"))


def _written(search: Search, node: Node) -> int:
    return sum(n.usage.generated for n in search.tree.lineage(node))
