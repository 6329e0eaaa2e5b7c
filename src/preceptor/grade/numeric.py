"""One number, within a tolerance.

The answer is the last box, else what follows the last `Answer:`, else the last number of a finished text. It
must hold exactly one number (after its last `=`): `5 or 6` would otherwise be right twice. Two whole numbers
must be equal; otherwise the problem's meta may set `rel_tol` (default 1e-6, of the gold answer) and `abs_tol`
(default 0). `50%` is read as 0.5 or as 50, whichever the gold answer means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from preceptor.grade.boxed import has_box, last_boxed
from preceptor.grade.grader import (
    BAD_GOLD,
    NOT_AN_ANSWER,
    Grader,
    Outcome,
    after_answer_marker,
    clip,
    last_match,
    yes_no,
)
from preceptor.trace import Verdict

_SPAN = 400
"""Characters of an answer line that are read."""
_NUMBER = re.compile(
    r"(?<![0-9.,A-Za-z_])(?P<minus>[-−])?[$€£]?"
    r"(?:(?P<digits>[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?P<decimals>\.[0-9]++)?|(?P<bare>\.[0-9]++))"
    r"(?![.,]?[0-9])(?P<exponent>[eE][-+]?[0-9]{1,3}(?![0-9]))?(?:/(?P<below>[0-9]++))?(?P<percent>[ ]?\\?%)?"
)
_SCALE_WORD = re.compile(r"[ ](hundred|thousand|million|billion|trillion|dozen)\b", re.IGNORECASE)
_SCALES = {
    "dozen": 12,
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_NOT_THIS_NUMBER = re.compile(r"\b(?:minus|negative|sqrt)\b|[A-Za-z]\($|[√^*+×÷/]\s*$", re.IGNORECASE)
_MORE_THAN_A_NUMBER = re.compile(r"\s*(?:[²³^*+×÷/π√_]|[inxyz](?![A-Za-z]))")
_NOT_A_NUMBER = re.compile(
    r"[<>≤≥±≠]|\b(?:not|wrong|incorrect|or)\b|\\(?!text|mathrm|mathbf|boxed|quad)[A-Za-z]"
)


@dataclass(frozen=True)
class Quantity:
    value: Fraction
    percent: bool = False

    def meanings(self) -> tuple[Fraction, ...]:
        return (self.value, self.value / 100) if self.percent else (self.value,)


def extract(text: str, finished: bool = True) -> str | None:
    """The box, else the answer line's text, else the last number, as written."""
    if has_box(text):
        return last_boxed(text, finished)
    marked = after_answer_marker(text, finished)
    if marked is not None or not finished:
        return marked
    last = last_match(_NUMBER, text)
    return None if last is None else last[0].strip()


def read(answer: str) -> Quantity | None:
    """The one number of an answer; None when there is none, or more than one."""
    answer = answer[:_SPAN].rpartition("=")[2]
    answer = answer.replace("**", "").replace("{,}", ",").replace("{", " ").replace("}", " ")
    found = list(_NUMBER.finditer(answer))
    if len(found) != 1 or len(found[0][0]) > 100 or _NOT_A_NUMBER.search(answer):
        return None
    before, behind, part = answer[: found[0].start()], answer[found[0].end() :], found[0].groupdict()
    if _NOT_THIS_NUMBER.search(before) or _MORE_THAN_A_NUMBER.match(behind) or part["below"] == "0":
        return None
    digits = (part["digits"] or "0").replace(",", "")
    value = Fraction(digits + (part["decimals"] or part["bare"] or "") + (part["exponent"] or ""))
    value /= Fraction(part["below"] or 1) or 1
    if scale := _SCALE_WORD.match(behind):
        value *= _SCALES[scale[1].lower()]
    negative = part["minus"] or before.rstrip(" $€£\\").endswith(("-", "−"))
    return Quantity(-value if negative else value, bool(part["percent"]))


def canonical(answer: str) -> str:
    quantity = read(answer)
    return " ".join(answer.split()) if quantity is None else str(quantity.value) + "%" * quantity.percent


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    wanted, said = read(gold), read(given)
    if wanted is None:
        return Verdict.UNDECIDED, f"{BAD_GOLD}: {clip(gold)} is not one number"
    if said is None:
        return Verdict.INCORRECT, f"{NOT_AN_ANSWER}: {clip(given)} is not one number"
    relative = Fraction(str(meta.get("rel_tol", "1e-6")))
    absolute = Fraction(str(meta.get("abs_tol", "0")))
    same_unit = wanted.percent == said.percent
    pairs = (
        [(wanted.value, said.value)]
        if same_unit
        else [(a, b) for a in wanted.meanings() for b in said.meanings()]
    )
    return yes_no(any(_close(a, b, relative, absolute) for a, b in pairs), given, gold)


def _close(wanted: Fraction, said: Fraction, relative: Fraction, absolute: Fraction) -> bool:
    if wanted.denominator == said.denominator == 1:
        return abs(wanted - said) <= absolute
    return abs(wanted - said) <= max(absolute, relative * abs(wanted))


NUMERIC = Grader(extract, compare, canonical)
