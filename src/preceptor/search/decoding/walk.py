"""What strategies share that follow one path: where they stand, and what they leave behind."""

from __future__ import annotations

import math
from collections.abc import Sequence

from preceptor.search.state import Search
from preceptor.search.tree import Node, Status

CONTINUABLE = (Status.LIVE, Status.DONE)


def at(search: Search) -> Node | None:
    """The node to continue; None where the path has ended."""
    node = search.tree[search.memory.get("at", 0)]
    return node if node.status is Status.LIVE else None


def go_to(search: Search, node: Node) -> None:
    search.memory["at"] = node.id


def drop(nodes: Sequence[Node], why: str) -> None:
    for node in nodes:
        node.status = Status.PRUNED
        node.data["why"] = why


def mean_logprob(node: Node, first: int | None = None) -> float | None:
    """Of the node's first `first` sampled tokens; None where they are not known."""
    known = None if node.logprobs is None else node.logprobs[:first]
    return math.fsum(known) / len(known) if known else None
