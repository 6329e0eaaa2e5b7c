"""phi-decoding: the step whose future is likely, and agrees with the futures of other steps.

Of n candidate steps each gets one short continuation, its foresight. A candidate's probability is the mean of two
softmaxes over the candidates: of the mean log-probability of the foresight, and of how many candidates lie in the
cluster of its text (k-means on TF-IDF); the likeliest candidate goes on. n = 4 and 3 clusters are from memory; 64
tokens of foresight are ours (not found).

Deviations: the argmax is taken instead of a draw; a finished candidate is its own foresight; no dynamic pruning, and
one path instead of a beam. Cost: n steps and up to n foresights for each step; a foresight is never a solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search.decoding.clusters import kmeans, tfidf
from preceptor.search.decoding.walk import CONTINUABLE, at, drop, go_to, mean_logprob
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status

LOOKAHEAD = "lookahead"


@dataclass(frozen=True)
class Phi(Strategy):
    """One path, every step chosen by foresight."""

    n: int = 4
    """Candidates of a step; 1 is the policy's own sample."""
    foresight: int = 64
    """Tokens looked ahead."""
    clusters: int = 3
    max_steps: int = field(default=40, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of one step."""

    def __post_init__(self) -> None:
        if min(self.n, self.foresight, self.clusters, self.max_steps) < 1:
            raise ValueError(f"phi: got {self!r}, expected n, foresight, clusters and max_steps >= 1")

    def select(self, search: Search) -> list[Ask]:
        memory = search.memory
        if "candidates" in memory:
            ahead = replace(self.sampling, max_tokens=self.foresight)
            live = [n for n in map(search.tree.__getitem__, memory["candidates"]) if n.status is Status.LIVE]
            return [Ask(n, 1, ahead, role=LOOKAHEAD) for n in live]
        node = at(search)
        if node is None or memory.get("t", 0) >= self.max_steps:
            return []
        return [Ask(node, self.n, steps(self.sampling, search.problem))]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        if "candidates" in memory:
            drop([k for k in kids if k.status is not Status.FAILED], "phi: foresight")
            candidates = [search.tree[i] for i in memory.pop("candidates")]
            futures = {k.parent: k for k in kids}
            self._choose_step(search, candidates, [futures.get(n.id, n) for n in candidates])
            return
        standing = [k for k in kids if k.status in CONTINUABLE]
        if len(standing) > 1 and any(k.status is Status.LIVE for k in standing):
            memory["candidates"] = [k.id for k in standing]
        elif standing:
            self._choose_step(search, standing, standing)
        else:
            go_to(search, kids[0])

    def _choose_step(self, search: Search, candidates: list[Node], futures: list[Node]) -> None:
        logprobs = [mean_logprob(f) for f in futures]
        known = [k for k, value in enumerate(logprobs) if value is not None]
        if len(candidates) > 1 and not any(f.status is not Status.FAILED and f.logprobs for f in futures):
            raise InputError(
                "phi: the policy gives no log-probabilities, which foresight is weighed by. Use a local model, or a "
                "server that returns them."
            )
        best = candidates[0]
        if known and len(candidates) > 1:
            texts = [futures[k].text for k in known]
            weights = foresight_weights(
                [logprobs[k] or 0.0 for k in known], kmeans(tfidf(texts), self.clusters)
            )
            for k, weight in zip(known, weights, strict=True):
                candidates[k].data["weight"] = weight
            best = candidates[known[int(np.argmax(weights))]]
        drop([n for n in candidates if n is not best], "phi: another candidate of the step was likelier")
        search.memory["t"] = search.memory.get("t", 0) + 1
        go_to(search, best)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")


def foresight_weights(logprobs: Sequence[float], clusters: Sequence[int]) -> list[float]:
    """Probabilities of the candidates: the mean of softmax(log-probabilities) and softmax(sizes of their clusters)."""
    sizes = [float(sum(c == own for c in clusters)) for own in clusters]
    mean = (_softmax(logprobs) + _softmax(sizes)) / 2
    return [float(p) for p in mean]


def _softmax(values: Sequence[float]) -> np.ndarray:
    raised = np.exp(np.asarray(values) - max(values))
    return np.asarray(raised / raised.sum())
