"""MUR, momentum uncertainty: more candidates for a step only where it is less sure than the steps before it.

A step's uncertainty u is minus its mean log-probability. The first sample of step t > 0 is kept unless
exp(u) > exp(M) / 0.9, where M is the momentum of the kept steps, M <- 0.9 M + 0.1 u; else m - 1 more are sampled and
the best goes on: by the scorer's last score, without a scorer the least uncertain. That M is compared before this step
enters it is from memory; what u is and m = 4 were not found and are ours.

As published M starts at 0, so the first steps branch almost always; `bias_correction` divides it by 1 - 0.9^t, as Adam
does, and is on: our deviation. Cost: one step at a time, m where it branches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.decoding.walk import CONTINUABLE, at, drop, go_to, mean_logprob
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, ranked, steps
from preceptor.search.tree import Node


@dataclass(frozen=True)
class Mur(Strategy):
    """One path; steps of unusual uncertainty are chosen among several."""

    expand: int = 4
    """Candidates of a step that branches."""
    momentum: float = 0.9
    gamma: float = 0.9
    """Lower branches less; above 1, steps branch that are surer than the mean."""
    bias_correction: bool = True
    aggregate: str | Aggregate = "last"
    max_steps: int = field(default=40, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of one step."""

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if min(self.expand, self.max_steps) < 1 or not 0 <= self.momentum < 1 or self.gamma <= 0:
            raise ValueError(
                f"mur: got {self!r}, expected expand, max_steps >= 1, 0 <= momentum < 1 and gamma > 0"
            )

    def select(self, search: Search) -> list[Ask]:
        node, sampling = at(search), steps(self.sampling, search.problem)
        if node is None or search.memory.get("t", 0) >= self.max_steps:
            return []
        if "first" in search.memory:
            return [Ask(node, self.expand - 1, sampling)]
        return [Ask(node, 1, sampling)]

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        if "first" not in search.memory:
            return []
        first = search.tree[search.memory["first"]]
        unread = [first] if first.scores is None and first.score_error is None else []
        return [n for n in [*unread, *kids] if n.status in CONTINUABLE]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        if "first" not in memory:
            (kid,) = kids
            if kid.status in CONTINUABLE and self._branches(search, kid):
                kid.data["branches"] = True
                memory["first"] = kid.id
                return
            self._keep(search, kid)
            return
        candidates = [search.tree[memory.pop("first")], *kids]
        standing = [n for n in candidates if n.status in CONTINUABLE]
        if any(n.scores for n in standing):
            best = ranked(standing, self.aggregate)[0]
        else:
            best = min(standing, key=lambda n: (uncertainty(n), n.id))
        drop([n for n in standing if n is not best], "mur: another candidate of the step was better")
        self._keep(search, best)

    def _branches(self, search: Search, kid: Node) -> bool:
        kid.data["uncertainty"], kid.data["momentum"] = uncertainty(kid), self._mean(search)
        if not search.memory.get("t", 0) or self.expand == 1:
            return False
        return bool(kid.data["uncertainty"] > kid.data["momentum"] - math.log(self.gamma))

    def _mean(self, search: Search) -> float:
        """M of the steps kept so far."""
        t, mean = search.memory.get("t", 0), float(search.memory.get("M", 0.0))
        return mean / (1 - self.momentum**t) if self.bias_correction and t else mean

    def _keep(self, search: Search, node: Node) -> None:
        if node.status in CONTINUABLE:
            mean = search.memory.get("M", 0.0)
            search.memory["M"] = self.momentum * mean + (1 - self.momentum) * uncertainty(node)
            search.memory["t"] = search.memory.get("t", 0) + 1
        go_to(search, node)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")


def uncertainty(node: Node) -> float:
    """Minus the mean log-probability of the node's sampled tokens; InputError where the policy gave none."""
    if node.logprobs is None:
        raise InputError(
            "mur: the policy gives no log-probabilities, which say how sure a step is. Use a local model, or a "
            "server that returns them."
        )
    return -(mean_logprob(node) or 0.0)
