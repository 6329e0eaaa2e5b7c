"""The exact truth about every line of an attempt at a word problem.

State: for each node of the problem the value *written* for it so far, or none, and the answer once given.
A line is matched to the node it stands for, that node's value is then written for good, and:

- a line is **valid** when it does a pending node's operation on the values written for its inputs and the
  result is right; the answer line is valid when it repeats the value written for the last node;
- the answer is **reachable** when carrying on rightly from the written values gives the gold answer (once
  the answer is given: when it equals the gold answer).

A wrong line can leave the answer reachable (an unneeded step, `4-2` for `4/2`) or even repair an earlier
one (going on with the number that should have been written), and a line that is right given a wrong one
before it is valid: validity and reachability are two questions. Reachability is by right steps that do not
rewrite a quantity; a policy that rewrites lines or guesses can do better, and how often it does is a fact
about that policy.

    kind               the line ...
    wrong result       does the right operation on the right numbers, and errs
    wrong operation    takes the right two numbers, and does something else with them
    wrong operand      does the right operation with one number of the text that does not belong there
    wrong copy         uses (or answers) a number that stands nowhere before
    unneeded step      is no step of this problem, or one already done
    premature answer   answers before the last node is written
    after the answer   comes after an answer
    unparseable        is neither an operation nor an answer
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from preceptor.trace import Problem
from preceptor.worlds.base import StepTruth

_LINE = re.compile(r"(-?\d{1,12})\s*([-+*/])\s*(-?\d{1,12})\s*=\s*(-?\d{1,12})", re.ASCII)
_ANSWER = re.compile(r"Answer:\s*(-?\d{1,12})", re.ASCII)


def _apply(op: str, a: Fraction, b: Fraction) -> Fraction | None:
    if op == "/":
        return a / b if b else None
    return {"+": a + b, "-": a - b, "*": a * b}[op]


@dataclass
class State:
    """What has been written so far. Two attempts with equal states have equal truths ahead of them."""

    givens: list[int]
    nodes: list[tuple[str, str, str]]
    gold: int
    written: dict[int, Fraction] = field(default_factory=dict)
    """Node -> the value written for it, right or wrong."""
    extras: set[Fraction] = field(default_factory=set)
    """Results that stand in the text but belong to no node."""
    answer: int | None = None

    @classmethod
    def of(cls, problem: Problem) -> State:
        nodes = [(op, left, right) for op, left, right in problem.meta["nodes"]]
        return cls(list(problem.meta["givens"]), nodes, int(problem.gold or 0))

    def value(self, ref: str) -> Fraction | None:
        """Written value of "g0" (a given) or "n0" (a node); None while it is not written."""
        index = int(ref[1:])
        return Fraction(self.givens[index]) if ref[0] == "g" else self.written.get(index)

    def pending(self) -> list[int]:
        """Nodes not yet written whose inputs are."""
        return [
            k
            for k, (_, left, right) in enumerate(self.nodes)
            if k not in self.written and self.value(left) is not None and self.value(right) is not None
        ]

    def inputs(self, k: int) -> tuple[Fraction | None, Fraction | None]:
        _, left, right = self.nodes[k]
        return self.value(left), self.value(right)

    def does(self, k: int, a: Fraction, op: str, b: Fraction) -> bool:
        """Whether `a op b` is node k's operation on the values written for its inputs."""
        if op != self.nodes[k][0]:
            return False
        return self.inputs(k) in ((a, b), (b, a)) if op in "+*" else self.inputs(k) == (a, b)

    def known(self) -> set[Fraction]:
        return {Fraction(g) for g in self.givens} | set(self.written.values()) | self.extras

    def carried(self) -> Fraction | None:
        """The answer that right steps from here lead to; None if one of them divides by zero."""
        values = dict(self.written)
        for k, (op, left, right) in enumerate(self.nodes):
            if k in values:
                continue
            a, b = (
                Fraction(self.givens[int(r[1:])]) if r[0] == "g" else values.get(int(r[1:]))
                for r in (left, right)
            )
            result = None if a is None or b is None else _apply(op, a, b)
            if result is None:
                return None
            values[k] = result
        return values[len(self.nodes) - 1]

    @property
    def reachable(self) -> bool:
        return self.gold == (self.carried() if self.answer is None else self.answer)

    def take(self, line: str) -> StepTruth:
        """Judge one line and move on to the state after it."""
        kind = self._kind(line.strip())
        return StepTruth(kind == "ok", self.reachable, kind)

    def _kind(self, line: str) -> str:
        if self.answer is not None:
            return "after the answer"
        if found := _ANSWER.fullmatch(line):
            return self._answer(int(found[1]))
        if not (found := _LINE.fullmatch(line)):
            return "unparseable"
        a, op, b, c = Fraction(found[1]), found[2], Fraction(found[3]), Fraction(found[4])
        pending = self.pending()
        for k in pending:
            if self.does(k, a, op, b):
                self.written[k] = c
                return "ok" if _apply(op, a, b) == c else "wrong result"
        return self._wrong(pending, a, op, b, c)

    def _answer(self, value: int) -> str:
        self.answer = value
        last = self.written.get(len(self.nodes) - 1)
        if last is None:
            return "premature answer"
        return "ok" if last == value else "wrong copy"

    def _wrong(self, pending: list[int], a: Fraction, op: str, b: Fraction, c: Fraction) -> str:
        """Name the error of an operation line that is no pending node's, and write what it spoils."""
        if any(self.does(k, a, op, b) for k in self.written):
            self.extras.add(c)
            return "unneeded step"
        for k in pending:
            if sorted([a, b]) == sorted(v for v in self.inputs(k) if v is not None):
                self.written[k] = c
                return "wrong operation"
        known = self.known()
        copied = a in known and b in known
        shares = [k for k in pending if a in self.inputs(k) or b in self.inputs(k)]
        same_op = [k for k in shares if self.nodes[k][0] == op]
        spoiled = same_op if copied else same_op or shares
        if spoiled:
            self.written[spoiled[0]] = c
            return "wrong operand" if copied else "wrong copy"
        self.extras.add(c)
        return "unneeded step" if copied else "wrong copy"


def judge(problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
    """The truth about each line of an attempt, in order."""
    state = State.of(problem)
    return [state.take(step) for step in steps]
