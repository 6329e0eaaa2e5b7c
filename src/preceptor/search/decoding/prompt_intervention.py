"""Test-time prompt intervention (PI): a trigger phrase where the policy does not know how to go on.

When: the entropy at the first token of a step exceeds `threshold`. How: what came last says which categories of
triggers are tried. Which: the plain step and one branch for each trigger, written `horizon` tokens far; the one of the
lowest perplexity goes on. After two verifications in a row with the same intermediate result, "conclude" is forced.

The frame is published, the inside from memory. Not found: phrases, order of categories (both ours), the threshold
(`calibrated` takes the 80th percentile of a run's own; the default 1.0 nat is ours). Left out: the depth of reasoning
in Which, which needs the layers. Infinite `threshold`: the policy's own steps. Cost: up to `branches` beginnings of a
step where it intervenes. Triggers are inserted, not generated: no log-probability counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.search.decoding.entropies import entropies_of
from preceptor.search.decoding.walk import CONTINUABLE, at, drop, go_to, mean_logprob
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status, Tree
from preceptor.trace import Finish

TRIGGERS: Mapping[str, str] = {
    "continue": "Next, ",
    "summarise": "So far, ",
    "verify": "Let me check: ",
    "backtrack": "Wait, that is not right: ",
    "conclude": "So the result is ",
}
HOW: Mapping[str, tuple[str, ...]] = {
    "": ("verify", "continue", "summarise", "backtrack"),
    "continue": ("verify", "summarise", "backtrack"),
    "summarise": ("conclude", "verify", "continue"),
    "verify": ("continue", "backtrack", "conclude"),
    "backtrack": ("continue", "verify", "summarise"),
    "conclude": ("verify", "continue", "summarise"),
}
"""Category of the last trigger -> what is tried next, in this order."""
_NUMBER = re.compile(r"-?\d{1,30}(?:\.\d{1,30})?", re.ASCII)


@dataclass(frozen=True)
class PromptIntervention(Strategy):
    """One path; at uncertain step boundaries a trigger may be put in."""

    threshold: float = 1.0
    """Nats; infinity never intervenes."""
    horizon: int = 32
    branches: int = 3
    """Beginnings that are compared, the plain one included."""
    verifications: int = 2
    """With the same result in a row, they force the conclusion."""
    triggers: Mapping[str, str] = field(default_factory=lambda: dict(TRIGGERS), hash=False, kw_only=True)
    how: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: dict(HOW), hash=False, kw_only=True)
    max_steps: int = field(default=40, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """`max_tokens` is the limit of one step."""

    def __post_init__(self) -> None:
        if (
            not self.threshold >= 0
            or min(self.horizon, self.branches, self.verifications, self.max_steps) < 1
        ):
            raise ValueError(
                f"prompt intervention: got {self!r}, expected threshold >= 0 and horizon, branches, verifications, "
                "max_steps >= 1"
            )
        named = {"conclude", *self.how.get("", ()), *(c for own in self.how.values() for c in own)}
        if unknown := sorted(named - set(self.triggers)):
            raise ValueError(f"prompt intervention: `how` names {unknown}, expected categories of `triggers`")

    @classmethod
    def calibrated(cls, trees: Iterable[Tree], share: float = 0.8, **settings: Any) -> PromptIntervention:
        """With the threshold that `share` of the step boundaries stay below, from the trees of a run of this
        strategy with an infinite threshold on a calibration set."""
        found = [n.data["entropy"] for tree in trees for n in tree.nodes if "entropy" in n.data]
        if not found:
            raise InputError(
                "prompt intervention: got trees without entropies, expected those of a run of its own"
            )
        return cls(threshold=float(np.quantile(found, share)), **settings)

    def prepare(self, policy: Policy) -> Policy:
        from preceptor.policy import TransformersPolicy
        from preceptor.search.decoding.entropies import Entropies

        return Entropies(policy) if isinstance(policy, TransformersPolicy) else policy

    def select(self, search: Search) -> list[Ask]:
        memory, node, sampling = search.memory, at(search), steps(self.sampling, search.problem)
        if "plain" in memory:
            tried = replace(sampling, max_tokens=min(self.horizon, sampling.max_tokens))
            names = self.how.get(memory.get("last", ""), self.how[""])[: self.branches - 1]
            return [self._triggered(search, c, tried) for c in names]
        if node is None or memory.get("t", 0) >= self.max_steps:
            return []
        if self._settled(search):
            return [self._triggered(search, "conclude", sampling)]
        return [Ask(node, 1, sampling)]

    def _triggered(self, search: Search, category: str, sampling: Sampling) -> Ask:
        node = search.tree[search.memory.get("at", 0)]
        return Ask(node, 1, sampling, role=category, insert=self.triggers[category], resume=True)

    def _settled(self, search: Search) -> bool:
        """Whether the last verifications came to the same result."""
        found = search.memory.get("results", [])[-self.verifications :]
        return len(found) == self.verifications and found[0] is not None and len(set(found)) == 1

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        if "plain" in memory:
            branches = [search.tree[memory.pop("plain")], *kids]
            standing = [n for n in branches if n.status in CONTINUABLE]
            best = max(standing, key=lambda n: (self._sure(n), -n.id))
            drop([n for n in standing if n is not best], "pi: another branch was surer")
            self._keep(search, best)
            return
        (kid,) = kids
        if kid.role == "step" and kid.status in CONTINUABLE and self._boundary(search):
            found = entropies_of(kid.data)
            if found is None:
                raise InputError(
                    "prompt intervention: the policy gave no entropies, which say when to intervene. Search with a "
                    "local model, or wrap one: Entropies(policy)."
                )
            kid.data["entropy"] = found[0] if found else 0.0
            if kid.data["entropy"] > self.threshold and self.branches > 1:
                memory["plain"] = kid.id
                return
        self._keep(search, kid)

    def _sure(self, node: Node) -> float:
        """Mean log-probability of the beginning: the order of minus perplexity."""
        value = mean_logprob(node, self.horizon)
        return -np.inf if value is None else value

    def _boundary(self, search: Search) -> bool:
        """Whether the path stands between two steps: neither at its start nor inside a step."""
        node = search.tree[search.memory.get("at", 0)]
        return node.parent is not None and node.finish is not Finish.LENGTH

    def _keep(self, search: Search, node: Node) -> None:
        """Go on from `node`, and note what its trigger came to once its step is whole."""
        memory = search.memory
        if node.role in self.triggers:
            memory["last"] = memory["open"] = node.role
        if node.role == "conclude":
            memory["results"] = []
        go_to(search, node)
        if node.status is not Status.LIVE or node.finish is Finish.LENGTH:
            return
        memory["t"] = memory.get("t", 0) + 1
        if memory.pop("open", None) == "verify":
            path = search.tree.path(node)
            step = path.text[path.ends[-2] if len(path.ends) > 1 else 0 :]
            numbers = _NUMBER.findall(step)
            memory["results"] = [*memory.get("results", []), numbers[-1] if numbers else None]

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")
