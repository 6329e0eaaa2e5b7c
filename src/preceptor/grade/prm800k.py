r"""The rules of the PRM800K grader (Lightman et al., arXiv 2305.20050), conservative on purpose.

Normalise, compare strings, split tuples, compare element by element: two plain fractions as strings (so
unreduced ones are wrong), an integer gold only with an integer, the rest symbolically, in a worker. Our
deviations close holes: expressions are parsed by `expression.py` and never run through `eval`; `a b/c` is
a mixed number but `10 000` is not 10+0; operands of `\frac` and `^` keep their grouping; a mixed number
keeps its sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from preceptor.grade import workers
from preceptor.grade.boxed import last_boxed
from preceptor.grade.expression import ExpressionError, evaluate, parse
from preceptor.grade.grader import Grader, Outcome, yes_no
from preceptor.grade.math_is_equiv import is_equiv, read_gold
from preceptor.grade.workers import Reply
from preceptor.trace import Verdict

_UNITS = re.compile(
    r"(?:degree|cm|centimeter|meter|mile|second|minute|hour|day|week|month|year|foot|feet|inch|yard)"
    r"(?:es)?s? *(?:\^[0-9]+)?"
)
_SCALES = (("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_SYMBOLS = (
    ("\\cdot", "*"),
    ("\\times", "*"),
    ("\\div", "/"),
    ("\\pi", "pi"),
    ("\\infty", "inf"),
    ("\\cup", "U"),
)
_OUTER_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,[0-9]{3})+")
_COMMA_IN_NUMBER = re.compile(r"(?<![0-9])([0-9]{1,3}(?:,[0-9]{3})+)(?![0-9])")
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,2})?")
_FRACTION = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?")
_MIXED = re.compile(r"([0-9]+) +([0-9]+/[0-9]+)")
_OPERAND = r"(?:\{([^{}]*)\}|([0-9a-zA-Z]))"
_FRAC = re.compile(r"\\frac *" + _OPERAND + " *" + _OPERAND)
_ROOT = re.compile(r"\\sqrt *" + _OPERAND)
_GROUPED_POWER = re.compile(r"\^ *\{([^{}]*)\}")
_REFUSED_POWER = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]+")


def grade_answer(given: str, gold: str) -> Reply:
    """Whether `given` is `gold`; undecided when the symbolic check ran out of time or memory."""
    if given.strip() and is_equiv(_without_text(given), _without_text(gold)):
        return Reply(True)
    said, wanted = normalise(given), normalise(gold)
    if not said or not wanted or said == wanted:
        return Reply(bool(said) and said == wanted)
    said_parts, wanted_parts = split_tuple(said), split_tuple(wanted)
    if len(said_parts) != len(wanted_parts):
        return Reply(False)
    if len(wanted_parts) > 1 and (said[0] != wanted[0] or said[-1] != wanted[-1]):
        return Reply(False)
    undecided = None
    for part, gold_part in zip(said_parts, wanted_parts):
        reply = _element_equal(part, gold_part)
        if reply.equal is False:
            return reply
        undecided = reply if reply.equal is None else undecided
    return undecided or Reply(True)


def _element_equal(given: str, gold: str) -> Reply:
    if _FRACTION.fullmatch(given) and _FRACTION.fullmatch(gold):
        return Reply(given == gold)
    if _is_integer(given) != _is_integer(gold):
        return Reply(False)
    return symbolically_equal(given, gold)


def symbolically_equal(given: str, gold: str) -> Reply:
    """Whether gold - given simplifies to 0. Refuses (False) towers of powers and more than two letters."""
    if _REFUSED_POWER.search(given) or _REFUSED_POWER.search(gold):
        return Reply(False)
    letters = set("".join(re.findall("[a-z]", (given + gold).replace("sqrt", "").replace("pi", ""))))
    if len(letters) > 2:
        return Reply(False)
    try:
        trees = [parse(text, symbols=True) for text in (given, gold)]
    except ExpressionError:
        return Reply(False)
    try:
        return Reply(evaluate(trees[0]) == evaluate(trees[1]))
    except ExpressionError:
        return workers.ask("difference_is_zero", given, gold)


def normalise(answer: str) -> str:
    """The PRM800K normal form: no units, currency, percent signs, braces, spaces or upper case."""
    text = _without_text(answer)
    text = text.replace("\\%", "%").replace("\\$", "$").replace("$", "").replace("%", "")
    text = text.replace(" or ", " , ").replace(" and ", " , ")
    for word, factor in _SCALES:
        text = text.replace(word, factor)
    text = _UNITS.sub("", text)
    text = re.sub(r"\^ *\\circ|\^ *\{ *\\circ *\}", "", text)
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1]
    text = text.replace(",\\!", "")
    text = _integer_text(text) or text
    if "\\" in text:
        text = _latex_to_text(text)
    text = re.sub(r"- *", "-", text)
    text = _MIXED.sub(r"(\1+\2)", text)
    text = _GROUPED_POWER.sub(r"^(\1)", text)
    text = re.sub(r"[{}\s]", "", text).lower()
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


def _without_text(answer: str) -> str:
    outer = _OUTER_TEXT.fullmatch(answer.strip())
    return outer[1].strip() if outer else answer.strip()


def split_tuple(text: str) -> list[str]:
    """The elements of `(a,b)` or `[a,b)`; anything else is one element."""
    text = _COMMA_IN_NUMBER.sub(lambda found: found[1].replace(",", ""), text)
    inside = text[1:-1]
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and not set(inside) & set("()[]"):
        return [part.strip() for part in inside.split(",")]
    return [text]


def _latex_to_text(text: str) -> str:
    text = re.sub(r"\\[dt]frac", r"\\frac", text).replace("\\left", "").replace("\\right", "")
    text = text.replace("\\frac", " \\frac")
    for _ in range(8):
        replaced = _ROOT.sub(lambda m: f"sqrt({m[1] or m[2] or ''})", text)
        replaced = _FRAC.sub(lambda m: f"{_group(m[1] or m[2])}/{_group(m[3] or m[4])}", replaced)
        if replaced == text:
            break
        text = replaced
    for command, sign in _SYMBOLS:
        text = text.replace(command, sign)
    text = re.sub(r"\\(?:text|mathrm|textbf|mathbf|mbox) *\{([^{}]*)\}", r"\1", text)
    return re.sub(r"\\[ ,;:!]", "", text).replace("\\{", "{").replace("\\}", "}").strip()


def _group(operand: str | None) -> str:
    operand = (operand or "").strip()
    return operand if re.fullmatch(r"[0-9.]*|[a-zA-Z]", operand) else f"({operand})"


def _is_integer(text: str) -> bool:
    return _integer_text(text.replace(",", "")) is not None


def _integer_text(text: str) -> str | None:
    """`72.0` -> `72`; None for anything that is not a number with a whole value."""
    text = text.strip()
    if len(text) > 100 or not _DECIMAL.fullmatch(text):
        return None
    value = Fraction(text)
    return str(value.numerator) if value.denominator == 1 else None


def canonical(answer: str) -> str:
    return normalise(answer)


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    reply = grade_answer(given, gold)
    return (Verdict.UNDECIDED, reply.why) if reply.equal is None else yes_no(reply.equal, given, gold)


PRM800K = Grader(last_boxed, compare, canonical, read_gold)
