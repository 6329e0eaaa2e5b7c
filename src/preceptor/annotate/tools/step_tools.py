"""Tools that check what one step claims: right, wrong, or no verdict.

`Calculator` reads every `a op b = c`, exactly and without `eval`. `Symbolic` asks sympy, in the grader's worker
processes and under their clock: an identity is right, an equation that no number satisfies is wrong, a condition
(`x+3=5`) is neither. What a tool cannot read it passes over: silence is never "wrong". A claim may be true and the
step still useless: tools see sums, not plans. Left out: units, percent, inequalities, functions with long names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, Protocol

from preceptor.grade import ExpressionError, evaluate, parse, workers
from preceptor.grade.calculator import states_its_value
from preceptor.grade.expression import Node, leaves
from preceptor.grade.grader import clip
from preceptor.grade.prm800k import normalise
from preceptor.trace import Problem
from preceptor.usage import Usage


class Claim(NamedTuple):
    """One step and where it stands."""

    problem: Problem
    before: str
    step: str


@dataclass(frozen=True)
class Check:
    """What a tool found."""

    right: bool | None
    """None: it has no verdict."""
    said: str = ""
    """The reason, for people and for rationales."""
    usage: Usage = field(default_factory=Usage)


class StepTool(Protocol):
    """Checks steps, many at once."""

    @property
    def name(self) -> str: ...

    def check(self, claims: Sequence[Claim]) -> list[Check]:
        """One per claim, in order."""
        ...

    def to_record(self) -> dict[str, Any]:
        """What changes its verdicts."""
        ...


def checked(tools: Sequence[StepTool], claims: Sequence[Claim]) -> list[Check]:
    """Per claim the verdict of the first tool that has one; later tools are asked for the rest only."""
    found: list[Check] = [Check(None)] * len(claims)
    for tool in tools:
        open_ = [k for k, check in enumerate(found) if check.right is None]
        for k, check in zip(open_, tool.check([claims[k] for k in open_]) if open_ else [], strict=True):
            said = "; ".join(part for part in (found[k].said, f"{tool.name}: {check.said}") if part)
            found[k] = replace(check, said=said, usage=found[k].usage + check.usage)
    return found


def _combined(found: Sequence[tuple[str, bool | None]], what: str) -> Check:
    """Wrong if one claim is, right if one is and none is wrong."""
    wrong = [text for text, right in found if right is False]
    right = [text for text, verdict in found if verdict is True]
    if wrong:
        return Check(False, f"{', '.join(map(clip, wrong))} does not hold")
    if right:
        return Check(True, f"{', '.join(map(clip, right))} holds")
    return Check(None, f"no {what} to check")


MAX_STEP = 10_000
"""Characters of a step that are read."""
_SIGNS = (("\\times", "*"), ("\\cdot", "*"), ("\\div", "/"), ("×", "*"), ("·", "*"), ("÷", "/"), ("−", "-"))
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}")
_RUN = re.compile(r"[0-9.()$+\-*/= \t]+")
_LABEL = re.compile(r"^[ \t]*(?:step|part|case)[ \t]*\d+[ \t]*[-:.)]", re.IGNORECASE | re.MULTILINE)
_OPERATION = re.compile(r"[0-9)] *[-+*/]")
_LEFT_EDGE = set(" \t\n:;,<[{|>\"'`&")
_RIGHT_EDGE = _LEFT_EDGE | set(".!?]}")


@dataclass(frozen=True)
class Calculator:
    """Sums of plain numbers, by exact fractions; a stated decimal may be rounded (`states_its_value`)."""

    name: ClassVar[str] = "calculator"

    def check(self, claims: Sequence[Claim]) -> list[Check]:
        return [_combined(list(_sums(claim.step)), "sum") for claim in claims]

    def to_record(self) -> dict[str, Any]:
        return {"name": self.name}


def _sums(step: str) -> list[tuple[str, bool | None]]:
    """Every `left = right` between plain numbers of which one side does a sum, and whether it holds."""
    text = _FRACTION.sub(r"((\1)/(\2))", _LABEL.sub("", step[:MAX_STEP]))
    for sign, plain in _SIGNS:
        text = text.replace(sign, plain)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text.replace("\\$", "$"))
    text = re.sub(r"\.(?!\d)", ";", text)
    found: list[tuple[str, bool | None]] = []
    for run in (run for run in _RUN.finditer(text) if "=" in run[0]):
        sides = re.split("=+", run[0].replace("$", " "))
        if not _stands_alone(text, run.start(), sides[0]):
            sides[0] = ""
        if not _ends_there(text, run.end(), sides[-1]):
            sides[-1] = ""
        whole = [_balanced(side.strip()) for side in sides]
        for a, b in pairwise(whole):
            if a and b and (_OPERATION.search(a) or _OPERATION.search(b)):
                found.append((f"{a}={b}", _same_value(a, b)))
    return found


def _stands_alone(text: str, start: int, side: str) -> bool:
    """Whether nothing in front of the first side may belong to it (`x - 3`, `2^3`, `half of 30`, `6:3`)."""
    before = text[:start].rstrip(" \t")
    if not before or before[-1] == "\n":
        # not so a list item, or a sum that goes on from the line before
        return not re.match(r"\s*(?:[+*/]|-\s)", side)
    if side[:1] in (" ", "\t"):
        sound = not before[-1].isalnum() or _OPERATION.search(side) is not None
    else:
        sound = text[start - 1] in _LEFT_EDGE and not re.fullmatch(r"\d:", text[max(0, start - 2) : start])
    return sound and side.lstrip()[:1] not in ("+", "-", "*", "/")


def _ends_there(text: str, end: int, side: str) -> bool:
    """Whether nothing behind the last side may belong to it (`7x`, `7 x`, `7%`)."""
    after = text[end : end + 2]
    if not after:
        return True
    if side[-1:] in (" ", "\t"):
        return after[0] not in "\\^%_" and not re.fullmatch(r"[A-Za-z](?![A-Za-z])", after.strip()[:2])
    return after[0] in _RIGHT_EDGE


def _balanced(side: str) -> str:
    while side.startswith("(") and side.count("(") > side.count(")"):
        side = side[1:].lstrip()
    while side.endswith(")") and side.count(")") > side.count("("):
        side = side[:-1].rstrip()
    return side


def _same_value(left: str, right: str) -> bool | None:
    for expression, stated in ((left, right), (right, left)):
        if not _OPERATION.search(stated):
            return states_its_value(expression, stated)
    try:
        return evaluate(parse(left)) == evaluate(parse(right))
    except ExpressionError:
        return None


_MATH = re.compile(r"\$\$?([^$]+)\$\$?|\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]")
_PLAIN_LINE = re.compile(r"[0-9a-zA-Z.()+\-*/^= \t]+")
_KNOWN_WORDS = re.compile(r"sqrt|pi")
_POINTS = (0, 1, 2, 5)


@dataclass(frozen=True)
class Symbolic:
    """Equations with letters, roots and powers, by sympy: those between math signs, and lines that are one."""

    name: ClassVar[str] = "symbolic"

    def check(self, claims: Sequence[Claim]) -> list[Check]:
        with ThreadPoolExecutor(workers.pool().size) as threads:
            found = list(threads.map(lambda claim: [(e, _holds(e)) for e in _equations(claim.step)], claims))
        return [_combined(each, "equation") for each in found]

    def to_record(self) -> dict[str, Any]:
        return {"name": self.name}


def _equations(step: str) -> list[str]:
    step = step[:MAX_STEP]
    spans = ["".join(part or "" for part in m.groups()) for m in _MATH.finditer(step)]
    lines = [line.strip() for line in step.splitlines() if _PLAIN_LINE.fullmatch(line.strip())]
    texts = [text.replace("&", "").strip().rstrip(".,;") for text in (*spans, *lines)]
    sides = [[side.strip() for side in text.split("=")] for text in texts if not re.search(r"[<>≤≥≠≈]", text)]
    return [f"{a}={b}" for chain in sides for a, b in pairwise(chain) if a and b]


def _holds(equation: str) -> bool | None:
    """True for an identity, False for what can never hold, None for the rest and for what cannot be read."""
    sides = [normalise(side) for side in equation.split("=")]
    if re.search("[A-Z]", equation) or any(re.search("[a-z]{2}", _KNOWN_WORDS.sub("", s)) for s in sides):
        return None
    try:
        left, right = (parse(side, symbols=True) for side in sides)
    except ExpressionError:
        return None
    said = workers.ask("difference_is_zero", sides[0], sides[1])
    if said.equal is None or said.why:
        return None
    names = sorted({leaf.text for leaf in leaves(Node("+", (left, right))) if leaf.op == "name"} - {"pi"})
    if said.equal or not names:
        return True if said.equal else None if "." in equation else False
    apart = _constant_apart(left, right, names)
    if not apart or "name" in (left.op, right.op):
        return None
    moved = workers.ask(
        "difference_is_zero", sides[0], f"({sides[1]})+({apart.numerator}/{apart.denominator})"
    )
    return False if moved.equal and not moved.why else None


def _constant_apart(left: Node, right: Node, names: Sequence[str]) -> Fraction | None:
    """left - right if that is the same number at a few points, else None."""
    try:
        apart = {
            evaluate(_at(left, values)) - evaluate(_at(right, values))
            for point in _POINTS
            for values in [{name: Fraction(point + 7 * k) for k, name in enumerate(names)}]
        }
    except ExpressionError:
        return None
    return apart.pop() if len(apart) == 1 else None


def _at(node: Node, values: dict[str, Fraction]) -> Node:
    if node.op == "name" and node.text in values:
        return Node("number", value=values[node.text])
    return replace(node, args=tuple(_at(arg, values) for arg in node.args))
