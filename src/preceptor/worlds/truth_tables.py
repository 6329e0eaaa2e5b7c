"""Small formulas and what follows from them, by truth tables: the independent truth of the world `deduction`.

Notation: `{A}`, `{A}{a}`, `¬ & v ->`, parentheses, and one `(x):` before a whole formula. A table is one integer
with a bit per row. With universal formulas only, it is enough to look at the constants that occur, and at one
fresh constant for a universal conclusion (Herbrand). Left out: "for some", nested quantifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MAX_ATOMS = 20
FRESH = "{*}"
_TOKEN = re.compile(r"\s*(\{[A-Z]{1,3}\}(?:\{[a-z]{1,3}\}|x)?|->|[¬&v()])")

Node = tuple[Any, ...]
"""("atom", predicate, argument), ("¬", node) or (operator, node, node)."""


class Formula(NamedTuple):
    universal: bool
    """Whether `(x):` stands before the body."""
    body: Node


def read(text: str) -> Formula | None:
    """The formula, or None when the text is none of this notation."""
    universal = re.match(r"\s*\(x\)\s*:", text)
    rest = text[universal.end() if universal else 0 :].rstrip()
    tokens: list[str] = []
    at = 0
    while at < len(rest):
        found = _TOKEN.match(rest, at)
        if found is None or len(tokens) > 200:
            return None
        tokens.append(found[1])
        at = found.end()
    tokens.reverse()
    body = _arrow(tokens)
    if body is None or tokens:
        return None
    variables = any(argument == "x" for _, _, argument in _atoms(body))
    return None if variables and not universal else Formula(universal is not None, body)


def _arrow(tokens: list[str]) -> Node | None:
    left = _side(tokens)
    if left is None or not tokens or tokens[-1] != "->":
        return left
    tokens.pop()
    right = _side(tokens)
    return None if right is None else ("->", left, right)


def _side(tokens: list[str]) -> Node | None:
    left, op = _unit(tokens), tokens[-1] if tokens else ""
    while left is not None and tokens and tokens[-1] in ("&", "v") and tokens[-1] == op:
        tokens.pop()
        right = _unit(tokens)
        left = None if right is None else (op, left, right)
    return left


def _unit(tokens: list[str]) -> Node | None:
    token = tokens.pop() if tokens else ""
    if token == "¬":
        body = _unit(tokens)
        return None if body is None else ("¬", body)
    if token == "(":
        body = _arrow(tokens)
        return body if body is not None and tokens and tokens.pop() == ")" else None
    if not token.startswith("{"):
        return None
    predicate, _, argument = token.partition("}")
    return ("atom", predicate[1:], argument)


def _atoms(node: Node) -> Iterator[Node]:
    if node[0] == "atom":
        yield node
    else:
        for part in node[1:]:
            yield from _atoms(part)


def _at(node: Node, constant: str) -> Node:
    """The body with the variable replaced."""
    if node[0] == "atom":
        return ("atom", node[1], constant) if node[2] == "x" else node
    return (node[0], *(_at(part, constant) for part in node[1:]))


def follows(premises: Sequence[Formula], conclusion: Formula) -> bool | None:
    """Whether the conclusion is true wherever all premises are; None beyond `MAX_ATOMS` ground atoms."""
    named = {a for f in (*premises, conclusion) for _, _, a in _atoms(f.body)} - {"", "x"}
    if conclusion.universal or not named:
        named.add(FRESH)
    ground = [_at(f.body, c) for f in premises for c in (sorted(named) if f.universal else [FRESH])]
    goal = _at(conclusion.body, FRESH)
    atoms = sorted({atom for node in (*ground, goal) for atom in _atoms(node)})
    if len(atoms) > MAX_ATOMS:
        return None
    rows = 1 << len(atoms)
    every = (1 << rows) - 1
    columns = {atom: every // ((1 << (1 << k)) + 1) for k, atom in enumerate(atoms)}
    models = every
    for node in ground:
        models &= _table(node, columns, every)
    return not models & ~_table(goal, columns, every)


def _table(node: Node, columns: dict[Node, int], every: int) -> int:
    """The rows in which the formula is true."""
    match node:
        case ("atom", *_):
            return columns[node]
        case ("¬", body):
            return every & ~_table(body, columns, every)
        case ("&", left, right):
            return _table(left, columns, every) & _table(right, columns, every)
        case ("v", left, right):
            return _table(left, columns, every) | _table(right, columns, every)
        case (_, left, right):
            return (every & ~_table(left, columns, every)) | _table(right, columns, every)
    raise ValueError(f"no formula: {node}")
