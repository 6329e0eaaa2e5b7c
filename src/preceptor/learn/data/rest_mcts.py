"""ReST-MCTS*: values of partial solutions from known ends, for the policy and the reward model (abstract index 186).

Along one solution: v_0 = 0, w_k = (1 - v_{k-1}) / (m_k + 1) * (1 - 2 e_k), v_k = max(v_{k-1} + w_k, 0), with m_k the
least number of further steps to a right answer and e_k = 1 for a wrong step. Over a tree (repo): V = max(0, V_parent
+ (1 - V_parent) s / d), s = +1 where a right end is below and -1 elsewhere, d = least number of steps to it, the end
itself being 1; a dead branch has the d of its nearest ancestor with a right end. The simple variant (repo): on the
route to a right end of depth D a node at depth t has t/D, its siblings off the route max((t - 2)/D, 0).

Policy data are the right solutions, value data all nodes, each once. Nodes with one text (merged siblings, a step that
a roll-out wrote too, an end that adds nothing) are one node. The search is `search.RestMcts`; a round is
`supervised.rounds.rest_mcts_round`. Deviations: a tree without a right end has no values (nothing says how far
it is), and no dead branch holds an undecided end. Left out: self-critic.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from preceptor.annotate import Labels
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.data.rows import Row, whole_row
from preceptor.learn.data.trees import chain, leaves, node_values, outcomes
from preceptor.search import Node, Tree

SOURCE = Source.of("rest-mcts-values")


def process_values(wrong: Sequence[bool], missing: Sequence[int]) -> tuple[list[float], list[float]]:
    """(v_1.., w_1..) along one solution. `wrong[k]`: e; `missing[k]`: m, least further steps to a right answer.

    >>> process_values([False, False], [1, 0])
    ([0.5, 1.0], [0.5, 0.5])
    """
    v, values, weights = 0.0, [], []
    for e, m in zip(wrong, missing, strict=True):
        w = (1.0 - v) / (m + 1) * (1.0 - 2.0 * e)
        v = max(v + w, 0.0)
        weights.append(w)
        values.append(v)
    return values, weights


def distances(tree: Tree, right: dict[int, bool | None]) -> dict[str, float]:
    """Text of a path -> least steps to a right end, counting its own last one; infinite without one."""
    texts = [tree.path(n).text for n in tree.nodes]
    far = dict.fromkeys(texts, inf) | {texts[i]: 1.0 for i, r in right.items() if r}
    for node in reversed(tree.nodes[1:]):
        own, before = texts[node.id], texts[node.parent or 0]
        far[before] = min(far[before], far[own] + (own != before))
    return far


def tree_values(tree: Tree) -> dict[int, float | None]:
    """Value of every node, the root's being 0. All None without a right end; None on dead branches with an
    undecided end."""
    right = outcomes(tree)
    far = distances(tree, right)
    if far[""] == inf:
        return {n.id: None for n in tree.nodes}
    texts = [tree.path(n).text for n in tree.nodes]
    unknown = {texts[n.id] for i, r in right.items() if r is None for n in tree.lineage(tree[i])}
    values: dict[str, float | None] = {"": 0.0}
    reach = {"": far[""]}
    for node in tree.nodes[1:]:
        own, above = texts[node.id], texts[node.parent or 0]
        if own in values:
            continue
        before, alive = values[above], far[own] < inf
        reach[own] = far[own] if alive else reach[above]
        if before is None or (not alive and own in unknown):
            values[own] = None
        else:
            sign = 1.0 if alive else -1.0
            values[own] = max(0.0, before + (1.0 - before) * sign / reach[own])
    return {n.id: values[texts[n.id]] for n in tree.nodes}


def route_values(tree: Tree, end: Node) -> dict[int, float]:
    """The simple variant for one right end: its route and the siblings of the route's nodes."""
    route = [n for n in chain(tree, end) if n.text]
    values: dict[int, float] = {}
    for t, node in enumerate(route, 1):
        for sibling in tree.children(tree[node.parent or 0]):
            if sibling.text:
                off = sibling.text != node.text
                values[sibling.id] = max((t - 2) / len(route), 0.0) if off else t / len(route)
    return values


def policy_rows(tree: Tree) -> list[Row]:
    """The right solutions, equal ones once."""
    right = outcomes(tree)
    traces = [tree.trace(tree[i]) for i, r in right.items() if r]
    return [whole_row(t) for t in {t.text: t for t in traces}.values()]


def value_labels(trees: Sequence[Tree]) -> Labels:
    """Judgements of value for `preceptor.reward.train`, one per path, every text in the first path that has it."""
    traces, judged = [], []
    for tree in trees:
        values, told = tree_values(tree), {""}
        for leaf in leaves(tree):
            fresh = {n.id: values[n.id] for n in chain(tree, leaf) if tree.path(n).text not in told}
            told |= {tree.path(tree[i]).text for i in fresh}
            trace, scores = node_values(tree, leaf, fresh)
            if any(s is not None for s in scores):
                traces.append(trace)
                judged.append(Judgement(trace.id, Question.VALUE, SOURCE, tuple(scores)))
    return Labels(tuple(traces), tuple(judged), len(traces), 0, 0)
