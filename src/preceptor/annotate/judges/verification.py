"""Step-by-step verifications as text: grammar, reader, writers. Used by `spark.py`; pure, no model.

    verification = { "Step" k ":" CHECK "," ("right" | "wrong") } "Verdict:" ("right" | "wrong at" k)
    critique     = { "Step" k ":" CHECK "," ("agree" | "disagree") } "Critique:" ("agree" | "disagree at" k)

One line each, k from 1, CHECK the step and what it comes to; for the critique of a verification, agreement with its
line k. Other lines are thoughts and are skipped. The verdict is the last word of its line or it is unread; so
is a step with two verdicts that differ. The place in the last line may be absent; it is not read if it
contradicts the steps, which is flagged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.annotate.judges.checks import checks
from preceptor.generation import Continuation
from preceptor.trace import Finish, Problem
from preceptor.worlds.base import StepTruth

RIGHT_WRONG = ("right", "wrong")
AGREE = ("agree", "disagree")
VERDICT, CRITIQUE = "Verdict", "Critique"
STEP_UNREAD, VERDICT_UNREAD, RANGE = "unread-step", "unread-verdict", "step-out-of-range"
CONTRADICTION, INCONSISTENT, CUT = "two-verdicts", "inconsistent-verdict", "cut-verification"


@dataclass(frozen=True)
class Verification:
    """One verification as read, one entry per step."""

    steps: tuple[bool | None, ...]
    verdict: bool | None
    """Of the whole solution; None when it cannot be read."""
    checks: tuple[str | None, ...]
    text: str = ""
    flags: tuple[str, ...] = ()
    """`unread-step` (a line of a step without a verdict, or no line), `two-verdicts`, `step-out-of-range` and
    `unread-verdict`, once per case; `inconsistent-verdict` where steps and verdict contradict each other;
    `cut-verification` or the kind of failure where nothing was read."""

    @property
    def whole(self) -> bool:
        """Whether every step and the verdict were read, and they agree."""
        return None not in self.steps and self.verdict is all(self.steps) and INCONSISTENT not in self.flags


def read_verification(
    text: str, steps: int, words: tuple[str, str] = RIGHT_WRONG, end: str = VERDICT
) -> Verification:
    """
    >>> read_verification("Step 1: 6*8=48, right\\nStep 2: 48/2=24, wrong\\nVerdict: wrong at 2", 2).steps
    (True, False)
    """
    said: dict[int, set[bool]] = {}
    why: list[str | None] = [None] * steps
    flags: list[str] = []
    step_line = re.compile(rf"Step (\d{{1,4}}):(.*),[ \t]*({words[0]}|{words[1]})\.?", re.I | re.ASCII)
    verdict, at = None, None
    for line in map(str.strip, text.split("\n")):
        if found := step_line.fullmatch(line):
            k = int(found[1]) - 1
            if not 0 <= k < steps:
                flags.append(RANGE)
                continue
            said.setdefault(k, set()).add(found[3].casefold() == words[0])
            why[k] = found[2].strip() or None
        elif line.casefold().startswith(f"{end.casefold()}:"):
            verdict, at = _final(line, words, end)
    read = [said[k].copy().pop() if len(said.get(k, ())) == 1 else None for k in range(steps)]
    flags += [CONTRADICTION if k in said else STEP_UNREAD for k, one in enumerate(read) if one is None]
    flags += [VERDICT_UNREAD] if verdict is None else []
    if _contradicts(read, verdict, at):
        flags.append(INCONSISTENT)
    return Verification(tuple(read), verdict, tuple(why), text, tuple(flags))


def verification_of(reply: Continuation, steps: int, lead: str = "") -> Verification:
    """Nothing is read of a reply that failed or was cut by the token limit."""
    lost = reply.error.kind if reply.error else CUT if reply.finish is Finish.LENGTH else None
    if lost is None:
        return read_verification(lead + reply.text, steps)
    return Verification((None,) * steps, None, (None,) * steps, lead + reply.text, (lost,))


def _final(line: str, words: tuple[str, str], end: str) -> tuple[bool | None, int | None]:
    found = re.fullmatch(
        rf"{end}:[ \t]*(?:({words[0]})|{words[1]}(?: at (\d{{1,4}}))?)\.?", line, re.I | re.ASCII
    )
    if found is None:
        return None, None
    return found[1] is not None, int(found[2]) - 1 if found[2] else None


def _contradicts(read: Sequence[bool | None], verdict: bool | None, at: int | None) -> bool:
    if verdict is None:
        return False
    if verdict:
        return False in read
    if at is None:
        return None not in read and False not in read
    return not 0 <= at < len(read) or read[at] is True or False in read[:at]


def written(problem: Problem, steps: Sequence[str], truths: Sequence[StepTruth]) -> str:
    """The verification of a judge that knows the truth."""
    lines = [f"Step {k}: {check}" for k, check in enumerate(checks(steps, truths), start=1)]
    return "\n".join([*lines, _last([truth.valid for truth in truths], RIGHT_WRONG, VERDICT)])


def written_critique(
    problem: Problem, steps: Sequence[str], truths: Sequence[StepTruth], verification: str
) -> str:
    """Its critique of somebody's verification: it disagrees with a wrong line and with one that cannot be
    read."""
    read = read_verification(verification, len(steps))
    said = [said is truth.valid for said, truth in zip(read.steps, truths, strict=True)]
    lines = [
        f"Step {k}: {check}, {AGREE[not agreed]}"
        for k, (check, agreed) in enumerate(zip(checks(steps, truths), said, strict=True), start=1)
    ]
    return "\n".join([*lines, _last(said, AGREE, CRITIQUE)])


def _last(said: Sequence[bool], words: tuple[str, str], end: str) -> str:
    return f"{end}: {words[0] if all(said) else f'{words[1]} at {said.index(False) + 1}'}"
