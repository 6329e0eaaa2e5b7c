"""EDU sampling: branch where the policy is unsure, greedy elsewhere; the leaves are the pool of a best of N (EDU-PRM).

In front of a token whose entropy exceeds tau, the two likeliest tokens both go on, breadth first, until there are N
leaves; then every leaf is written to its end. A node is a fragment between two such anchors; what is scored are the
problem's own steps. The threshold was not found: 1.0 nat is ours, as are at least 8 tokens a fragment and that no
number is cut (`annotate.entropy`).

Needs a local policy, which `solve` wraps in `Fragments`. Cost: every fragment is generated once, so N leaves cost less
than N solutions; their prefixes are computed again for each fragment. Leaves share beginnings: no independent draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.annotate.entropy.anchors import MINIMUM, TAU, check_settings
from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.decoding.entropies import entropies_of
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES
from preceptor.trace import Finish

RUNNER_UP = 2


@dataclass(frozen=True)
class EntropyBranching(Strategy):
    """The best leaf of a tree that branches where the policy is unsure."""

    needs_scorer: ClassVar[bool] = True
    n: int = 64
    """Leaves, at most."""
    aggregate: str | Aggregate = "last"
    tau: float = TAU
    """Nats; infinity never branches."""
    minimum: int = field(default=MINIMUM, kw_only=True)
    """Tokens of a fragment, at least."""
    vote: str = field(default="bon", kw_only=True)
    """How the answer is chosen among the leaves: a name in `VOTES`."""
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=1024), kw_only=True
    )
    """`max_tokens` is the limit of a whole leaf."""

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        check_settings(self.tau, self.minimum)
        if self.n < 1 or self.vote not in VOTES:
            raise ValueError(
                f"entropy branching: got {self!r}, expected n >= 1 and a vote of {sorted(VOTES)}"
            )
        if self.sampling.temperature:
            raise ValueError(
                f"entropy branching: got {self.sampling}, expected temperature 0: it is greedy elsewhere"
            )

    @property
    def asked(self) -> int:
        return self.n

    def prepare(self, policy: Policy) -> Policy:
        from preceptor.policy import TransformersPolicy
        from preceptor.search.decoding.entropies import Fragments

        return Fragments(policy, self.tau, self.minimum) if isinstance(policy, TransformersPolicy) else policy

    def select(self, search: Search) -> list[Ask]:
        root = search.tree.root
        if search.round == 0:
            return [self._ask(search, root, 1)]
        if search.round == 1 and self.n > 1 and search.tree[1].data["policy"]["anchor"]:
            return [self._ask(search, root, RUNNER_UP)]
        ahead = sorted((self._length(search, n), n.id) for n in search.leaves)
        room = self.n - search.memory["leaves"]
        asks = []
        for at, i in ahead:
            # nothing that is written now can branch before the other anchors within `minimum` tokens
            if room > 0 and at >= ahead[0][0] + self.minimum:
                break
            if at >= self.sampling.max_tokens:
                search.tree[i].status = Status.CUT
                continue
            asks.append(self._ask(search, search.tree[i], 1))
            if search.memory["leaves"] < self.n:
                asks.append(self._ask(search, search.tree[i], RUNNER_UP))
        return asks

    def _ask(self, search: Search, node: Node, rank: int) -> Ask:
        """The node's continuation that begins with its `rank`-th likeliest token."""
        if rank == RUNNER_UP or node.parent is None:
            search.memory["leaves"] = search.memory.get("leaves", 0) + 1
        limit = self.sampling.max_tokens - self._length(search, node)
        return Ask(node, 1, replace(self.sampling, top_k=rank, max_tokens=limit), resume=True)

    def _length(self, search: Search, node: Node) -> int:
        return sum(n.usage.generated for n in search.tree.lineage(node))

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.status is Status.DONE]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            if kid.status is not Status.FAILED and entropies_of(kid.data) is None:
                raise InputError(
                    "entropy branching: the policy gave no entropies, expected one that stops where it is unsure. "
                    "Search with a local model, or wrap one: Fragments(policy)."
                )
            if kid.status is Status.LIVE and kid.finish is Finish.LENGTH:
                kid.status = Status.CUT

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.vote, self.aggregate)
