"""Programs run on the tests that may be seen: the scorer of ORPS.

The tests stand in `problem.meta["visible_tests"]` as `{"tests": [...], "setup": "..."}` (the forms of
`grade/suite.py`); the gold answer, with the hidden ones, is never read. `with_visible_tests` makes such a problem of
one whose gold holds all tests. Every test runs alone in the sandbox; the time of a program is the mean over the tests
it passes, by this side's clock, less what an empty program takes, to the nearest `resolution` (what is finer is noise
of the machine). One process measures equal programs once. With `resolution=None` nothing is timed and scores repeat
exactly.

Cost: about 10 ms a test and what the program takes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from preceptor.errors import BackendError, InputError, ItemError
from preceptor.grade import Sandbox, Suite, run_tests
from preceptor.grade.code import extract
from preceptor.grade.suite import FOR_TESTS
from preceptor.judgement import Judgement, Question, Source
from preceptor.search.refine.code_metrics import score, static
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Ledger, Usage

KEY = "visible_tests"


class Run(NamedTuple):
    """What the visible tests show of one program."""

    passed: int
    tests: int
    seconds: float | None
    """None: not timed, or no test passed."""
    why: str
    """The first thing that went wrong; "" for a program that passed."""


@dataclass(frozen=True)
class VisibleTests:
    """Scorer of quality: ORPS's S, in [0, 2], on the last step. `extra` holds the share of tests passed ("success"),
    the time ("seconds"), the static metrics and the first failure ("why")."""

    sandbox: Sandbox = FOR_TESTS
    resolution: float | None = 0.05
    """Seconds; None: times are left out."""

    question = Question.QUALITY

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution <= 0:
            raise InputError(f"resolution: got {self.resolution}, expected seconds above 0, or None")

    @cached_property
    def source(self) -> Source:
        return Source.of("visible-tests", sandbox=self.sandbox.to_record(), resolution=self.resolution)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        began = time.perf_counter()
        program = extract(trace.text, trace.finish is not Finish.LENGTH)
        try:
            suite = visible(trace.problem)
            run = Run(0, len(suite.tests), None, "no program in the text")
            if program is not None:
                run = measured(program, suite.text, self.sandbox, self.resolution)
        except (InputError, BackendError) as e:
            kind = "no-tests" if isinstance(e, InputError) else "undecided"
            return self._made(trace, None, {}, began, ItemError(kind, str(e)))
        success = run.passed / run.tests
        metrics = static(program) if program is not None and run.passed else None
        extra = {
            "success": success,
            "seconds": run.seconds,
            "why": run.why,
            "static": None if metrics is None else metrics.to_record(),
        }
        return self._made(trace, score(success, metrics, run.seconds), extra, began)

    def _made(
        self,
        trace: Trace,
        value: float | None,
        extra: dict[str, Any],
        began: float,
        error: ItemError | None = None,
    ) -> Judgement:
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if value is None else (*(None,) * (len(trace.steps) - 1), value),
            undecided=int(error is not None),
            usage=Ledger(scorer=Usage(calls=1, seconds=time.perf_counter() - began)),
            error=error,
            extra=extra,
        )


def visible(problem: Problem) -> Suite:
    """The tests that may be seen. InputError where there are none."""
    found = problem.meta.get(KEY)
    if found is None:
        raise InputError(
            f"problem {problem.id} has no visible tests: put them into meta[{KEY!r}], or make the problem with "
            "with_visible_tests(problem, 2)"
        )
    return Suite.from_json(json.dumps(found))


def with_visible_tests(problem: Problem, count: int) -> Problem:
    """The first `count` tests of the gold made visible; the gold keeps the others, hidden."""
    suite = Suite.from_json(problem.gold or "")
    if not 0 < count < len(suite.tests):
        raise InputError(
            f"problem {problem.id}: got {count} visible tests of {len(suite.tests)}, expected at least one visible "
            "and one hidden"
        )
    shown = {"tests": list(suite.tests[:count]), "setup": suite.setup}
    hidden = Suite(suite.tests[count:], suite.setup).text
    return replace(problem, gold=hidden, meta={**problem.meta, KEY: shown})


@lru_cache(maxsize=4096)
def measured(program: str, tests: str, sandbox: Sandbox, resolution: float | None) -> Run:
    """`tests` as JSON. BackendError where nothing can be said, which is not remembered."""
    suite = Suite.from_json(tests)
    empty = 0.0 if resolution is None else min(_seconds("", "pass", "", sandbox)[0] for _ in range(3))
    times, why = [], ""
    for test in suite.tests:
        seconds, report = _seconds(program, test, suite.setup, sandbox)
        if report.passed is None:
            raise BackendError(f"visible tests: {report.why}")
        if report.passed:
            times.append(seconds)
        why = why or report.why
    known = None
    if times and resolution is not None:
        known = round(max(sum(times) / len(times) - empty, 0.0) / resolution) * resolution
    return Run(len(times), len(suite.tests), known, why)


def _seconds(program: str, test: Any, setup: str, sandbox: Sandbox) -> tuple[float, Any]:
    began = time.perf_counter()
    report = run_tests(program, [test], setup, sandbox=sandbox)
    return time.perf_counter() - began, report
