"""A trace as a Natural Program (arXiv 2306.03872): numbered premises, and steps that cite lines by number.

Published form: premises `#1..#n`, then steps `#k. (by #i #j) Step m: text`. A trace written so is read as
written. Any other trace becomes a program here, which is ours: the problem's sentences are the premises, and
`cite` finds the lines that a step uses by the numbers it mentions. Left out: citations by content, ranges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from preceptor.annotate.judges.checks import one_line
from preceptor.segment import sentence
from preceptor.trace import Trace

By = tuple[int, ...] | None
"""Numbers of the cited lines; `()`: the whole problem; None: nothing is cited."""
Citer = Callable[[Sequence[str], Sequence[str]], Sequence[By]]
"""(premises, steps) -> one entry per step; lines are numbered from 1, premises first."""

NO_CITATION, DANGLING, FORWARD = "no-citation", "dangling-citation", "forward-citation"

_HEAD = re.compile(
    r"\s*(?:#(?P<label>\d{1,4})[.:]?\s*)?(?:\(by\b(?P<by>[^()\n]*)\)\s*)?(?P<step>Step\s+\d{1,4}\s*[:.]\s*)?",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"#(\d{1,4})")
_LABELLED = re.compile(r"^[ \t]*#(?P<label>\d{1,4})[.:]?[ \t]+(?P<text>\S.*)$", re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")


class Line(NamedTuple):
    number: int
    text: str
    """Without its number and citations."""
    by: By = ()


@dataclass(frozen=True)
class Program:
    """Premises, and one line per step of the trace; every line on one line, so that none can pass for two."""

    premises: tuple[Line, ...]
    steps: tuple[Line, ...]
    written: bool
    """The trace cites by itself."""

    @classmethod
    def of(cls, trace: Trace, cite: Citer | None = None) -> Program:
        texts = trace.step_texts
        heads = [_HEAD.match(text) for text in texts]
        premises = _premises(trace.problem.prompt)
        if any(head is not None and _REFERENCE.search(head["by"] or "") for head in heads):
            return cls(premises, _written(texts, len(premises)), True)
        found = (cite or cited_by_numbers)([p.text for p in premises], texts)
        lines = enumerate(zip(texts, found, strict=True), len(premises) + 1)
        return cls(premises, tuple(Line(k, one_line(text), by) for k, (text, by) in lines), False)

    def fault(self, t: int) -> str | None:
        """Why step `t` fails before anybody is asked: it cites nothing, no line, or itself or a later one."""
        by = self.steps[t].by
        if by is None:
            return NO_CITATION
        missing = [k for k in by if self._find(t, k) is None]
        if not missing:
            return None
        return FORWARD if any(line.number in missing for line in self.steps[t:]) else DANGLING

    def cited(self, t: int) -> list[Line]:
        """The lines that step `t` cites and that there are, in the order of the program; the premises for one
        that cites the whole problem."""
        by = self.steps[t].by or ()
        if not by:
            return list(self.premises)
        return [line for k in sorted(set(by)) if (line := self._find(t, k)) is not None]

    def shown(self, t: int) -> tuple[list[str], str]:
        """The cited lines, numbered from 1, and the step: all that is asked about, so that no other line
        changes it. References in the text follow the new numbers."""
        lines = self.cited(t)
        places = {line.number: i for i, line in enumerate(lines, 1)}

        def text(line: Line) -> str:
            if not self.written or line in self.premises:
                return line.text
            return _REFERENCE.sub(lambda found: f"#{places.get(int(found[1]), '?')}", line.text)

        return [f"#{i}. {text(line)}" for i, line in enumerate(lines, 1)], text(self.steps[t])

    def _find(self, t: int, number: int) -> Line | None:
        before = [line for line in self.steps[:t] if line.number == number]
        if before:
            return before[0]
        restated = any(line.by == () for line in self.steps) and self.written
        return None if restated else next((p for p in self.premises if p.number == number), None)


def cited_by_numbers(premises: Sequence[str], steps: Sequence[str]) -> list[By]:
    """Per step the lines its numbers come from: for each number before its last `=` (or in it, without one)
    the last step that came to it, and every premise that mentions it. The last step cites the question too.

    >>> cited_by_numbers(["Tom has 2 jars of 5.", "He is 9.", "How many?"], ["2*5=10", "Answer: 10"])
    [(1,), (3, 4)]
    """
    stated = [_numbers(p) for p in premises]
    results = [_numbers(result(step) or "") for step in steps]
    found: list[By] = []
    for t, step in enumerate(steps):
        used = _numbers(step.rpartition("=")[0]) or _numbers(step)
        own = {i for i, numbers in enumerate(stated, 1) if used & numbers}
        for number in used:
            last = next((s for s in reversed(range(t)) if number in results[s]), None)
            own |= set() if last is None else {len(premises) + last + 1}
        if own and t == len(steps) - 1:
            own |= {i for i, text in enumerate(premises, 1) if text.endswith("?")}
        found.append(tuple(sorted(own)) or None)
    return found


def result(step: str) -> str | None:
    """What a step comes to: the text after its last `=`, else after its last `:`; None without either.

    >>> result("12*7=84"), result("Answer: 84"), result("So it goes.")
    ('84', '84', None)
    """
    mark = next((mark for mark in "=:" if mark in step), None)
    return None if mark is None else step.rpartition(mark)[2].strip()


def _premises(prompt: str) -> tuple[Line, ...]:
    """Lines that carry numbers already, else the sentences."""
    labelled = [Line(int(f["label"]), f["text"].strip()) for f in _LABELLED.finditer(prompt)]
    if labelled:
        return tuple(labelled)
    texts = [one_line(prompt[s.start : s.end]) for s in sentence(prompt)]
    return tuple(Line(k, text) for k, text in enumerate(texts, 1))


def _written(texts: Sequence[str], premises: int) -> tuple[Line, ...]:
    """Steps as they label and cite themselves. A label without citation and without `Step` restates a premise:
    it rests on the problem, and is judged by it, since a policy may not add premises of its own."""
    lines: list[Line] = []
    for text in texts:
        head = _HEAD.match(text)
        assert head is not None
        label, by = head["label"], tuple(int(k) for k in _REFERENCE.findall(head["by"] or ""))
        number = int(label) if label else (lines[-1].number if lines else premises) + 1
        restates = label is not None and head["by"] is None and head["step"] is None
        lines.append(Line(number, one_line(text[head.end() :]), by or (() if restates else None)))
    return tuple(lines)


def _numbers(text: str) -> set[str]:
    return {found.replace(",", "").rstrip(".") for found in _NUMBER.findall(text)}
