"""DeepConf, offline (2508.15260): of N samples the most confident share votes, each with its confidence as weight.

Kept are the candidates with an answer whose confidence is at least that of the `keep` share's last (0.1 or 0.9 in the
paper; ties stay); 512 samples, windows of 2048 tokens. Local models give the paper's token confidence; for others it
is the mean sampled-token log-probability, a statistic of its own (`confidence.py`); the nodes say which. Equal
confidences make it the majority; so do absent ones, which the nodes say too. Which of the paper's trace statistics is
best depends on the model: "tail" by default is ours. Cost: n solutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.generation import Policy
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.tree import Node
from preceptor.search.vote import weighted
from preceptor.search.voting.confidence import WINDOW, check, confidence, tokens, weight, with_confidences


@dataclass(frozen=True)
class DeepConf(Samples):
    """A confidence-weighted vote of the most confident samples."""

    n: int | None = 512
    keep: float = 0.1
    """Share of the answered samples that vote."""
    statistic: str = field(default="tail", kw_only=True)
    """ "tail", "bottom", "mean" or "min"."""
    window: int = field(default=WINDOW, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.statistic, self.window, self.keep)

    def prepare(self, policy: Policy) -> Policy:
        return with_confidences(policy)

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        for node in nodes:
            note(search, node, self.statistic, self.window)
        answered = [n.data["confidence"] for n in nodes if n.canon is not None]
        known = sorted((c for c in answered if c is not None), reverse=True)
        threshold = known[math.ceil(self.keep * len(known)) - 1] if known else None
        return confident_vote(nodes, threshold)


def note(search: Search, node: Node, statistic: str, window: int) -> None:
    """Write the confidence of the node's path on it, and of which kind it is."""
    if "confidence" in node.data:
        return
    found = tokens(search, node)
    node.data["confidence"] = None if found is None else confidence(found.values, statistic, window)
    node.data["tokens"] = None if found is None else found.kind
    if found is None:
        node.data["why"] = "the policy gave no log-probabilities"


def confident_vote(nodes: Sequence[Node], threshold: float | None) -> Node | None:
    """Weighted vote of those at or above the threshold; the majority of all where none of them answered."""
    weights: list[float | None] = []
    for node in nodes:
        own = node.data["confidence"]
        node.data["kept"] = own is not None and (threshold is None or own >= threshold)
        weights.append(weight(node.data["tokens"], own) if node.data["kept"] else None)
    winner = weighted([n.canon for n in nodes], weights)
    return None if winner is None else nodes[winner]
