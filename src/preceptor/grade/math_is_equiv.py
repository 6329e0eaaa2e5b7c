r"""The equivalence rule of the MATH data set (Hendrycks et al., arXiv 2103.03874).

Both answers pass one normaliser, then strings are compared. Deviation: a missing answer never equals
anything (the original calls two missing answers equal). Where the normaliser cannot cope (`\text{ ` twice,
an operand missing after `\sqrt`), the raw strings are compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preceptor.grade.boxed import last_boxed
from preceptor.grade.grader import Grader, Outcome, yes_no

_PLAIN_FRACTION = re.compile(r"(-?(?:0|[1-9][0-9]*))/(-?(?:0|[1-9][0-9]*))")


def is_equiv(given: str, gold: str) -> bool:
    """Whether the two answers are the same string after normalisation."""
    left, right = normalise(given), normalise(gold)
    return given == gold if left is None or right is None else left == right


def normalise(answer: str) -> str | None:
    """The MATH normal form; None where the rules do not apply."""
    text = answer.replace("\n", "").replace("\\!", "").replace("\\\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    text = text.replace("\\left", "").replace("\\right", "")
    text = text.replace("^{\\circ}", "").replace("^\\circ", "").replace("\\$", "")
    head, *units = text.split("\\text{ ")
    if len(units) > 1:
        return None
    text = head.replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not text:
        return text
    text = "0" + text if text.startswith(".") else text
    left, equals, right = text.partition("=")
    if equals and "=" not in right and len(left) <= 2:
        text = right
    rooted = _brace_roots(text)
    if rooted is None:
        return None
    text = _brace_fractions(rooted.replace(" ", ""))
    if text == "0.5":
        text = "\\frac{1}{2}"
    fraction = _PLAIN_FRACTION.fullmatch(text)
    return f"\\frac{{{fraction[1]}}}{{{fraction[2]}}}" if fraction else text


def _brace_roots(text: str) -> str | None:
    r"""`\sqrt3` -> `\sqrt{3}`; None where nothing follows the root."""
    head, *rest = text.split("\\sqrt")
    if not all(rest):
        return None
    return head + "".join(f"\\sqrt{r}" if r[0] == "{" else f"\\sqrt{{{r[0]}}}{r[1:]}" for r in rest)


def _brace_fractions(text: str) -> str:
    r"""`\frac12` -> `\frac{1}{2}`, `\frac1{b}` -> `\frac{1}{b}`; unchanged where an operand is missing."""
    head, *rest = text.split("\\frac")
    fixed = [head]
    for r in rest:
        if r.startswith("{"):
            fixed.append(r)
        elif len(r) < 2:
            return text
        elif r[1] == "{":
            fixed.append(f"{{{r[0]}}}{r[1:]}")
        else:
            fixed.append(f"{{{r[0]}}}{{{r[1]}}}{r[2:]}")
    return "\\frac".join(fixed)


def canonical(answer: str) -> str:
    return normalise(answer) or answer


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    return yes_no(bool(given) and is_equiv(given, gold), given, gold)


def read_gold(gold: str) -> str | None:
    r"""The gold answer, or the box of a whole reference solution."""
    return last_boxed(gold) if "\\boxed" in gold or "\\fbox" in gold else gold


MATH_IS_EQUIV = Grader(last_boxed, compare, canonical, read_gold)
