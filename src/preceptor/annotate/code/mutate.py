"""Mutations of a Python program that change one line each: the operators of HGS-PRM's code labels.

    operator     + for -, `and` for `or`, a `not` or a minus dropped, also in `x += 1`
    constant     a number one up or down, a truth value turned around, a string made longer
    comparison   < for <=, < for >=, == for !=, `in` for `not in`
    variable     another variable of the same function
    return       None in place of the returned value

The list of exchanges is ours (the published one was not found). What a mutation does to the program is found by
running it, never assumed: some change nothing. Left out: f-strings, docstrings, expressions over several lines.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

from preceptor.annotate.code.source import Edit, Program
from preceptor.trace import stream_seed

SIGNS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "&"),
    ast.MatMult: ("@", "*"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}
COMPARISONS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
}


def mutations(text: str) -> list[Edit]:
    """Every mutation of a program, by line; none of a text that does not parse."""
    program = Program(text)
    documented = {id(n.value) for n, _ in program.scoped if isinstance(n, ast.Expr)}
    called = {id(n.func) for n, _ in program.scoped if isinstance(n, ast.Call)}
    found: dict[Edit, None] = {}
    for node, names in program.scoped:
        if id(node) in documented and isinstance(node, ast.Constant):
            continue
        for edit in (
            *_operator(program, node),
            *_constant(program, node),
            *_comparison(program, node),
            *(() if id(node) in called else _variable(program, node, names)),
            *_return(program, node),
        ):
            if edit is not None and program.parses_with(edit):
                found[edit] = None
    return sorted(found, key=lambda e: e.line)


def draw(edits: list[Edit], n: int, *seed: object) -> list[Edit]:
    """`n` of the edits (all, where there are fewer), an operator drawn before an edit of it."""
    rng = random.Random(stream_seed("code-edit", *seed))
    left, taken = list(edits), list[Edit]()
    while left and len(taken) < n:
        operator = rng.choice(sorted({e.operator for e in left}))
        taken.append(rng.choice([e for e in left if e.operator == operator]))
        left.remove(taken[-1])
    return taken


def _edit(node: ast.AST, operator: str, text: str | None) -> Edit | None:
    return None if text is None else Edit(getattr(node, "lineno", 1) - 1, operator, text)


def _operator(program: Program, node: ast.AST) -> Iterator[Edit | None]:
    if isinstance(node, ast.BinOp):
        yield _edit(node.right, "operator", program.between(node.left, node.right, *SIGNS[type(node.op)]))
    elif isinstance(node, ast.AugAssign):
        yield _edit(node.value, "operator", program.between(node.target, node.value, *SIGNS[type(node.op)]))
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:]):
            yield _edit(right, "operator", program.between(left, right, *SIGNS[type(node.op)]))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        operand = program.source(node.operand)
        yield None if operand is None else _edit(node, "operator", program.replaced(node, operand))


def _constant(program: Program, node: ast.AST) -> Iterator[Edit | None]:
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    others: list[object] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int | float):
        others = [value + 1, value - 1]
    elif isinstance(value, str):
        others = [value + "x"]
    for other in others:
        yield _edit(node, "constant", program.replaced(node, repr(other)))


def _comparison(program: Program, node: ast.AST) -> Iterator[Edit | None]:
    if not isinstance(node, ast.Compare):
        return
    sides = [node.left, *node.comparators]
    for op, left, right in zip(node.ops, sides, sides[1:]):
        sign, others = COMPARISONS[type(op)]
        for other in others:
            yield _edit(right, "comparison", program.between(left, right, sign, other))


def _variable(program: Program, node: ast.AST, names: tuple[str, ...]) -> Iterator[Edit | None]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        for name in names:
            if name != node.id:
                yield _edit(node, "variable", program.replaced(node, name))


def _return(program: Program, node: ast.AST) -> Iterator[Edit | None]:
    if isinstance(node, ast.Return) and node.value is not None:
        yield _edit(node.value, "return", program.replaced(node.value, "None"))
