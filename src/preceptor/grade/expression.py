"""Arithmetic written by a model, read without `eval`.

A recursive-descent parser with a bounded length and depth turns text into a tree; `evaluate` gives its exact
value as a fraction. The calculator and the countdown grader read plain arithmetic; the PRM800K rules also
read letters, roots and powers (`symbols=True`) and multiply what stands side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

MAX_CHARACTERS = 300
MAX_DEPTH = 40
MAX_BITS = 20_000
"""Largest numerator or denominator that a power may produce."""

_TOKEN = re.compile(r"[ \t]*(?:([0-9]+(?:\.[0-9]*)?|\.[0-9]+)|(sqrt|pi|[a-z])|(\*\*|[-+*/^()]))")


class ExpressionError(ValueError):
    """The text is not an expression, is too large, or has no value."""


@dataclass(frozen=True)
class Node:
    """A tree: `op` is one of `number name neg sqrt + - * / ^`."""

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction = Fraction(0)
    text: str = ""
    """A number or name as written."""


def parse(text: str, *, symbols: bool = False) -> Node:
    """The tree of `text`. Raises `ExpressionError` for anything but a bounded, complete expression."""
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"longer than {MAX_CHARACTERS} characters")
    parser = _Parser(list(_tokens(text.strip(), symbols)), symbols)
    tree = parser.sum(0)
    if parser.peek() is not None:
        raise ExpressionError(f"unexpected {parser.peek()!r}")
    return tree


def leaves(node: Node) -> list[Node]:
    """The numbers and names of the tree, left to right."""
    return [node] if not node.args else [leaf for arg in node.args for leaf in leaves(arg)]


def evaluate(node: Node) -> Fraction:
    """The exact value. Raises `ExpressionError` for names, roots, division by zero and huge powers."""
    if node.op == "number":
        return node.value
    if node.op in ("name", "sqrt"):
        raise ExpressionError(f"{node.text or node.op} has no rational value")
    values = [evaluate(arg) for arg in node.args]
    if node.op == "neg":
        return -values[0]
    left, right = values
    if node.op == "+":
        return left + right
    if node.op == "-":
        return left - right
    if node.op == "*":
        return left * right
    if node.op == "/":
        if right == 0:
            raise ExpressionError("division by zero")
        return left / right
    return _power(left, right)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.denominator != 1 or bits * abs(exponent) > MAX_BITS:
        raise ExpressionError("power is not rational or too large")
    if base == 0 and exponent < 0:
        raise ExpressionError("division by zero")
    return Fraction(base ** int(exponent))


def _tokens(text: str, symbols: bool) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or (found[2] and not symbols) or (found[3] in ("^", "**") and not symbols):
            raise ExpressionError(f"unexpected {text[at : at + 10]!r}")
        number, name, sign = found.groups()
        if number:
            yield "number", number
        elif name:
            yield "name", name
        else:
            yield "sign", "^" if sign == "**" else sign
        at = found.end()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], side_by_side: bool):
        self._tokens, self._at, self._side_by_side = tokens, 0, side_by_side

    def peek(self) -> str | None:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else None

    def _take(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise ExpressionError("incomplete")
        self._at += 1
        return self._tokens[self._at - 1]

    def sum(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}")
        tree = self._product(depth)
        while self.peek() in ("+", "-"):
            tree = Node(self._take()[1], (tree, self._product(depth)))
        return tree

    def _product(self, depth: int) -> Node:
        tree = self._signed(depth)
        while True:
            following = self.peek()
            if following in ("*", "/"):
                tree = Node(self._take()[1], (tree, self._signed(depth)))
            elif self._side_by_side and following is not None and following not in "+-)^":
                tree = Node("*", (tree, self._power(depth)))
            else:
                return tree

    def _signed(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ExpressionError(f"nested deeper than {MAX_DEPTH}")
        if self.peek() == "-":
            self._take()
            return Node("neg", (self._signed(depth + 1),))
        if self.peek() == "+":
            self._take()
            return self._signed(depth + 1)
        return self._power(depth)

    def _power(self, depth: int) -> Node:
        base = self._atom(depth)
        if self.peek() == "^":
            self._take()
            return Node("^", (base, self._signed(depth + 1)))
        return base

    def _atom(self, depth: int) -> Node:
        kind, text = self._take()
        if kind == "number":
            return Node("number", value=Fraction(text), text=text)
        if text == "(":
            inside = self.sum(depth + 1)
            if self._take()[1] != ")":
                raise ExpressionError("unbalanced parentheses")
            return inside
        if text == "sqrt" and self.peek() == "(":
            return Node("sqrt", (self._atom(depth),))
        if kind == "name" and text != "sqrt":
            return Node("name", text=text)
        raise ExpressionError(f"unexpected {text!r}")
