"""What searches of a growing tree share: rules of selection, backing up, and what is done to fresh steps.

Rules are pure functions of numbers. An unknown value is None, ranks behind every known one and is never 0: a visit
that brought no value counts as a visit and leaves the mean as it was (`data["unvalued"]`). Every walk costs the depth
of the tree times the children of a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from preceptor.search.aggregate import Aggregate, aggregate
from preceptor.search.duplicates import merge
from preceptor.search.state import Search
from preceptor.search.tree import Node, Status

CONTINUABLE = (Status.LIVE, Status.DONE)


def puct(prior: float, parent_visits: int, visits: int, c: float) -> float:
    """What AlphaZero adds to Q."""
    return c * prior * math.sqrt(parent_visits) / (1 + visits)


def growing_c(parent_visits: int, base: float, init: float) -> float:
    """AlphaZero's c, which grows with the visits of the parent."""
    return math.log((parent_visits + base + 1) / base) + init


def uct(parent_visits: int, visits: int, c: float, factor: float = 2.0) -> float:
    """What UCT adds to Q of a child that was visited: c * sqrt(factor * ln N_parent / N)."""
    return c * math.sqrt(factor * math.log(parent_visits) / visits)


class Rank(NamedTuple):
    """Known values before unknown ones, which go by their bonus."""

    known: bool
    value: float


def rank(q: float | None, bonus: float = 0.0) -> Rank:
    return Rank(q is not None, bonus if q is None else q + bonus)


def best(
    nodes: Sequence[Node], key: Callable[[Node], Rank], rng: Callable[[], np.random.Generator] | None = None
) -> Node:
    """The node of the greatest rank; ties by `rng`, or to the first without one."""
    ranks = [key(node) for node in nodes]
    top = max(ranks)
    tied = [node for node, own in zip(nodes, ranks, strict=True) if own == top]
    return tied[int(rng().integers(len(tied)))] if rng is not None and len(tied) > 1 else tied[0]


def mean_value(node: Node) -> float | None:
    """Q = W / N over the visits that brought a value; None before the first."""
    valued = node.visits - int(node.data.get("unvalued", 0))
    return node.value_sum / valued if valued else None


def back_up(search: Search, node: Node, value: float | None) -> None:
    """One visit of the node and its ancestors, and its value added where it is known."""
    for at in search.tree.lineage(node):
        visit(at, value)


def visit(node: Node, value: float | None) -> None:
    """Count it; the value too, if there is one."""
    node.visits += 1
    if value is None:
        node.data["unvalued"] = int(node.data.get("unvalued", 0)) + 1
    else:
        node.value_sum += value


def worth(node: Node, how: str | Aggregate) -> float | None:
    """What the scorer makes of a prefix; None: unscored."""
    return aggregate(node.scores, how)


def unscored(nodes: Sequence[Node]) -> list[Node]:
    """Those that the scorer has not been asked about."""
    return [n for n in nodes if n.status in CONTINUABLE and n.scores is None and n.score_error is None]


def priors(nodes: Sequence[Node], *, normalize: bool) -> list[float]:
    """exp(mean log-probability of a token) of each sibling; all alike where one of them has none."""
    means = [math.fsum(n.logprobs) / len(n.logprobs) if n.logprobs else None for n in nodes]
    if any(m is None for m in means):
        return [1 / len(nodes)] * len(nodes)
    raw = [math.exp(m) for m in means if m is not None]
    return [r / math.fsum(raw) for r in raw] if normalize else raw


def children(search: Search, node: Node) -> list[Node]:
    """Steps that may be chosen: sound ones, finished ones included."""
    return [k for k in search.tree.children(node) if k.role == "step" and k.status in CONTINUABLE]


def sift(search: Search, node: Node, max_steps: int) -> list[Node]:
    """Merge equal children of an expanded node, and cut those that may not grow; the rest."""
    kids = merge(search, children(search, node))
    if search.tree.depth(node) + 1 >= max_steps:
        for kid in kids:
            if kid.status is Status.LIVE:
                kid.status, kid.data["why"] = Status.CUT, "at the greatest depth"
    return [k for k in kids if k.status in CONTINUABLE]
