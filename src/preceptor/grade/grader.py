"""What a grader is: three functions that stay apart, extract -> compare, and canonical for votes.

Reasons are short constants, so that they can be counted; a colon and a detail for people may follow. "No
answer found" and "different" are both incorrect and stay distinguishable.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.trace import Verdict

NO_GOLD = "no gold answer"
BAD_GOLD = "gold answer cannot be read"
NO_ANSWER = "no answer found"
NO_ANSWER_CUT = "no answer found (cut at the length limit)"
FAILED = "generation failed"
TOO_LONG = "answer too long"
EQUAL = "equal"
DIFFERENT = "different"
NOT_AN_ANSWER = "answer cannot be read"
TIMEOUT = "timeout"

Outcome = tuple[Verdict, str]
"""A verdict and its reason."""


def _as_written(gold: str) -> str | None:
    return gold


@dataclass(frozen=True)
class Grader:
    """One way to check an outcome."""

    extract: Callable[[str, bool], str | None]
    """(text, finished) -> the answer as written, or None. `finished` is False where sampling was cut at the
    length limit: an answer that the cut may have shortened is then not an answer."""
    compare: Callable[[str, str, Mapping[str, Any]], Outcome]
    """(answer, gold, the problem's meta) -> verdict and reason. Never raises on any text."""
    canonical: Callable[[str], str]
    """Answers with the same canonical string count as one in a vote."""
    read_gold: Callable[[str], str | None] = _as_written
    """The gold answer in the form `compare` takes; None when it cannot be read."""
    needs_gold: bool = True
    """False where the problem's meta alone decides."""
    max_length: int = 4_000
    """Longer answers are incorrect unless the gold answer is as long."""


def yes_no(equal: bool, given: str, gold: str) -> Outcome:
    if equal:
        return Verdict.CORRECT, EQUAL
    return Verdict.INCORRECT, f"{DIFFERENT}: got {clip(given)}, expected {clip(gold)}"


def clip(text: str, limit: int = 60) -> str:
    """A printable, bounded form of hostile text for reasons."""
    return ascii(text) if len(text) <= limit else ascii(text[:limit]) + "..."


def whole_lines(text: str, finished: bool) -> str:
    """The text without the line that the length limit cut."""
    return text if finished else text[: text.rfind("\n") + 1]


def last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(pattern.finditer(text), maxlen=1)), None)


_ANSWER = re.compile(r"\banswer(?:\*\*)?[ \t]*+[::](?:\*\*)?", re.IGNORECASE)


def after_answer_marker(text: str, finished: bool) -> str | None:
    """What follows the last `Answer:`, to the end of that line, or of the next line with text.

    None without a marker; the empty string when nothing follows it.
    """
    text = whole_lines(text, finished)
    last = last_match(_ANSWER, text)
    if last is None:
        return None
    return text[last.end() :].strip().partition("\n")[0].strip().removesuffix("**")
