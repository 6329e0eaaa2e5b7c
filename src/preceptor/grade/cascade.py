r"""The default grader for mathematics: exact numbers, MATH rules, PRM800K rules, then Math-Verify.

No single grader dominates; each accepts equal answers that the others miss, and each has high precision, so
one vote accepts. Cheap rules come first and the votes are kept in the reason. A gold interval or tuple is
left to PRM800K and Math-Verify, which respect brackets. `5\text{ or }6` is a list here: the MATH rule takes
what follows `\text{ ` for a unit and would accept it for 5. The answer is the last box; without any box, what
follows the last `Answer:` or `answer is`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from preceptor.grade import math_verify, prm800k
from preceptor.grade.boxed import has_box, last_boxed
from preceptor.grade.expression import ExpressionError, evaluate, parse
from preceptor.grade.grader import (
    DIFFERENT,
    EQUAL,
    NOT_AN_ANSWER,
    Grader,
    Outcome,
    after_answer_marker,
    clip,
    last_match,
    whole_lines,
)
from preceptor.grade.math_is_equiv import is_equiv, read_gold
from preceptor.trace import Verdict

_STATED = re.compile(r"\banswer[ \t]++is[ \t:]*+([^\n]++)", re.IGNORECASE)
_HOPE = re.compile(r"\.?[ ]*I hope[^\n]*\Z")
_DOLLARS = re.compile(r"\$+([^$]+)\$+|\\\((.+)\\\)|\\\[(.+)\\\]")
_RATIONAL = re.compile(r"(-?)(?:([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)|\\[dt]?frac\{([0-9]+)\}\{([0-9]+)\})")
_SEVERAL = re.compile(r"\\text ?\{ *(?:or|and) *\}")
_TAKEN_BACK = re.compile(r"\\text ?\{[^{}]*\b(?:or|and|not|wrong|incorrect|no|false)\b", re.IGNORECASE)
_NAMED = re.compile(r"[a-zA-Z] ?= ?(?=[^=]+\Z)")


def extract(text: str, finished: bool = True) -> str | None:
    """The last box, else the stated answer without its `$`, as written."""
    if has_box(text):
        return last_boxed(text, finished)
    stated = after_answer_marker(text, finished)
    if stated is None:
        last = last_match(_STATED, whole_lines(text, finished))
        if last is None:
            return None
        stated = last[1]
    stated = _HOPE.sub("", stated.strip()).strip().removesuffix(".")
    bare = _DOLLARS.fullmatch(stated)
    return next(part for part in bare.groups() if part is not None).strip() if bare else stated


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    """Correct when one rule accepts; undecided when none does and one reached no verdict."""
    if not given.strip():
        return Verdict.INCORRECT, f"{DIFFERENT}: got an empty answer"
    said, wanted = _rational(given), _rational(gold)
    if said is not None and wanted is not None:
        return _outcome([("exact", said == wanted, "")], given, gold)
    given = _SEVERAL.sub(" , ", given)
    if _TAKEN_BACK.search(given) and not _TAKEN_BACK.search(gold):
        return Verdict.INCORRECT, f"{NOT_AN_ANSWER}: {clip(given)} says more than one thing"
    votes: list[tuple[str, bool | None, str]] = []
    if gold.strip()[:1] not in ("(", "["):
        votes.append(("math_is_equiv", is_equiv(given, gold), ""))
    for name, rule in (("prm800k", prm800k.grade_answer), ("math_verify", math_verify.verify)):
        if any(equal for _, equal, _ in votes):
            break
        reply = rule(given, gold)
        votes.append((name, reply.equal, reply.why))
    return _outcome(votes, given, gold)


def _outcome(votes: list[tuple[str, bool | None, str]], given: str, gold: str) -> Outcome:
    words = {True: "yes", False: "no"}
    shown = ", ".join(f"{name} {why if equal is None else words[equal]}" for name, equal, why in votes)
    if any(equal for _, equal, _ in votes):
        return Verdict.CORRECT, f"{EQUAL}: {shown}"
    failed = [why for _, equal, why in votes if equal is None]
    if failed:
        return Verdict.UNDECIDED, f"{failed[0]}: {shown}"
    return Verdict.INCORRECT, f"{DIFFERENT}: {shown}; got {clip(given)}, expected {clip(gold)}"


def _rational(answer: str) -> Fraction | None:
    """The value of a plain integer or fraction, on which all rules with exact arithmetic agree."""
    found = _RATIONAL.fullmatch(answer.strip()[:100])
    if found is None or len(answer) > 100 or (found[4] and not int(found[4])):
        return None
    value = Fraction(int((found[2] or found[3]).replace(",", "")), int(found[4] or 1))
    return -value if found[1] else value


def canonical(answer: str) -> str:
    """The exact value where it is rational, else the PRM800K normal form; a bare list is sorted."""
    text = prm800k.normalise(_NAMED.sub("", answer.strip(), count=1))
    parts = prm800k.split_tuple(text)
    if len(parts) > 1:
        return text[0] + ",".join(map(_value_text, parts)) + text[-1]
    if text[:1] not in ("(", "[") and "," in text:
        return ",".join(sorted(map(_value_text, text.split(","))))
    return _value_text(text)


def _value_text(text: str) -> str:
    try:
        return str(evaluate(parse(text, symbols=True)))
    except ExpressionError:
        return text


MATH = Grader(extract, compare, canonical, read_gold)
