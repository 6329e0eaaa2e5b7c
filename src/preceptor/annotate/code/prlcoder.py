"""PRLCoder line labels: a teacher mutates and refactors each line of a right program; execution labels the result.

A rewritten program that passes its tests is right in every line, one that fails is wrong at the rewritten line
and masked behind it, whatever the teacher was asked for: mutants that pass are positive and refactorings that
break negative (the reading of our catalogue; both can be told by their flags and writers).
The published defaults were not found: 1 mutant and 1 refactoring per line, 5 s a test. Without a model the teacher
works on the syntax tree. Cost: 2 T runs of the tests per program of T lines, and as many short generations
where a model teaches. Left out: the reward per line in PPO (`preceptor.credit`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.annotate.code.execution import ExecutionAnnotator, Variants, variant
from preceptor.annotate.code.source import Program
from preceptor.annotate.code.teacher import Intent, Rewriting, Task, Teacher, TreeTeacher
from preceptor.errors import InputError
from preceptor.trace import Trace
from preceptor.usage import Usage


@dataclass(frozen=True)
class PRLCoder(ExecutionAnnotator):
    """`examples(traces)`: labelled rewritings of those that pass, and themselves. `score`: any such traces."""

    name: ClassVar[str] = "prlcoder"
    cost: ClassVar[str] = (
        "1 run of the tests per program; (mutants + refactorings) T more, and as many generations"
    )
    keeps_survivors: ClassVar[bool] = True

    teacher: Teacher = field(default_factory=TreeTeacher)
    mutants: int = 1
    """Per line."""
    refactorings: int = 1
    """Per line."""

    def __post_init__(self) -> None:
        if min(self.mutants, self.refactorings) < 0 or self.mutants + self.refactorings < 1:
            got = f"mutants {self.mutants}, refactorings {self.refactorings}"
            raise InputError(f"prlcoder: got {got}, expected numbers of at least 0, one above")

    def settings(self) -> dict[str, Any]:
        own = {
            "teacher": self.teacher.fingerprint,
            "mutants": self.mutants,
            "refactorings": self.refactorings,
        }
        return {**super().settings(), **own}

    def rewritten(self, traces: Sequence[Trace]) -> Variants:
        wanted: tuple[tuple[Intent, int], ...] = (("mutate", self.mutants), ("refactor", self.refactorings))
        tasks = [
            Task(trace, line, intent, k)
            for trace in traces
            for line, text in enumerate(Program(trace.text).lines)
            if text.strip() and not text.lstrip().startswith("#")
            for intent, n in wanted
            for k in range(n)
        ]
        rewritings = self.teacher.rewrite(tasks) if tasks else []
        made: list[Trace] = []
        dropped: Counter[str] = Counter()
        for task, rewriting in zip(tasks, rewritings, strict=True):
            found = self._variant(task, rewriting)
            if isinstance(found, str):
                dropped[found] += 1
            else:
                made.append(found)
        return Variants(tuple(made), dict(dropped), sum((r.usage for r in rewritings), Usage()))

    def _variant(self, task: Task, rewriting: Rewriting) -> Trace | str:
        """The rewritten trace, or why there is none."""
        if rewriting.text is None:
            return rewriting.why
        text = Program(task.trace.text).with_line(task.line, rewriting.text)
        writer = f"{self.name}:{task.intent}:{self.teacher.fingerprint}"
        found = variant(task.trace, text, writer, task.draw, rewriting.usage)
        return "other-steps" if found is None else found
