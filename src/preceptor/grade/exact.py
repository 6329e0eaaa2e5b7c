"""Text after the last `Answer:`, compared word for word (white space aside, letter case kept)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preceptor.grade.grader import Grader, Outcome, after_answer_marker, yes_no


def extract(text: str, finished: bool = True) -> str | None:
    return after_answer_marker(text, finished)


def canonical(answer: str) -> str:
    return " ".join(answer.split())


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    return yes_no(canonical(given) == canonical(gold), given, gold)


EXACT = Grader(extract, compare, canonical)
