"""Labels of lines of code by execution: programs that pass, and programs one line away from one that passes.

A program that passes its tests is right in every line. One that fails and differs in one step from a program that
passes (the trace it was made from, or the problem's reference) is right before that step and wrong at it; what
follows is masked. Any other program that fails has no label: tests do not say where. What an edit was meant to do
plays no part. Left out: how variants are made (`mutation.py`, `prlcoder.py`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from preceptor.annotate.rules import first_error_targets
from preceptor.errors import InputError, ItemError
from preceptor.grade.code import fenced_blocks
from preceptor.grade.sandbox import Sandbox
from preceptor.grade.suite import FOR_TESTS, Suite, TestReport, run_many
from preceptor.judgement import NO_ERROR, Judgement, Question, Source
from preceptor.segment import segment
from preceptor.trace import Finish, Trace
from preceptor.usage import Ledger, Usage

SURVIVED = "surviving-variant"
"""A variant that passes all the same."""


@dataclass(frozen=True)
class Variants:
    """Traces that differ in one step from one that passes, and what became of the rest."""

    traces: tuple[Trace, ...] = ()
    """`parent` is the id of the trace each was made from; its `usage` is what making it cost."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Why others were not made -> how many."""
    usage: Usage = field(default_factory=Usage)
    """Of all rewriting, that of dropped variants included."""


@dataclass(frozen=True)
class ExecutionAnnotator(ABC):
    """A `Scorer` of validity of lines of code, and a maker of labelled variants of right programs."""

    name: ClassVar[str]
    cost: ClassVar[str]
    question: ClassVar[Question] = Question.VALIDITY
    keeps_survivors: ClassVar[bool]

    sandbox: Sandbox = FOR_TESTS

    @cached_property
    def source(self) -> Source:
        return Source.of(self.name, **self.settings())

    def settings(self) -> dict[str, Any]:
        """Everything that changes the outcome, as JSON values."""
        return {"sandbox": self.sandbox.to_record()}

    @abstractmethod
    def rewritten(self, traces: Sequence[Trace]) -> Variants:
        """Variants of traces that pass."""

    def variants(self, traces: Sequence[Trace]) -> Variants:
        """Variants of the traces that pass their tests; not labelled yet."""
        reports = self.reports(traces)
        return self.rewritten([t for t, r in zip(traces, reports, strict=True) if passes(r)])

    def examples(self, traces: Sequence[Trace]) -> list[tuple[Trace, Judgement]]:
        """The traces and their variants, each with its judgement: those that have labels."""
        everything = [*traces, *self.variants(traces).traces]
        pairs = list(zip(everything, self.score(everything), strict=True))
        return [
            (trace, judged)
            for trace, judged in pairs
            if judged.scores is not None and (self.keeps_survivors or SURVIVED not in judged.flags)
        ]

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order. A variant is recognised where the trace it was made from is among
        the traces, or where it is one step away from its problem's reference."""
        began = time.monotonic()
        reports = self.reports(traces)
        right = {t.id: t for t, r in zip(traces, reports, strict=True) if passes(r)}
        unsure = [t for t, r in zip(traces, reports, strict=True) if failed(r) and t.parent not in right]
        references = self._references(unsure)
        usage = Usage(calls=1, seconds=(time.monotonic() - began) / max(1, len(traces)))
        found = []
        for trace, report in zip(traces, reports, strict=True):
            origin = right.get(trace.parent or "", references.get(trace.problem.id))
            judged = self._judge(trace, report, origin)
            found.append(
                replace(judged, usage=Ledger(scorer=usage if isinstance(report, TestReport) else Usage()))
            )
        return found

    def reports(self, traces: Sequence[Trace]) -> list[TestReport | ItemError]:
        """What the tests say of each trace, or why they cannot be asked."""
        suites = [suite_of(trace) for trace in traces]
        jobs = [(t.text, s) for t, s in zip(traces, suites, strict=True) if isinstance(s, Suite)]
        ran = iter(run_many(jobs, sandbox=self.sandbox))
        return [next(ran) if isinstance(suite, Suite) else suite for suite in suites]

    def _references(self, traces: Iterable[Trace]) -> dict[str, Trace]:
        """By problem: its reference as a trace, where it passes."""
        problems = {t.problem.id: t.problem for t in traces if t.problem.reference}
        texts = {k: "".join(f"{line.rstrip()}\n" for line in p.reference) for k, p in problems.items()}
        made = {k: Trace(p, texts[k], segment(p, texts[k])) for k, p in problems.items()}
        reports = self.reports(list(made.values()))
        return {k: trace for (k, trace), report in zip(made.items(), reports, strict=True) if passes(report)}

    def _judge(self, trace: Trace, report: TestReport | ItemError, origin: Trace | None) -> Judgement:
        if isinstance(report, ItemError):
            return self._failed(trace, report)
        if report.passed is None:
            judged = self._failed(trace, ItemError("undecided", report.why))
            return replace(judged, undecided=1)
        changed = None if origin is None else changed_step(origin, trace)
        if report.passed:
            flags = () if changed is None or trace.parent is None else (SURVIVED,)
            return self._labelled(trace, NO_ERROR, flags)
        if changed is None:
            message = "the program fails its tests and is not one step away from one that passes"
            return self._failed(trace, ItemError("no-origin", f"{message}: {report.why}"))
        why = tuple(report.why if t == changed else None for t in range(len(trace.steps)))
        return replace(self._labelled(trace, changed), rationale=why)

    def _labelled(self, trace: Trace, first_error: int, flags: tuple[str, ...] = ()) -> Judgement:
        scores = first_error_targets(first_error, len(trace.steps))
        return Judgement(trace.id, self.question, self.source, scores, first_error=first_error, flags=flags)

    def _failed(self, trace: Trace, error: ItemError) -> Judgement:
        return Judgement(trace.id, self.question, self.source, None, error=error)


def passes(report: TestReport | ItemError) -> bool:
    return isinstance(report, TestReport) and report.passed is True


def failed(report: TestReport | ItemError) -> bool:
    return isinstance(report, TestReport) and report.passed is False


def suite_of(trace: Trace) -> Suite | ItemError:
    """The tests of the trace's problem, or why its steps are no lines of a program with tests."""
    if trace.error is not None:
        return ItemError("failed-trace", f"sampling failed: {trace.error.kind}: {trace.error.message}")
    if not trace.steps:
        return ItemError("no-steps", "the trace has no steps")
    if trace.problem.grader != "code" or not (trace.problem.gold or "").strip():
        return ItemError("no-tests", f"grader {trace.problem.grader!r}: the problem has no tests")
    if trace.finish is Finish.LENGTH:
        return ItemError("cut-program", "the length limit cut the program")
    if fenced_blocks(trace.text)[0]:
        return ItemError(
            "not-plain-code", "the text holds fenced code: its steps are not lines of the program"
        )
    try:
        return Suite.from_json(trace.problem.gold or "")
    except InputError as e:
        return ItemError("bad-tests", str(e))


def changed_step(origin: Trace, trace: Trace) -> int | None:
    """The one step in which two traces differ; None where it is not one, or their number differs."""
    old, new = ([s.rstrip("\n") for s in t.step_texts] for t in (origin, trace))
    changed = [t for t, (a, b) in enumerate(zip(old, new)) if a != b]
    return changed[0] if len(old) == len(new) and len(changed) == 1 else None


def variant(trace: Trace, text: str, writer: str, draw: int, usage: Usage) -> Trace | None:
    """`trace` with another text, if it still is one step away; ungraded."""
    made = Trace(
        problem=trace.problem,
        text=text,
        steps=segment(trace.problem, text),
        policy=writer,
        draw=draw,
        parent=trace.id,
        usage=usage,
    )
    return made if changed_step(trace, made) is not None else None
