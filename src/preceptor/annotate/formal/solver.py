"""Entailment by z3: do these premises, and nothing else, imply this conclusion?

Terms are built from our own parse tree. A predicate with another number of arguments is another predicate; the
domain is one uninterpreted sort (never empty). z3 is the optional extra `formal`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.annotate.formal.logic import Atom, Binary, Formula, Not, Quantified
from preceptor.errors import MissingExtra


def entails(premises: Sequence[Formula], conclusion: Formula, seconds: float = 180.0) -> bool | None:
    """Whether `premises AND NOT conclusion` is unsatisfiable; None when z3 does not know in `seconds`.

    Raises `MissingExtra` without z3.
    """
    z3 = load_z3()
    terms = _Terms(z3)
    solver = z3.Solver(ctx=terms.context)
    solver.set("timeout", max(1, int(seconds * 1000)))
    solver.add(*[terms.build(formula, {}) for formula in (*premises, Not(conclusion))])
    found = solver.check()
    return True if found == z3.unsat else False if found == z3.sat else None


def equivalent(left: Formula, right: Formula, seconds: float = 180.0) -> bool | None:
    """Whether two formulas say the same; None for unknown."""
    there = entails([left], right, seconds)
    return entails([right], left, seconds) if there else there


def load_z3() -> Any:
    try:
        import z3
    except ImportError as error:
        raise MissingExtra("labels of formal steps by z3", "formal") from error
    return z3


class _Terms:
    """Terms of one question, in a context of their own: questions in different threads do not meet."""

    def __init__(self, z3: Any):
        self.z3, self.context = z3, z3.Context()
        self.sort = z3.DeclareSort("Thing", self.context)
        self.truth = z3.BoolSort(self.context)

    def build(self, formula: Formula, bound: Mapping[str, Any]) -> Any:
        z3 = self.z3
        match formula:
            case Atom(predicate, arguments):
                terms = [bound[a] if a in bound else z3.Const(a, self.sort) for a in arguments]
                if not terms:
                    return z3.Bool(predicate, self.context)
                signature = [self.sort] * len(terms)
                return z3.Function(f"{predicate}/{len(terms)}", *signature, self.truth)(*terms)
            case Not(body):
                return z3.Not(self.build(body, bound))
            case Binary(op, left, right):
                a, b = self.build(left, bound), self.build(right, bound)
                joined = {"and": z3.And, "or": z3.Or, "implies": z3.Implies}.get(op)
                return a == b if joined is None else joined(a, b)
            case Quantified(some, variable, body):
                # A fresh constant: an inner quantifier may use the name again.
                own = z3.FreshConst(self.sort, variable)
                quantify = z3.Exists if some else z3.ForAll
                return quantify([own], self.build(body, {**bound, variable: own}))
