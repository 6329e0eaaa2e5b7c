"""What the page of a search says of one problem: its outcome, and every node with the reason of its status.

A reason is what the strategy noted (`why`, `duplicate_of`), an error, or the limit that ended a text; of a dropped node
without any, the place of its score among its level, which is a fact and no reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from preceptor.search.tree import Node, Status, Tree
from preceptor.trace import Finish, Problem

Record = dict[str, Any]
USUAL: Record = {
    "text": "", "first": 0, "ends": (), "inserted": 0, "role": "step", "by": "", "why": "", "visits": 0,
    "multiplicity": 1, "tokens": 0, "scored": 0, "data": "",
}  # fmt: skip
"""Values that are not written down."""


class Searched(NamedTuple):
    """One problem's lines; {} where a file is not there."""

    tree: Record
    solution: Record
    problem: Record


def drawn(one: Searched) -> Record:
    """What the page says of one problem."""
    known = {"prompt": "", **one.problem, "id": one.tree["problem"]}
    tree = Tree.from_record(one.tree, Problem.from_record(known))
    grade, ledger = one.solution.get("grade") or {}, tree.ledger
    scores = [s for n in tree.nodes for s in n.scores or () if s is not None]
    candidates = [
        {
            "node": tree[c["node"]].id,
            "answer": c["answer"],
            "verdict": (c["grade"] or {}).get("verdict"),
            "scores": c["scores"],
        }
        for c in one.solution.get("candidates", ())
    ]
    return {
        "id": tree.problem.id,
        "about": _about(one.problem.get("prompt") or ""),
        "prompt": one.problem.get("prompt"),
        "gold": one.problem.get("gold"),
        "answer": one.solution.get("answer"),
        "verdict": grade.get("verdict"),
        "reason": grade.get("reason"),
        "stop": one.solution.get("stop"),
        "asked": one.solution.get("asked"),
        "error": one.solution.get("error"),
        "unserved": one.solution.get("unserved", 0),
        "candidates": candidates,
        "chosen": _chosen(tree, one.solution),
        "tokens": ledger.policy.generated,
        "scored": ledger.scorer.scored,
        "calls": ledger.policy.calls,
        "count": len(tree) - 1,
        "low": min([0.0, *scores]),
        "high": max([1.0, *scores]),
        "nodes": _nodes(tree),
    }


def _about(prompt: str) -> str:
    line = " ".join(prompt[:200].split())
    return line if len(line) <= 60 else line[:59] + "\u2026"


def _chosen(tree: Tree, solution: Mapping[str, Any]) -> int | None:
    """The node whose path is the chosen text: of several, the one with its draw."""
    chosen = solution.get("chosen")
    if chosen is None:
        return None
    same = [n for n in tree.nodes[1:] if n.status is Status.DONE and tree.path(n).text == chosen["text"]]
    same.sort(key=lambda n: n.draw != chosen.get("draw"))
    return same[0].id if same else None


def _nodes(tree: Tree) -> list[Record]:
    depths, ranks, found = _depths(tree), _ranks(tree), []
    for node in tree.nodes:
        before = "" if node.parent is None else tree.path(tree[node.parent]).text
        record = {
            "parent": node.parent,
            "depth": depths[node.id],
            "text": node.text,
            "start": None if node.start == len(before) else node.start,
            "first": node.first_step,
            "ends": node.ends,
            "inserted": node.inserted,
            "role": node.role,
            "by": node.by,
            "status": node.status.value,
            "finish": None if node.finish is None else node.finish.value,
            "why": _why(node, ranks.get(node.id, "")),
            "scores": node.scores,
            "visits": node.visits,
            "value": node.value_sum / node.visits if node.visits else None,
            "multiplicity": node.multiplicity,
            "answer": node.answer,
            "tokens": node.usage.generated,
            "scored": node.judged.scored,
            "data": json.dumps(node.data, indent=1) if node.data else "",
        }
        found.append({k: v for k, v in record.items() if v is not None and (k not in USUAL or v != USUAL[k])})
    return found


def _depths(tree: Tree) -> list[int]:
    depths: list[int] = []
    for node in tree.nodes:
        depths.append(0 if node.parent is None else depths[node.parent] + 1)
    return depths


def _ranks(tree: Tree) -> dict[int, str]:
    """Where a dropped node's score stands among those of its depth and role: what can be said without a reason."""
    depths, continued = _depths(tree), {n.parent for n in tree.nodes}
    levels: dict[tuple[int, str], list[Node]] = {}
    for node in tree.nodes[1:]:
        levels.setdefault((depths[node.id], node.role), []).append(node)
    said = {}
    for (depth, _), nodes in levels.items():
        scores = [n.scores[-1] for n in nodes if n.scores and n.scores[-1] is not None]
        went_on = sum(n.id in continued for n in nodes)
        for node in nodes:
            if node.scores and node.scores[-1] is not None:
                rank = 1 + sum(s > node.scores[-1] for s in scores if s is not None)
                said[node.id] = (
                    f"its score is rank {rank} of {len(scores)} at depth {depth}; {went_on} of {len(nodes)} went on"
                )
    return said


def _why(node: Node, rank: str) -> str:
    """Why the node is what it is, as far as the tree says."""
    if node.error is not None:
        return f"{node.error.kind}: {node.error.message}"
    reasons = [str(node.data["why"])] if "why" in node.data else []
    if "duplicate_of" in node.data:
        reasons.append(f"the same text as node {node.data['duplicate_of']}")
    if node.status is Status.CUT:
        limit = "a limit of tokens" if node.finish is Finish.LENGTH else "a limit of the search"
        reasons.append(f"ended by {limit}")
    if node.status is Status.PRUNED and not reasons and rank:
        reasons.append(rank)
    if node.score_error is not None:
        reasons.append(f"not scored: {node.score_error.kind}: {node.score_error.message}")
    return "; ".join(reasons)
