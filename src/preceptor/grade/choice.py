"""Multiple choice, A to E.

Reads a boxed letter, `Answer: (B)`, `The answer is B`, or a last line that holds only the letter. Naming a
second letter (`B or C`) is no answer: it would be right whichever is gold. A bare `A` must not be an article.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    whole_lines,
    yes_no,
)
from preceptor.trace import Verdict

_STATED = re.compile(r"\banswer[ \t]++is[ \t:]*+(?:option|choice)?[ \t]*+([^\n]*+)", re.IGNORECASE)
_LETTER = re.compile(
    r"(?:\\text\{|\\textbf\{|\\mathrm\{)?[*_]*[$\"']?"
    r"(?:\(([A-Ea-e])\)|\[([A-Ea-e])\]|(?:[Oo]ption |[Cc]hoice )?([A-E])(?=[\s).:,;*_}$\"']|\Z))"
)
_ARTICLE = re.compile(r"A[ \t]++(?!because\b|since\b|as\b|and\b|or\b|is\b)[a-z]")
_OTHER_LETTER = re.compile(r"(?:\bor\b|\band\b|,|/|&)\s*[*_]*\(?([A-E])(?![A-Za-z])")
_ALONE = re.compile(r"[*_$ ]*\(?([A-E])[).]?[*_$. ]*")


def extract(text: str, finished: bool = True) -> str | None:
    """The part of the text that states the choice, as written."""
    if has_box(text):
        return last_boxed(text, finished)
    marked = after_answer_marker(text, finished)
    if marked is not None:
        return marked
    text = whole_lines(text, finished)
    last = last_match(_STATED, text)
    if last is not None:
        return last[1].strip()
    line = text.rstrip().rpartition("\n")[2]
    return line.strip() if len(line) < 20 and _ALONE.fullmatch(line) else None


def letter(answer: str) -> str | None:
    """`A` to `E`, or None when the answer names none, or more than one."""
    answer = answer.strip()[:200]
    found = _LETTER.match(answer)
    if found is None or _ARTICLE.match(answer):
        return None
    chosen = (found[1] or found[2] or found[3]).upper()
    if any(other[1] != chosen for other in _OTHER_LETTER.finditer(answer, found.end())):
        return None
    return chosen


def canonical(answer: str) -> str:
    return letter(answer) or " ".join(answer.split())


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    wanted, chosen = letter(gold), letter(given)
    if wanted is None:
        return Verdict.UNDECIDED, f"{BAD_GOLD}: {clip(gold)} is not a choice"
    if chosen is None:
        return Verdict.INCORRECT, f"{NOT_AN_ANSWER}: {clip(given)} is not one choice"
    return yes_no(chosen == wanted, chosen, wanted)


CHOICE = Grader(extract, compare, canonical)
