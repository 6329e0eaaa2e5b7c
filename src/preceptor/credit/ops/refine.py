r"""ReFIne: structured, self-referring and calibrated reasoning, four equal terms (abstract index 206).

    R = (correct + structure + references + calibration) / 4

structure: the tags of `TAGS`, opening and closing, appear in this order. references: a third for each of the names
`understanding`, `facts` and `plan` in the think block. calibration: `1 - (p - correct)^2`, p the confidence stated as
k/10; without a statement p = 0.5 and 1 less. From `train/grpo_ReFIne.py` of Trustworthy-ML-Lab.

Text rewards are pure functions; `scalars` gives what the row reads. That the confidence is looked for in the
self-assessment block, its last mention counting, and that a name is a whole word in any case: ours.
"""

from __future__ import annotations

import re

TAGS = ("understanding", "facts", "plan", "think", "final_answer", "self_assessment")
REFERRED = ("understanding", "facts", "plan")
_OUT_OF_TEN = re.compile(r"(?<![\d.])(-?\d{1,3}(?:\.\d{1,3})?)[ \t]{0,3}/[ \t]{0,3}10(?![\d.]\d|\d)")


def structure(text: str) -> float:
    """1 if all tags stand in order."""
    at = 0
    for tag in TAGS:
        for mark in (f"<{tag}>", f"</{tag}>"):
            at = text.find(mark, at)
            if at < 0:
                return 0.0
            at += len(mark)
    return 1.0


def references(text: str) -> float:
    """Share of the three names that the think block mentions."""
    think = _block(text, "think")
    return sum(re.search(rf"\b{name}\b", think, re.IGNORECASE) is not None for name in REFERRED) / len(
        REFERRED
    )


def confidence(text: str) -> float | None:
    """The stated confidence, in [0, 1]; None when there is none."""
    stated = _OUT_OF_TEN.findall(_block(text, "self_assessment"))
    return min(1.0, max(0.0, float(stated[-1]) / 10)) if stated else None


def calibration(stated: float | None, correct: float) -> float:
    """`1 - (p - correct)^2`; a missing statement counts as 0.5 and costs 1."""
    return 1.0 - (stated - correct) ** 2 if stated is not None else -((0.5 - correct) ** 2)


def reward(text: str, correct: float) -> float:
    return (correct + structure(text) + references(text) + calibration(confidence(text), correct)) / 4


def scalars(text: str, correct: float | None) -> dict[str, float | None]:
    """What the row reads of one rollout; an undecided one has no calibration."""
    return {
        "structure": structure(text),
        "references": references(text),
        "calibration": None if correct is None else calibration(confidence(text), correct),
    }


def _block(text: str, tag: str) -> str:
    start = text.find(f"<{tag}>")
    end = text.find(f"</{tag}>", start)
    return text[start + len(tag) + 2 : end] if 0 <= start < end else ""
