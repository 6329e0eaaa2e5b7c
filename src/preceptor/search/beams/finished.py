"""Solutions that a beam drops although they are finished.

Published beams forget them. Here they stay finished, with the reason, out of the choice unless nothing that the beam
kept has an answer: with a budget that ends early, a dropped answer is better than none.
"""

from __future__ import annotations

from preceptor.search.state import Search
from preceptor.search.tree import Node, Status


def drop(node: Node, why: str) -> None:
    """A live node is pruned; a finished one stays finished and loses its place."""
    if node.status is Status.LIVE:
        node.status = Status.PRUNED
    node.data["why"] = why


def kept(search: Search) -> list[Node]:
    """Finished solutions that were not dropped; all finished ones where none of those has an answer."""
    stood = [n for n in search.done if "why" not in n.data]
    return stood if any(n.canon is not None for n in stood) else search.done
