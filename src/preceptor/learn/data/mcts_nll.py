"""MCTS relative correctness: a step's weight is how much better it is than its siblings (abstract index 6).

Loss: -sum w * log pi(step | prefix), w = (Q - mean) / max|Q - mean| over the values Q of siblings, in [-1, 1];
negative weights are floored to 0. Search and training repeat until there is no gain (`supervised.rounds`).

The normaliser was not found in the paper; this one is ours, and so is the floor (a negative weight pushes likelihood
down without bound). Siblings without a value have no weight and are not trained on; so has no only child, unless
`only_child` says otherwise. Cost: none beyond the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from preceptor.annotate.tree.samples import Sample
from preceptor.learn.data.rows import Piece, Row, prefix_piece, step_pieces
from preceptor.search import Node, Status, Tree
from preceptor.search.trees.selection import mean_value
from preceptor.trace import Finish


def sibling_weights(
    values: Sequence[float | None], *, floor: bool = True, only_child: float = 0.0
) -> list[float | None]:
    """One per sibling; None where the value is not known.

    >>> sibling_weights([0.75, 0.25, 0.5], floor=False)
    [1.0, -1.0, 0.0]
    """
    known = [v for v in values if v is not None]
    if len(values) == 1 and known:
        return [only_child]
    mean = sum(known) / len(known) if known else 0.0
    most = max((abs(v - mean) for v in known), default=0.0)
    lowest = 0.0 if floor else -1.0
    return [None if v is None else max(lowest, (v - mean) / most) if most > 0 else 0.0 for v in values]


def tree_rows(
    tree: Tree,
    value: Callable[[Node], float | None] = mean_value,
    *,
    floor: bool = True,
    only_child: float = 0.0,
) -> list[Row]:
    """A row per step of a weight other than 0: the path before it is context. `value`: of a node, here what the
    search backed up to it. Failed nodes, and ones merged into an equal sibling, are no siblings."""
    rows = []
    for parent in tree.nodes:
        kids = [
            k
            for k in tree.children(parent)
            if k.status is not Status.FAILED and k.text and "duplicate_of" not in k.data
        ]
        weights = sibling_weights([value(k) for k in kids], floor=floor, only_child=only_child)
        for kid, weight in zip(kids, weights, strict=True):
            if weight:
                rows.append(_row(tree, kid, weight))
    return rows


def _row(tree: Tree, kid: Node, weight: float) -> Row:
    trace = tree.trace(kid)
    start = len(trace.text) - len(kid.text)
    weights = [weight if step.end > start else None for step in trace.steps]
    pieces = step_pieces(trace, weights)
    return Row(tree.problem, pieces, kid.finish is Finish.STOP, source=trace.id)


def sample_rows(samples: Sequence[Sample]) -> list[Row]:
    """The same from the weights of `annotate.MCTSRelative.samples`, whose trees hold texts."""
    rows = []
    for sample in samples:
        if sample.target:
            prefix = prefix_piece(sample.trace, len(sample.prefix), trained=False)
            step = Piece(sample.step, weights=sample.target)
            rows.append(Row(sample.problem, (*prefix, step), end=False, source=sample.trace.id))
    return rows
