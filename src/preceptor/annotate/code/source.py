"""Python source as lines and syntax tree at once, so that a change of the tree is a change of one line.

Positions of the tree count bytes of UTF-8 in lines that end at "\\n"; a program with other line ends is not edited.
Every edit is checked: the program still parses and exactly one line differs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Edit:
    """One line of a program replaced."""

    line: int
    """0-based."""
    operator: str
    """What was done, a short constant."""
    text: str
    """The new line, without its line end."""


@dataclass(frozen=True)
class Program:
    """A program that has been run before: parsing text that nobody ran is not what this is for."""

    text: str

    @cached_property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @cached_property
    def tree(self) -> ast.Module | None:
        """None where the text cannot be read line by line."""
        if "\r" in self.text or "\f" in self.text:
            return None
        try:
            return ast.parse(self.text)
        except UNREADABLE:
            return None

    @cached_property
    def scoped(self) -> list[tuple[ast.AST, tuple[str, ...]]]:
        """Every node outside f-strings, in order of position, with the variables of its function."""
        if self.tree is None:
            return []
        found = list(_walk(self.tree, variables(self.tree)))
        return sorted(found, key=lambda n: (getattr(n[0], "lineno", 0), getattr(n[0], "col_offset", 0)))

    def spliced(self, line: int, start: int, end: int, new: str) -> str:
        """Line `line` (0-based) with its bytes `start:end` exchanged."""
        raw = self.lines[line].encode("utf-8")
        return (raw[:start] + new.encode("utf-8") + raw[end:]).decode("utf-8", "replace")

    def source(self, node: ast.expr) -> str | None:
        """The text of an expression on one line, else None."""
        if node.lineno != node.end_lineno or node.end_col_offset is None:
            return None
        return (
            self.lines[node.lineno - 1].encode("utf-8")[node.col_offset : node.end_col_offset].decode("utf-8")
        )

    def replaced(self, node: ast.expr, new: str) -> str | None:
        """The line of an expression with the expression exchanged."""
        if node.lineno != node.end_lineno or node.end_col_offset is None:
            return None
        return self.spliced(node.lineno - 1, node.col_offset, node.end_col_offset, new)

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> str | None:
        """The line with the sign between two expressions exchanged, where both end and begin on it."""
        if left.end_lineno != right.lineno or left.end_lineno is None or left.end_col_offset is None:
            return None
        raw = self.lines[right.lineno - 1].encode("utf-8")
        gap = raw[left.end_col_offset : right.col_offset]
        at = gap.find(old.encode())
        if at < 0:
            return None
        start = left.end_col_offset + at
        return self.spliced(right.lineno - 1, start, start + len(old), new)

    def with_line(self, line: int, text: str) -> str:
        return "\n".join([*self.lines[:line], text, *self.lines[line + 1 :]])

    def parses_with(self, edit: Edit) -> bool:
        """Whether the edit changes its line and leaves a program."""
        if edit.text == self.lines[edit.line] or "\n" in edit.text or not edit.text.strip():
            return False
        try:
            ast.parse(self.with_line(edit.line, edit.text))
        except UNREADABLE:
            return False
        return True


def variables(scope: ast.AST) -> tuple[str, ...]:
    """Arguments and assigned names of a function or module, sorted."""
    names = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    arguments = {n.arg for n in ast.walk(scope) if isinstance(n, ast.arg)}
    return tuple(sorted(names | arguments))


def _walk(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    stack = [(node, names)]
    while stack:
        found, known = stack.pop()
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            known = variables(found)
        yield found, known
        if not isinstance(found, ast.JoinedStr):
            stack += [(child, known) for child in ast.iter_child_nodes(found)]
