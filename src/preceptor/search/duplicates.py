"""Siblings and cousins that wrote the same text: keep them, merge them, or prefer distinct ones.

Compared are whole paths, character by character; what a duplicate cost stays in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.search.state import Search
from preceptor.search.tree import Node, Status

DUPLICATES = ("keep", "merge", "prefer-distinct")


def merge(search: Search, nodes: Sequence[Node]) -> list[Node]:
    """The first of each text, its `multiplicity` raised; the others become PRUNED."""
    first: dict[str, Node] = {}
    for node in nodes:
        original = first.setdefault(search.tree.path(node).text, node)
        if original is not node:
            original.multiplicity += 1
            node.status = Status.PRUNED
            node.data["duplicate_of"] = original.id
    return list(first.values())


def prefer_distinct(search: Search, nodes: Sequence[Node]) -> list[Node]:
    """`nodes` (best first) with every first of a text before every repeat, otherwise in order."""
    seen: set[str] = set()
    firsts: list[Node] = []
    repeats: list[Node] = []
    for node in nodes:
        text = search.tree.path(node).text
        (repeats if text in seen else firsts).append(node)
        seen.add(text)
    return firsts + repeats
