"""The calculator notes `<<48/2=24>>` inside GSM8K solutions, checked one by one.

Each note states a sum and its value, so it is a step label for free: exact, cheap, and silent about whether
the sum was the right one to do. Only digits and `+ - * / . ( )` are read; no `eval`, bounded length and
depth, exact fractions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from preceptor.grade.expression import ExpressionError, evaluate, parse

_STATED = re.compile(r"[$ ]*(-?)[$ ]*([0-9]+(?:\.([0-9]*))?|\.([0-9]+)) *")
FLOAT_NOISE = Fraction(1, 10**9)


@dataclass(frozen=True)
class CalculatorNote:
    """One note: `text[start:end]` is `<<expression=stated>>`."""

    start: int
    end: int
    expression: str
    stated: str
    is_right: bool | None
    """None when either side cannot be read (letters, units, percent signs, a chain of `=`)."""


def calculator_notes(text: str) -> Iterator[CalculatorNote]:
    """Every closed note, in order.

    >>> [(n.expression, n.stated, n.is_right) for n in calculator_notes("<<2/3=0.67>>0.67, <<1+1=3>>")]
    [('2/3', '0.67', True), ('1+1', '3', False)]
    """
    for start, end in _spans(text):
        expression, _, stated = text[start + 2 : end - 2].partition("=")
        yield CalculatorNote(start, end, expression, stated, states_its_value(expression, stated))


def strip_calculator(text: str) -> str:
    """The text without its notes: everything from `<<` to the next `>>`. An open note stays."""
    kept, at = [], 0
    for start, end in _spans(text):
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def states_its_value(expression: str, stated: str) -> bool | None:
    """Whether `stated` is the value of `expression`; None when one of them cannot be read.

    A whole number must be exact. A stated decimal may be the value rounded or cut at its last digit: it must
    lie less than one unit of that digit away (2/3 = 0.67 and 0.66 are right, 0.68 is not), or within the
    noise of binary floating point (real notes say 0.5-0.4=0.09999999999999998).
    """
    number = _STATED.fullmatch(stated.replace(",", ""))
    if number is None or len(stated) > 100:
        return None
    try:
        value = evaluate(parse(expression.replace(",", "").replace("$", "")))
    except ExpressionError as error:
        return False if str(error) == "division by zero" else None
    said = Fraction(number[1] + number[2])
    decimals = len(number[3] or number[4] or "")
    away = max(Fraction(1, 10**decimals), FLOAT_NOISE * max(Fraction(1), abs(value)))
    return value == said or (decimals > 0 and abs(value - said) < away)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    at = 0
    while (start := text.find("<<", at)) >= 0 and (close := text.find(">>", start)) >= 0:
        at = close + 2
        yield start, at
