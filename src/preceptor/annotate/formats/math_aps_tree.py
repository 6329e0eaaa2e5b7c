"""openr's tree: nodes with their new text, joined by a blank line, as paths and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from preceptor.annotate.formats.pieces import texts_of
from preceptor.trace import Problem, Trace, steps_from_ends
from preceptor.worlds.readers import joined
from preceptor.worlds.records import Row


@dataclass
class Path:
    """From the root to a leaf."""

    text: str
    ends: list[int]
    values: list[float | None]
    kept: dict[str, Any] = field(default_factory=dict)

    def trace(self, problem: Problem, draw: int) -> Trace:
        """`draw` tells paths with the same text apart."""
        return Trace(problem, self.text, steps_from_ends(self.ends), draw=draw)


def value_of(row: Row) -> float | None:
    value = row.get("mc_value", float, type(None))
    return None if value is None else float(value)


def tree_paths(row: Row, problem: Problem) -> list[Path]:
    root = row.inner("reasoning_steps", row.get("reasoning_steps", dict))
    base = {"root": value_of(root), **_node_rest(root)}
    if (text := root.get("text", str)) != problem.prompt:
        base["root_text"] = text
    found = []
    for at, nodes in _leaves(root):
        whole = joined(problem, [node.get("text", str) for node in nodes])
        values = [value_of(node) for node in nodes]
        more = {str(t): rest for t, node in enumerate(nodes) if (rest := _node_rest(node))}
        kept = {**base, "at": at, **({"more": more} if more else {})}
        found.append(Path(whole.text, [s.end for s in whole.steps], values, kept))
    return found


def _node_rest(node: Row) -> dict[str, Any]:
    known = ("text", "mc_value", "children")
    found = {k: v for k, v in node.fields.items() if k not in known}
    return {"node": found} if found else {}


def _leaves(root: Row) -> Iterator[tuple[list[int], list[Row]]]:
    """Every path as child indices and nodes below the root, in the order of the tree."""
    waiting: list[tuple[list[int], list[Row], Row]] = [([], [], root)]
    while waiting:
        at, nodes, node = waiting.pop()
        children = node.get("children", list)
        if not children:
            yield at, nodes
        for i in reversed(range(len(children))):
            child = node.inner(f"children[{i}]", children[i])
            waiting.append(([*at, i], [*nodes, child], child))


def tree_again(members: Sequence[tuple[Trace, Any]], name: str) -> dict[str, Any]:
    """The tree that these paths span; child indices keep the order of the children."""
    trace, judgement = members[0]
    own = judgement.extra[name]
    root = {
        "text": own.get("root_text", trace.problem.prompt),
        "mc_value": own["root"],
        **own.get("node", {}),
    }
    below: dict[tuple[int, ...], dict[str, Any]] = {(): root}
    for member, said in members:
        at, more = said.extra[name]["at"], said.extra[name].get("more", {})
        texts, scores = texts_of(_blank(member))[0], said.scores or ()
        for depth, (text, score) in enumerate(zip(texts, scores, strict=True)):
            place = tuple(at[: depth + 1])
            extra = more.get(str(depth), {}).get("node", {})
            below.setdefault(place, {"text": text, "mc_value": score, **extra})
    for place in below:
        below[place]["children"] = []
    for place in sorted(p for p in below if p):
        below[place[:-1]]["children"].append(below[place])
    return root


def _blank(trace: Trace) -> Trace:
    return replace(trace, problem=replace(trace.problem, segmenter="blank_line"))
