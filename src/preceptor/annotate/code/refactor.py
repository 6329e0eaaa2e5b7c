"""Rewritings of one line that are meant to keep what a program does.

    augmented     `x += 1` for `x = x + 1`, and back
    flipped       `b > a` for `a < b`
    parentheses   around an assigned or returned value
    comment       one behind the line

Meant to: whether they do is found by running the program (`x += y` of a list is not `x = x + y` to its aliases).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from preceptor.annotate.code.mutate import SIGNS
from preceptor.annotate.code.source import Edit, Program

FLIPPED: dict[type[ast.AST], str] = {
    ast.Lt: ">",
    ast.LtE: ">=",
    ast.Gt: "<",
    ast.GtE: "<=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


def refactorings(text: str) -> list[Edit]:
    """Every rewriting of a program, by line; none of a text that does not parse."""
    program = Program(text)
    if program.tree is None:
        return []
    found: dict[Edit, None] = {}
    for node, _ in program.scoped:
        for edit in (*_augmented(program, node), *_flipped(program, node), *_parentheses(program, node)):
            if program.parses_with(edit):
                found[edit] = None
    for k, line in enumerate(program.lines):
        edit = Edit(k, "comment", f"{line.rstrip()}  # as before")
        if line.strip() and _same(program, edit):
            found[edit] = None
    return sorted(found, key=lambda e: e.line)


def _same(program: Program, edit: Edit) -> bool:
    """Whether the edit leaves the very same tree: text behind a line may be inside a string."""
    if program.tree is None or not program.parses_with(edit):
        return False
    return ast.dump(ast.parse(program.with_line(edit.line, edit.text))) == ast.dump(program.tree)


def _augmented(program: Program, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.AugAssign) and node.lineno == node.end_lineno:
        target, value = program.source(node.target), program.source(node.value)
        sign = SIGNS[type(node.op)][0]
        yield from _whole(program, node, "augmented", f"{target} = {target} {sign} ({value})")
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.value, ast.BinOp):
        target, left = program.source(node.targets[0]), program.source(node.value.left)
        if target is not None and target == left and node.lineno == node.end_lineno:
            sign, right = SIGNS[type(node.value.op)][0], program.source(node.value.right)
            yield from _whole(program, node, "augmented", f"{target} {sign}= {right}")


def _flipped(program: Program, node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in FLIPPED:
        return
    left, right = program.source(node.left), program.source(node.comparators[0])
    new = program.replaced(node, f"{right} {FLIPPED[type(node.ops[0])]} {left}")
    if left is not None and right is not None and new is not None:
        yield Edit(node.lineno - 1, "flipped", new)


def _parentheses(program: Program, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Assign | ast.Return) and node.value is not None:
        value = program.source(node.value)
        new = None if value is None else program.replaced(node.value, f"({value})")
        if new is not None:
            yield Edit(node.value.lineno - 1, "parentheses", new)


def _whole(program: Program, node: ast.stmt, operator: str, new: str) -> Iterator[Edit]:
    """A statement on one line exchanged."""
    if node.end_col_offset is not None:
        text = program.spliced(node.lineno - 1, node.col_offset, node.end_col_offset, new)
        yield Edit(node.lineno - 1, operator, text)
