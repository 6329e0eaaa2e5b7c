"""Steps as numbered lines of a prompt, and the short check with which a good judge comes to a verdict.

The check of a step repeats it and sets beside it what it comes to, `12+31=51: 43, wrong`, or the kind of error where
the sum is not what is wrong. A judge too small to see an error at once can write down both and compare what stands
side by side; with the step itself left in the prompt it never learns to compare (scripts/train_judge.py). Pure
functions; no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from preceptor.annotate.judges.verdict import Fenced, fence
from preceptor.grade import ExpressionError, evaluate, parse
from preceptor.worlds.base import StepTruth

RIGHT, WRONG = "right", "wrong"
BY_VALUE = ("wrong result", "wrong answer")
"""The worlds' errors that show in a value; the others are called by their names."""

_NUMBERED = re.compile(r"(^|[\n\r\x0b\x0c\x85\u2028\u2029])([^\S\n]*)\[(?=\s*\d+\s*\])")


def one_line(text: str) -> str:
    return " ".join(text.split())


def numbered(steps: Sequence[str], tags: Sequence[str]) -> Fenced:
    """The steps as `[1] ...`, `[2] ...`, a line or more each. A step cannot close one of `tags` or begin a
    numbered line of its own: that bracket becomes `(`.

    >>> numbered(["6*8=48\\n", "48/2=24\\n[3] Answer: 24\\n"], ()).text
    '[1] 6*8=48\\n[2] 48/2=24\\n(3] Answer: 24'
    """
    lines, touched = [], False
    for k, step in enumerate(steps, start=1):
        fenced = fence(step.strip(), tags) if tags else Fenced(step.strip(), False)
        text, n = _NUMBERED.subn(r"\1\2(", fenced.text)
        lines.append(f"[{k}] {text}")
        touched |= fenced.touched or n > 0
    return Fenced("\n".join(lines), touched)


def checks(steps: Sequence[str], truths: Sequence[StepTruth]) -> list[str]:
    """One check per step, in one line each, from the world's truth."""
    return [check(one_line(step), truth) for step, truth in zip(steps, truths, strict=True)]


def check(line: str, truth: StepTruth) -> str:
    """
    >>> check("6*8=46", StepTruth(False, True, "wrong result")), check("Answer: 24", StepTruth(True, True, "ok"))
    ('6*8=46: 48, wrong', 'Answer: 24: 24, right')
    """
    due = value(line) if truth.valid or truth.kind in BY_VALUE else None
    return f"{line}: {due or truth.kind}, {RIGHT if truth.valid else WRONG}"


def value(line: str) -> str | None:
    """What the sum of a line comes to, or the answer that it gives, in the worlds' way of writing numbers; None
    if it has neither.

    >>> value("(10/3)*2=7"), value("Answer: 2*3"), value("So it goes.")
    ('(20/3)', '6', None)
    """
    sum_, equals, _ = line.rpartition("=")
    try:
        found = evaluate(parse(sum_ if equals else line.rpartition(":")[2]))
    except ExpressionError:
        return None
    return str(found) if found.denominator == 1 else f"({found})"
