"""Countdown and the Game of 24: the answer is an expression, checked by its rules and not by a gold string.

The problem's meta holds `numbers` and `target`. The expression after `Answer:` must use exactly that multiset
of numbers and have exactly that value (fractions, no rounding); a trailing `= 24` must state the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from preceptor.grade.expression import ExpressionError, evaluate, leaves, parse
from preceptor.grade.grader import (
    BAD_GOLD,
    DIFFERENT,
    EQUAL,
    NOT_AN_ANSWER,
    Grader,
    Outcome,
    after_answer_marker,
    clip,
)
from preceptor.trace import Verdict

_PLAIN = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"})


def extract(text: str, finished: bool = True) -> str | None:
    return after_answer_marker(text, finished)


def canonical(answer: str) -> str:
    return "".join(answer.translate(_PLAIN).partition("=")[0].split())


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    """`gold` is not used: any expression that obeys the rules is right."""
    try:
        numbers = sorted(Fraction(str(n)) for n in meta["numbers"])
        target = Fraction(str(meta["target"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = "the problem's meta needs 'numbers' and 'target'"
        return Verdict.UNDECIDED, f"{BAD_GOLD}: {reason} ({type(error).__name__})"
    expression, equals, stated = given.translate(_PLAIN).partition("=")
    try:
        tree = parse(expression.strip())
        value = evaluate(tree)
        said = evaluate(parse(stated.strip().rstrip("."))) if equals else target
    except ExpressionError as error:
        return Verdict.INCORRECT, f"{NOT_AN_ANSWER}: {error}"
    used = sorted(leaf.value for leaf in leaves(tree))
    if used != numbers or any("." in leaf.text for leaf in leaves(tree)):
        return Verdict.INCORRECT, f"{DIFFERENT}: uses {_listed(used)}, expected {_listed(numbers)}"
    if value != target or said != target:
        shown = value if value != target else said
        return Verdict.INCORRECT, f"{DIFFERENT}: gives {clip(str(shown))}, expected {target}"
    return Verdict.CORRECT, EQUAL


def _listed(numbers: list[Fraction]) -> str:
    return clip(" ".join(map(str, numbers)))


COUNTDOWN = Grader(extract, compare, canonical, needs_gold=False)
