"""Runs of a search as `solve` leaves them, made up: small ones with every status, hostile text, large ones."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from preceptor.errors import ItemError
from preceptor.search.result import Candidate, Solution, SolveResult
from preceptor.search.tree import Node, Status, Tree
from preceptor.store import write_jsonl
from preceptor.trace import Finish, Grade, Problem, Verdict
from preceptor.usage import Budget, Usage

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ODD = "A null \x00, a surrogate \ud83d, an override \u202e, {{ 7*7 }} <!-- & --> \U0001f600"


def grow(
    tree: Tree, parent: int, text: str, status: Status = Status.LIVE, score: float | None = 0.5, **more: Any
) -> Node:
    """One step behind a node."""
    path = tree.path(tree[parent])
    before = tree[parent].scores or ()
    node = Node(
        len(tree),
        parent,
        text,
        start=more.pop("start", len(path.text)),
        first_step=more.pop("first_step", len(path.ends)),
        ends=more.pop("ends", (len(path.text) + len(text),)),
        status=status,
        scores=more.pop("scores", (*before, score)),
        finish=Finish.STOP if status is Status.DONE else Finish.BOUNDARY,
        usage=Usage(generated=len(text), calls=1),
        **more,
    )
    tree.nodes.append(node)
    return node


def every_status() -> Tree:
    """One node of each status, a rewrite, inserted text, a helper's word, a merged duplicate and a note."""
    tree = Tree(Problem("How many pens are 12 boxes of 7?", "84", id="pens"), policy="toy")
    grow(tree, 0, "12*7=84\n", score=0.9, visits=4, value_sum=3.0, multiplicity=2)
    grow(tree, 0, "12*7=84\n", Status.PRUNED, 0.9, data={"duplicate_of": 1})
    grow(tree, 0, "12+7=19\n", Status.PRUNED, 0.25)
    grow(
        tree, 0, "7-12=5\n", Status.REJECTED, 0.1, data={"why": "the critic found a wrong sign", "prior": 0.5}
    )
    grow(tree, 1, "Answer: 84", Status.DONE, 0.95, answer="84", canon="84", visits=2, value_sum=0.0)
    grow(tree, 3, "so it goes on", Status.CUT, None).finish = Finish.LENGTH
    grow(
        tree,
        1,
        "",
        Status.FAILED,
        None,
        error=ItemError("timeout", "no answer in 30 s"),
        ends=(),
        scores=None,
    )
    grow(tree, 5, "Is it right? ", role="critique", by="critic", scores=None)
    grow(tree, 5, "No: 12+7=19\nAnswer: 19", Status.DONE, start=8, first_step=1, ends=(20, 30), inserted=4,
         scores=(0.9, 0.3, 0.2), answer="19", canon="19")  # fmt: skip
    return tree


def hostile() -> Tree:
    tree = Tree(Problem(HOSTILE, HOSTILE, id=HOSTILE), policy="toy")
    grow(tree, 0, HOSTILE + "\n", score=None, data={"why": HOSTILE, HOSTILE: HOSTILE}, role=HOSTILE)
    grow(tree, 1, ODD, Status.DONE, -3.0, answer=HOSTILE, canon="x")
    return tree


def large(nodes: int, name: str, seed: int = 0, wide: int = 4, deep: int = 12) -> Tree:
    """A step search with so many nodes: most are pruned, some are solutions."""
    rng = random.Random(seed)
    tree = Tree(
        Problem(f"A long problem, {name}: what is the sum of all its numbers?", "7", id=name), policy="toy"
    )
    live = [0]
    while len(tree) <= nodes:
        parent = rng.choice(live)
        text = " ".join(f"{rng.randrange(99)}+{rng.randrange(99)}" for _ in range(8)) + " so far\n"
        for _ in range(min(wide, nodes + 1 - len(tree))):
            ends = len(tree.path(tree[parent]).ends) + 1 >= deep
            status = Status.DONE if ends else rng.choice([Status.LIVE, Status.PRUNED, Status.PRUNED])
            node = grow(tree, parent, text, status, round(rng.random(), 4), visits=rng.randrange(5))
            if ends:
                node.answer = node.canon = str(rng.randrange(9))
            if status is Status.LIVE:
                live.append(node.id)
        live = live[-40:]
    return tree


def solution(tree: Tree, chosen: int | None) -> Solution:
    candidates = []
    for node in tree.having(Status.DONE):
        right = node.canon == tree.problem.gold
        grade = Grade(
            Verdict.CORRECT if right else Verdict.INCORRECT, "equal" if right else "differ", node.answer
        )
        candidates.append(
            Candidate(node.id, tree.trace(node).graded(grade), node.answer, node.canon, node.scores)
        )
    picked = next((c.trace for c in candidates if c.node == chosen), None)
    grade = Grade(Verdict.UNDECIDED, "policy failed: timeout") if picked is None else picked.grade
    assert grade is not None
    error = ItemError("timeout", "no answer") if picked is None else None
    return Solution(
        tree.problem,
        answer=None if picked is None else picked.answer,
        grade=grade,
        chosen=picked,
        candidates=tuple(candidates),
        asked=4,
        stop="done",
        unserved=0,
        ledger=tree.ledger,
        tree=tree,
        error=error,
    )


def write_run(folder: Path, solutions: list[Solution]) -> Path:
    """The files of a finished run."""
    result = SolveResult(tuple(solutions), "StepBeam(keep=2, expand=2)", "toy", "oracle@1", Budget(), 0, 3)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result.to_record()))
    write_jsonl(folder / "problems.jsonl", (s.problem.to_record() for s in solutions))
    write_jsonl(folder / "solutions.jsonl", (s.to_record() for s in solutions))
    write_jsonl(folder / "trees.jsonl", (s.tree.to_record() for s in solutions))
    return folder
