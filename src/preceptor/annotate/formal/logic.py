"""A strict reader of FoVer's formulas, e.g. `(x): ({A}x & ¬{B}x) -> {C}x`, into a tree of our own.

`{A}` is a predicate (capitals), `{a}` a constant, `x` a variable; `¬ & v -> <->` or `~ ∧ ∨ → ↔`; `(x):` for all,
`(Ex):` for some, as far to the right as possible. `&` and `v` side by side need parentheses, and so do two
arrows; arrows bind weakest. Reading is linear, bounded in length and depth, and never evaluates anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH, MAX_DEPTH = 4_000, 60

_TOKEN = re.compile(
    r"\s*(?:(?P<quantifier>\((?P<some>E?)(?P<bound>[uw-z])\)\s*:)|(?P<name>\{[A-Za-z]{1,16}\})"
    r"|(?P<iff><->|↔)|(?P<implies>->|→)|(?P<and>[&∧])|(?P<or>[v∨])|(?P<not>[¬~])"
    r"|(?P<open>\()|(?P<close>\))|(?P<variable>[uwxyz]))"
)


class LogicError(ValueError):
    """A text that is no formula, or no step."""


@dataclass(frozen=True)
class Atom:
    """A predicate with its arguments: constants (`{a}`) and variables (`x`)."""

    predicate: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Not:
    body: Formula


@dataclass(frozen=True)
class Binary:
    """`op` is "and", "or", "implies" or "iff"."""

    op: str
    left: Formula
    right: Formula


@dataclass(frozen=True)
class Quantified:
    """`some` is False for "for all"."""

    some: bool
    variable: str
    body: Formula


Formula = Atom | Not | Binary | Quantified


def parse(text: str) -> Formula:
    """The formula that `text` is, the whole of it. Raises `LogicError`.

    >>> parse("{A} v ¬{B}").right
    Not(body=Atom(predicate='B', arguments=()))
    """
    if len(text) > MAX_LENGTH:
        raise LogicError(f"a formula of {len(text)} characters, expected at most {MAX_LENGTH}")
    reader = _Reader(text)
    formula = reader.formula(0, frozenset())
    if reader.kind:
        raise LogicError(f"unexpected {reader.text!r}")
    return formula


class _Reader:
    """Recursive descent with one token of look-ahead: `kind` and `text`; the empty kind is the end."""

    def __init__(self, source: str):
        self.source, self.at = source.rstrip(), 0
        self.advance()

    def advance(self) -> None:
        if self.at >= len(self.source):
            self.kind = self.text = ""
            return
        found = _TOKEN.match(self.source, self.at)
        if found is None:
            raise LogicError(f"cannot read {self.source[self.at : self.at + 20]!r}")
        kind = next(k for k in ("quantifier", *found.groupdict()) if found[k] is not None)
        self.kind, self.text, self.at = kind, found[0].strip(), found.end()
        if kind == "quantifier":
            self.some, self.bound = bool(found["some"]), found["bound"]

    def formula(self, depth: int, bound: frozenset[str]) -> Formula:
        left = self.joined(depth, bound)
        if self.kind not in ("implies", "iff"):
            return left
        op = self.kind
        self.advance()
        right = self.joined(depth, bound)
        if self.kind in ("implies", "iff"):
            raise LogicError("two arrows side by side, expected parentheses")
        return Binary(op, left, right)

    def joined(self, depth: int, bound: frozenset[str]) -> Formula:
        left, op = self.unary(depth, bound), self.kind
        while self.kind in ("and", "or"):
            if self.kind != op:
                raise LogicError("'&' and 'v' side by side, expected parentheses")
            self.advance()
            left = Binary(op, left, self.unary(depth, bound))
        return left

    def unary(self, depth: int, bound: frozenset[str]) -> Formula:
        if depth > MAX_DEPTH:
            raise LogicError(f"nested deeper than {MAX_DEPTH}")
        kind, text = self.kind, self.text
        if kind == "quantifier":
            some, variable = self.some, self.bound
            self.advance()
            return Quantified(some, variable, self.formula(depth + 1, bound | {variable}))
        if kind in ("not", "open"):
            self.advance()
            if kind == "not":
                return Not(self.unary(depth + 1, bound))
            inner = self.formula(depth + 1, bound)
            if self.kind != "close":
                raise LogicError(f"got {self.text or 'the end'!r}, expected ')'")
            self.advance()
            return inner
        if kind == "name" and text[1:-1].isupper():
            self.advance()
            return Atom(text[1:-1], self.arguments(bound))
        raise LogicError(f"got {text or 'the end'!r}, expected a formula")

    def arguments(self, bound: frozenset[str]) -> tuple[str, ...]:
        found: list[str] = []
        while self.kind == "variable" or (self.kind == "name" and self.text[1:-1].islower()):
            if self.kind == "variable" and self.text not in bound:
                raise LogicError(f"the variable {self.text} is bound by no quantifier")
            found.append(self.text)
            self.advance()
        return tuple(found)
