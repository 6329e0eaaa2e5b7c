"""What builders read off a search tree: finished solutions with their truth, and paths."""

from __future__ import annotations

from preceptor.grade import grade_many
from preceptor.search import Node, Status, Tree
from preceptor.trace import Trace


def outcomes(tree: Tree) -> dict[int, bool | None]:
    """Node -> whether the finished solution that ends there is right; None: undecided."""
    done = tree.having(Status.DONE)
    grades = grade_many([(tree.problem, tree.path(n).text) for n in done], [n.finish for n in done])
    return {n.id: g.correct if g.decided else None for n, g in zip(done, grades, strict=True)}


def chain(tree: Tree, node: Node) -> list[Node]:
    """From the first node below the root to this one."""
    return [n for n in tree.lineage(node) if n.parent is not None][::-1]


def leaves(tree: Tree) -> list[Node]:
    """Nodes that nothing continues, the root apart."""
    return [n for n in tree.nodes[1:] if not tree.children(n)]


def node_values(tree: Tree, node: Node, values: dict[int, float | None]) -> tuple[Trace, list[float | None]]:
    """The path as a trace, and per step the value of the node that finished it; None inside a node's text."""
    trace = tree.trace(node)
    at = {len(tree.path(n).text): values.get(n.id) for n in chain(tree, node)}
    return trace, [at.get(step.end) for step in trace.steps]
