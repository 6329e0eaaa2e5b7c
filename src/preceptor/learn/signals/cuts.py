r"""VSRM: accuracy of short answers at places where the reasoning takes a turn (repo 1benwu1/VSRM-Efficient-LRMs).

Cut points: a discourse word (`WORDS`) at least `apart` characters behind the previous cut, the first one `first`
behind the start of the thinking; the cut is moved back to the end of the sentence before it (behind `.`, `!`, `?` or a
line end). Nothing is cut behind the end of the thinking (`</think>`; without it, the end of the text). At every cut
the thinking is closed by `closing` and `answers` short answers are sampled; so they are at its end. The score of the
step that ends at a cut is their accuracy, that of the last step the accuracy behind the whole thinking; other steps
are not judged. `discourse` cuts a text into steps there; a trace of other steps is read at the last step end before
each cut.

An answer that the limit cut before it said anything, and one that cannot be graded, count for nothing. Word list: in
part not found, ours ("so ..." in the entry). Cost: `answers` generations a cut and one more round, in one call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.grade import grade_many
from preceptor.learn.signals.base import Producer, Row
from preceptor.segment.tile import tile
from preceptor.trace import Finish, Grade, Problem, Step, Trace

WORDS = (
    "wait",
    "but",
    "alternatively",
    "however",
    "hmm",
    "hold on",
    "looking back",
    "similarly",
    "let me double-check",
    "so",
)
_WORD = re.compile(r"\b(?:" + "|".join(map(re.escape, WORDS)) + r")\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")
FIRST, APART = 1000, 400


def cut_points(text: str, first: int = FIRST, apart: int = APART) -> list[int]:
    """Character offsets, ascending."""
    begin, end = thinking(text)
    found: list[int] = []
    ends = [m.end() for m in _SENTENCE_END.finditer(text, begin, end)]
    at = 0
    for word in _WORD.finditer(text, begin, end):
        floor = begin + first if not found else found[-1] + apart
        if word.start() < floor:
            continue
        while at < len(ends) and ends[at] <= word.start():
            at += 1
        cut = ends[at - 1] if at else begin
        if cut > (found[-1] if found else begin):
            found.append(cut)
    return found


def thinking(text: str) -> tuple[int, int]:
    """Where the thinking stands: between the first pair of tags, else all of it."""
    at = text.find("<think>")
    begin = 0 if at < 0 else at + len("<think>")
    end = text.find("</think>", begin)
    return begin, len(text) if end < 0 else end


def discourse(text: str, first: int = FIRST, apart: int = APART) -> tuple[Step, ...]:
    """Steps of `text`, cut at its cut points."""
    return tile(text, cut_points(text, first, apart))


@dataclass(eq=False)
class CutAccuracies(Producer):
    name: ClassVar[str] = "cut-accuracies"
    gives: ClassVar[frozenset[str]] = frozenset({"scores"})

    policy: Policy
    answers: int = 5
    """n2, at each cut."""
    closing: str = "\n</think>\n\n"
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6, top_p=0.95, max_tokens=768))
    first: int = FIRST
    apart: int = APART
    seed: int = 0

    def __post_init__(self) -> None:
        if self.answers < 1 or min(self.first, self.apart) < 0:
            raise InputError(
                f"cut-accuracies: got answers={self.answers}, first={self.first}, apart={self.apart}, expected at "
                "least 1 answer and no negative distance."
            )

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        places = [self.places(trace) for trace in traces]
        asked = [
            Request(t.problem, t.text[:end] + self.closing, draw=d, seed=self.seed, sampling=self.sampling)
            for t, ends in zip(traces, places, strict=True)
            for end in ends.values()
            for d in range(self.answers)
        ]
        written = self.policy.generate(asked) if asked else []
        grades = _grades([r.problem for r in asked], self.closing, written)
        found = iter(zip(written, grades, strict=True))
        rows = [self._row(t, ends, found) for t, ends in zip(traces, places, strict=True)]
        return Signals(tuple(rows), self.question)

    def places(self, trace: Trace) -> dict[int, int]:
        """Step -> the character behind which to answer: for each cut the step that ends there or last before it,
        and the last step, for which the whole thinking stands."""
        if trace.error is not None or not trace.steps:
            self.failed["no-steps" if trace.error is None else trace.error.kind] += 1
            return {}
        found: dict[int, int] = {}
        for cut in cut_points(trace.text, self.first, self.apart):
            before = [t for t, step in enumerate(trace.steps) if step.end <= cut]
            if before and before[-1] < len(trace.steps) - 1:
                found[before[-1]] = trace.steps[before[-1]].end
        found[len(trace.steps) - 1] = thinking(trace.text)[1]
        return found

    def _row(self, trace: Trace, ends: dict[int, int], found: Iterator[tuple[Continuation, Grade]]) -> Row:
        if not ends:
            return None
        row: list[float | None] = [None] * len(trace.steps)
        for t in ends:
            drawn = [next(found) for _ in range(self.answers)]
            self.pay(c.usage for c, _ in drawn)
            rights = [_right(c, g) for c, g in drawn]
            self.failed["undecided"] += rights.count(None)
            known = [r for r in rights if r is not None]
            row[t] = sum(known) / len(known) if known else None
        self.failed = +self.failed
        return None if all(v is None for v in row) else tuple(row)


def _grades(problems: Sequence[Problem], closing: str, written: Sequence[Continuation]) -> list[Grade]:
    """Of the short answers alone: what the thinking before them says of an answer is not theirs."""
    items = [(p, closing + c.text) for p, c in zip(problems, written, strict=True)]
    return grade_many(items, [c.finish for c in written])


def _right(answer: Continuation, grade: Grade) -> bool | None:
    cut = answer.finish is Finish.LENGTH and grade.answer is None
    return None if answer.error is not None or cut or not grade.decided else grade.correct
