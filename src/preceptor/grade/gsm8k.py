"""The GSM8K rule (Cobbe et al., arXiv 2110.14168): `#### 72`, commas deleted, string equality.

Deliberately strict: `72.0` is not `72`, and `#### $72` holds no answer. Also reads the last line `A: 72` of
OpenAI's example model solutions. The gold answer may be the number or the whole worked solution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preceptor.grade.grader import Grader, Outcome, whole_lines, yes_no

_HASHES = re.compile(r"#### (-?[0-9.,]+)")
_LAST_LINE = re.compile(r"A: (-?[0-9.,]+)")
_NUMBER = re.compile(r"-?[0-9.,]+")


def extract(text: str, finished: bool = True) -> str | None:
    """The first `#### N`, else N of a last line `A: N`; as written."""
    text = whole_lines(text, finished)
    found = _HASHES.search(text) or _LAST_LINE.fullmatch(text.rstrip().rpartition("\n")[2])
    return found[1] if found and re.search(r"[0-9]", found[1]) else None


def canonical(answer: str) -> str:
    return answer.strip().replace(",", "")


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    return yes_no(canonical(given) == canonical(gold), given, gold)


def read_gold(gold: str) -> str | None:
    return gold.strip() if _NUMBER.fullmatch(gold.strip()) else extract(gold)


GSM8K = Grader(extract, compare, canonical, read_gold)
