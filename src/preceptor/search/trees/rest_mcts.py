"""MCTS* of ReST-MCTS*: values of prefixes, greedy simulations, visit-weighted means.

An iteration walks from the root by V + c * sqrt(2 ln N_parent / N), an unvisited child having V + `unvisited` instead,
ties at random. A finished node that is chosen ends the search if V >= `end_gate`. A leaf gets `width` steps, valued
by the scorer. From the best of them a greedy roll-out writes `forward` more steps, each the best of `roll_width`, and
the child's V becomes (1 - alpha) V + alpha V_max with V_max the greatest value seen, with one visit. On the way up
every node has one visit more, and V = sum(V N) / sum(N) over its children. Without a gated solution the finished one
of greatest V wins, the later one of equals.

Published: width 3, end_gate 0.9, roll_width 1, forward 3, alpha 0.5, c 0.7, `unvisited` 1, temperature 0.7; 100
iterations and the depth: not found, ours. Steps shorter than 2 characters or that repeat one of their path are dropped.
Deviations: the policy's own end of text stands for the self-critic's "end" (its advice is left out), so an unfinished
prefix above the gate is expanded instead of summarized; a node has 3 tries to get a sound step, not each proposal;
solutions that finish in a roll-out are chosen from only where there is no other.
Cost: width + forward * roll_width steps an iteration, roll-outs included, all scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.generation import Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, steps
from preceptor.search.tree import Node, Status
from preceptor.search.trees.selection import CONTINUABLE, Rank, best, children, rank, sift, uct, worth

TRIES = 3
SHORTEST = 2
"""Characters of a step."""
ROLLOUT = "rollout"


@dataclass(frozen=True)
class RestMcts(Strategy):
    """A tree grown by value, looked ahead from its best new step."""

    needs_scorer: ClassVar[bool] = True
    iterations: int = 100
    width: int = 3
    """Steps sampled at a leaf."""
    end_gate: float = 0.9
    c: float = 0.7
    alpha: float = 0.5
    """Weight of the roll-out against the step's own value."""
    forward: int = 3
    """Steps of a roll-out; 0: none."""
    roll_width: int = 1
    max_steps: int = 40
    aggregate: str | Aggregate = field(default="last", kw_only=True)
    unvisited: float = field(default=1.0, kw_only=True)
    """Bonus of a child that was not visited."""
    repeats: bool = field(default=False, kw_only=True)
    """Keep steps that say again what their path has said."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7), kw_only=True)

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        least = min(self.iterations, self.width, self.roll_width, self.max_steps)
        if least < 1 or self.forward < 0 or self.c < 0 or not 0 <= self.alpha <= 1:
            raise ValueError(
                f"MCTS*: got {self!r}, expected iterations, width, roll_width, max_steps >= 1, forward and c >= 0, "
                "alpha in [0, 1]"
            )

    def select(self, search: Search) -> list[Ask]:
        memory, sampling = search.memory, steps(self.sampling, search.problem)
        if memory.get("rollout"):
            return [Ask(search.tree[memory["rollout"]["at"]], self.roll_width, sampling, role=ROLLOUT)]
        while memory.setdefault("iterations", 0) < self.iterations and search.tree.root.status is Status.LIVE:
            memory["iterations"] += 1
            leaf = self._leaf(search)
            if leaf.status is Status.LIVE:
                return [Ask(leaf, self.width, sampling)]
            if _gated(leaf, self.end_gate):
                memory["gated"] = leaf.id
                return []
            _back_up(search, leaf)
        return []

    def _leaf(self, search: Search) -> Node:
        node = search.tree.root
        while kids := children(search, node):
            node = self._best(search, node, kids)
        return node

    def _best(self, search: Search, node: Node, kids: Sequence[Node]) -> Node:
        def key(kid: Node) -> Rank:
            bonus = uct(max(node.visits, 1), kid.visits, self.c) if kid.visits else self.unvisited
            return rank(_v(kid), bonus)

        return best(kids, key, lambda: search.rng("tie", search.memory["iterations"], node.id))

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            kid.data["v"] = worth(kid, self.aggregate)
        if kids[0].role == ROLLOUT:
            self._roll(search, kids)
        else:
            self._expand(search, search.tree[kids[0].parent or 0], kids)

    def _expand(self, search: Search, leaf: Node, kids: Sequence[Node]) -> None:
        for kid in kids:
            self._drop_idle(search, kid)
        sound = sift(search, leaf, self.max_steps)
        if sound:
            child = self._best(search, leaf, sound)
            search.memory["rollout"] = {
                "leaf": leaf.id,
                "child": child.id,
                "at": child.id,
                "left": self.forward,
            }
            self._roll(search, [])
            return
        leaf.data["tries"] = leaf.data.get("tries", 0) + 1
        if leaf.data["tries"] >= TRIES or any(k.data.get("why") == "at the greatest depth" for k in kids):
            leaf.status, leaf.data["why"] = Status.PRUNED, "no sound step to go on with"
        _back_up(search, leaf)

    def _drop_idle(self, search: Search, kid: Node) -> None:
        """Reject a step that says nothing, or what its path has said already. An end may be empty: a policy that stops
        at every line break ends its text in a turn of its own."""
        before = search.tree.path(search.tree[kid.parent or 0])
        text, said = (
            kid.text.strip(),
            {before.text[a:b].strip() for a, b in zip((0, *before.ends), before.ends)},
        )
        short, again = kid.status is Status.LIVE and len(text) < SHORTEST, text in said and not self.repeats
        if kid.status in CONTINUABLE and (short or again):
            kid.status, kid.data["why"] = Status.REJECTED, "too short" if short else "said before"

    def _roll(self, search: Search, kids: Sequence[Node]) -> None:
        """Go on with the best of `kids`; at the end of the roll-out, settle the step it began from."""
        now: dict[str, Any] = search.memory["rollout"]
        standing = [k for k in kids if k.status in CONTINUABLE]
        if standing:
            at = best(standing, lambda k: rank(_v(k)))
            now |= {"at": at.id, "left": now["left"] - 1, "best": _greatest(now.get("best"), _v(at))}
        ended = bool(kids) and not standing
        deep = search.tree.depth(search.tree[now["at"]]) + 1 >= self.max_steps
        if now["left"] > 0 and not ended and not deep and search.tree[now["at"]].status is Status.LIVE:
            return
        search.memory["rollout"] = None
        child = search.tree[now["child"]]
        own, ahead = _v(child), now.get("best")
        if own is not None and ahead is not None:
            child.data["v"] = (1 - self.alpha) * own + self.alpha * ahead
        child.visits += 1
        _back_up(search, search.tree[now["leaf"]])

    def candidates(self, search: Search) -> list[Node]:
        """Those of the tree; those of roll-outs where none of the tree has an answer."""
        own = [n for n in search.done if n.role != ROLLOUT]
        return own if any(n.canon is not None for n in own) else search.done

    def choose(self, search: Search) -> Node | None:
        if (gated := search.memory.get("gated")) is not None:
            return search.tree[gated]
        answered = [n for n in self.candidates(search) if n.canon is not None]
        if all(_v(n) is None for n in answered):
            return elect(answered, "majority")
        return best(answered[::-1], lambda n: rank(_v(n)))


def _v(node: Node) -> float | None:
    value: float | None = node.data.get("v")
    return value


def _gated(node: Node, gate: float) -> bool:
    value = _v(node)
    return node.canon is not None and value is not None and value >= gate


def _greatest(a: float | None, b: float | None) -> float | None:
    known = [v for v in (a, b) if v is not None]
    return max(known, default=None)


def _back_up(search: Search, node: Node) -> None:
    """One visit up the path; an expanded node's value becomes the mean of its children's, by visits."""
    for at in search.tree.lineage(node):
        at.visits += 1
        seen = [(v, k.visits) for k in children(search, at) if (v := _v(k)) is not None and k.visits]
        if seen:
            at.data["v"] = sum(v * n for v, n in seen) / sum(n for _, n in seen)
