"""MATH-APS and openr trees: Monte Carlo values of prefixes, `{question, final_answer, reasoning_steps}`.

Flat, `reasoning_steps` lists `{solution_prefix: question and text so far, mc_value}`; as a tree it is a node
`{text (new text only), mc_value, children}` whose root is the question. Each path from root to leaf is an item
whose steps are nodes, scored by their values; nodes on several paths are in several items. Consecutive items of
one record are written as one record again, in its own shape; where a filter took paths out, the nodes only they
had are gone, and that is counted. Items from elsewhere become trees of one path with a root of unknown value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from preceptor.annotate.formats.base import Format, Labelled, ReadOptions, Writing
from preceptor.annotate.formats.math_aps_flat import flat_again, flat_paths
from preceptor.annotate.formats.math_aps_tree import tree_again, tree_paths
from preceptor.annotate.formats.pieces import implied_error, lose_rest, rest, texts_of
from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Problem, Trace
from preceptor.worlds.records import Row

NAME = "math-aps"
SOURCE = Source("rollouts/math-aps")
FIELDS = ("question", "final_answer", "reasoning_steps")


def looks(fields: Mapping[str, Any]) -> bool:
    return {"question", "reasoning_steps"} <= set(fields) and isinstance(
        fields["reasoning_steps"], list | dict
    )


def items(row: Row, options: ReadOptions) -> list[Labelled]:
    gold = row.get("final_answer", str, type(None)) if "final_answer" in row.fields else None
    problem = Problem(row.text("question"), gold, world=NAME, segmenter="blank_line")
    steps = row.get("reasoning_steps", list, dict)
    shape = "flat" if isinstance(steps, list) else "tree"
    paths = flat_paths(row, problem) if shape == "flat" else tree_paths(row, problem)
    fields = rest(row.fields, *FIELDS)
    found = []
    for i, path in enumerate(paths):
        own = {"shape": shape, "record": row.line, "paths": len(paths), **path.kept}
        if i == 0 and fields:
            own["fields"] = fields
        trace = path.trace(problem, draw=i)
        error = None if path.values else ItemError("no-steps", "a root without a step after it")
        judgement = Judgement(
            trace.id, Question.VALUE, SOURCE, tuple(path.values) if path.values else None,
            first_error=implied_error(path.values), error=error, extra={NAME: own},
        )  # fmt: skip
        found.append((trace, judgement))
    return found


def records(found: Iterable[Labelled], writing: Writing) -> Iterator[dict[str, Any]]:
    alone = iter(range(1 << 62))

    def record_of(item: Labelled) -> Any:
        trace, judgement = item
        own = judgement.extra.get(NAME)
        return (trace.problem.id, own["record"]) if own else next(alone)

    for _, group in groupby(found, record_of):
        members = list(group)
        own = members[0][1].extra.get(NAME)
        if own is None and members[0][1].scores is None:
            writing.report.left_out["no labels"] += 1
            continue
        for _, judgement in members:
            writing.report.count(judgement)
        yield _made(*members[0], writing) if own is None else _again(members, writing)


def _again(members: list[Labelled], writing: Writing) -> dict[str, Any]:
    trace, judgement = members[0]
    own = judgement.extra[NAME]
    writing.lose(paths_of_the_record=len(members) < own["paths"])
    fields: dict[str, Any] = next(
        (j.extra[NAME]["fields"] for _, j in members if "fields" in j.extra[NAME]), {}
    )
    again = flat_again if own["shape"] == "flat" else tree_again
    return {
        "question": trace.problem.prompt,
        "final_answer": trace.problem.gold,
        "reasoning_steps": again(members, NAME),
        **fields,
    }


def _made(trace: Trace, judgement: Judgement, writing: Writing) -> dict[str, Any]:
    scores = judgement.scores or ()
    lose_rest(trace, judgement, writing, scores, (SOURCE, Question.VALUE), NAME, gold_answer=True)
    node: dict[str, Any] | None = None
    for text, score in reversed(list(zip(texts_of(trace)[0], scores, strict=True))):
        node = {"text": text, "mc_value": score, "children": [] if node is None else [node]}
    root = {"text": trace.problem.prompt, "mc_value": None, "children": [] if node is None else [node]}
    question = {"question": trace.problem.prompt, "final_answer": trace.problem.gold}
    return {**question, "reasoning_steps": root}


FORMAT = Format(
    NAME, "MATH-APS and openr: Monte Carlo values of prefixes, flat or as a tree", looks, items, records
)
