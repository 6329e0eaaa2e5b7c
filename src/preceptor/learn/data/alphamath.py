"""AlphaMath Almost Zero: a policy and its value head learn from one tree whose ends are known (abstract index 10).

The search is `search.AlphaMathMcts` with the known answer at the ends: a right solution is worth +1; a wrong one, one
without an answer and one that is too deep -1; a leaf is worth what the value head says, and nothing in the first
round, when there is none. All values of a path are running means, so Q is in [-1, 1].

Rows: each path to an end. Q is the value head's target at the last token of every step (squared error behind tanh);
the language-model loss covers paths that end in +1 only. L = CE + alpha * MSE (`supervised.losses.value_loss`).
Published (repo): c_puct 1.5, temperature 0.6, width 5, 40 simulations, depth 8, 3 rounds. alpha: not found, 0.1 is
ours. Left out: code execution and its consecutive errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.grade import grade
from preceptor.learn.data.rows import Row, step_pieces
from preceptor.learn.data.trees import leaves, node_values, outcomes
from preceptor.search import Node, Search, Status, Tree
from preceptor.search.trees.alphamath_mcts import AlphaMathMcts
from preceptor.search.trees.selection import back_up, mean_value, priors, sift
from preceptor.trace import Finish


@dataclass(frozen=True)
class AlphaMathTraining(AlphaMathMcts):
    """Reads gold answers: for training data, never for a measurement."""

    needs_scorer: ClassVar[bool] = False
    c_puct: float = 1.5

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [search.tree[search.memory["leaf"]]]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        leaf = search.tree[search.memory["leaf"]]
        sound = sift(search, leaf, self.max_steps)
        for kid, prior in zip(sound, priors(sound, normalize=False), strict=True):
            kid.data["prior"] = prior
        back_up(search, leaf, self.value(leaf))
        for kid in kids:
            if kid.status is Status.CUT:
                back_up(search, kid, self.invalid)
            elif kid.status is Status.DONE:
                back_up(search, kid, self._truth(search, kid))

    def _truth(self, search: Search, kid: Node) -> float | None:
        """+1 or `invalid`; None, a visit without a value, where no verdict is possible."""
        found = grade(search.problem, search.tree.path(kid).text, finish=kid.finish)
        return None if not found.decided else 1.0 if found.correct else self.invalid


def tree_rows(tree: Tree, *, max_rows: int | None = None) -> list[Row]:
    """A row per path to a finished or invalid end, right ones with a language-model loss, all with value targets.

    Ends without a verdict give none. `max_rows`: of each sign, in order of creation.
    """
    right = outcomes(tree)
    q = {n.id: mean_value(n) for n in tree.nodes}
    rows: dict[bool, list[Row]] = {True: [], False: []}
    for leaf in leaves(tree):
        sign = right.get(leaf.id) if leaf.status is Status.DONE else False
        if leaf.status not in (Status.DONE, Status.CUT) or sign is None or q[leaf.id] is None:
            continue
        trace, values = node_values(tree, leaf, q)
        weights: list[float | None] = [1.0 if sign else None] * len(trace.steps)
        pieces = step_pieces(trace, weights, values)
        rows[sign].append(Row(tree.problem, pieces, sign and leaf.finish is Finish.STOP, source=trace.id))
    return rows[True][:max_rows] + rows[False][:max_rows]
