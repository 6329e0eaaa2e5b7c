"""Steps as numbered lines of a prompt, and the short check that a good judge writes before its verdict.

The check of a step is the step as it should be, given the steps before it: a right step is repeated, a wrong
one is put right, and one that should not be there at all is called by its kind of error. A judge too small to
see an error at once can still write that line and compare. Pure functions; no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from preceptor.annotate.judges.verdict import Fenced, fence
from preceptor.trace import Problem
from preceptor.worlds.arithmetic_oracle import State
from preceptor.worlds.base import StepTruth
from preceptor.worlds.word_problems import OPERATIONS

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


def checks(problem: Problem, steps: Sequence[str], truths: Sequence[StepTruth]) -> list[str]:
    """One check per step, in one line each, from the world's truth."""
    correct = _CORRECTIONS.get(problem.world)
    mended = [None] * len(steps) if correct is None else correct(problem, steps)
    return [
        one_line(step) if truth.valid else better or truth.kind
        for step, truth, better in zip(steps, truths, mended, strict=True)
    ]


def _arithmetic(problem: Problem, steps: Sequence[str]) -> list[str | None]:
    """For each line that took the place of a quantity or of the answer, the line that belongs there."""
    state, lines = State.of(problem), list[str | None]()
    for step in steps:
        had, answered = set(state.written), state.answer is not None
        kind = state.take(step).kind
        new = set(state.written) - had
        last = state.written.get(len(state.nodes) - 1)
        line = None
        if new:
            k = new.pop()
            left, right = state.inputs(k)
            done = _done(state.nodes[k][0], left, right)
            written = one_line(step).partition("=")[0].replace(" ", "")
            same = kind in ("ok", "wrong result")
            line = done and f"{written if same else f'{left}{state.nodes[k][0]}{right}'}={done}"
        elif state.answer is not None and not answered and last is not None:
            line = f"Answer: {last}"
        lines.append(line)
    return lines


def _done(op: str, left: Fraction | None, right: Fraction | None) -> str | None:
    if left is None or right is None or left.denominator != 1 or right.denominator != 1:
        return None
    value = OPERATIONS[op](int(left), int(right))
    return None if value is None else str(value)


_CORRECTIONS: dict[str, Callable[[Problem, Sequence[str]], list[str | None]]] = {"arithmetic": _arithmetic}
"""World -> what each step should have been; a world that is not here has the kind of error as its check."""
