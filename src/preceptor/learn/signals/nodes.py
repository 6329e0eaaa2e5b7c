"""Tree structure of rollouts that share prefixes: one node id a step, for `Rollout.nodes`.

A node is the sampled tokens up to a step's end together with where the steps before it ended. Equal ids within a
problem are the same node; they depend on ids alone, so processes agree without talking. It does not matter how the
sharing came about: branches of a sampled tree, paths of a search tree, or attempts that happen to begin alike.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from itertools import accumulate

from preceptor.credit import Rollout, rollout_of
from preceptor.grade import grade_many
from preceptor.search.tree import Status, Tree
from preceptor.trace import Trace, content_id

Nodes = tuple[Hashable, ...]


def node_ids(trace: Trace) -> Nodes | None:
    """One id a step; None for a trace without sampled ids, which is a chain of its own."""
    if trace.token_ids is None or trace.token_ends is None:
        return None
    ids = trace.token_ids
    parts = [content_id(*ids[a:b]) for a, b in rollout_of(trace).spans]
    return tuple(accumulate(parts, content_id, initial=""))[1:]


def with_nodes(rollouts: Sequence[Rollout], traces: Sequence[Trace]) -> list[Rollout]:
    """The rollouts with the node ids of their traces, in order."""
    return [
        r if len(r.spans) != len(t.steps) else replace(r, nodes=node_ids(t))
        for r, t in zip(rollouts, traces, strict=True)
    ]


def tree_traces(tree: Tree) -> list[Trace]:
    """Every finished solution of a search as a graded trace in its own steps; `node_ids` gives the tree back.

    A solution without sampled ids (text that was inserted) is left out: it cannot be trained on.
    """
    done = [t for n in tree.having(Status.DONE) if (t := tree.trace(n)).token_ids is not None]
    grades = grade_many([(t.problem, t.text) for t in done], [t.finish for t in done])
    return [t.graded(g) for t, g in zip(done, grades, strict=True)]
