"""A program against its tests, in the sandbox: `run_tests(program, tests)` says of each test how it went.

A test is Python text (asserts), a pair of a call and the value it must give, or a pair of an input and the output
that the whole program must print. Each runs in a fresh fork with the whole program, 5 s each. Expected values of
pairs never enter the process of the program, so nothing it does to its interpreter can make them true. Asserts run
beside the program: one whose objects claim to equal everything passes them; use pairs to train against.
A sandbox that fails, and tests that fail by themselves, leave the program undecided.
Cost: under 10 ms a test, and what the program takes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from preceptor.errors import BackendError, InputError
from preceptor.grade import warden
from preceptor.grade.sandbox import NO_SEAL, Sandbox

FOR_TESTS = Sandbox(seconds=5.0, output=1 << 16)
THREADS = 2
FORMS = (
    'Python text, {"call": "f(2)", "expected": 4} with any JSON value, or {"input": "2\\n", "output": "4\\n"}'
)
Outcome = Literal["passed", "failed", "error", "timeout", "skipped"]
Test = str | Mapping[str, Any]


@dataclass(frozen=True)
class TestResult:
    """How one test went. `"failed"`: ran and found otherwise; `"error"`: raised or died; `"skipped"`: not run,
    as the program did not compile or load, or a test before it did not pass and `stop` was asked for."""

    __test__: ClassVar[bool] = False

    outcome: Outcome
    message: str = ""


@dataclass(frozen=True)
class TestReport:
    """What the tests show of one program."""

    __test__: ClassVar[bool] = False

    results: tuple[TestResult, ...]
    """One per test, in order."""
    compile_error: str | None = None
    undecided: str | None = None
    """Why nothing can be said: the sandbox or the tests themselves failed."""

    @property
    def passed(self) -> bool | None:
        """Every test passed; None when undecided."""
        if self.undecided is not None:
            return None
        return self.compile_error is None and all(r.outcome == "passed" for r in self.results)

    @property
    def why(self) -> str:
        """The first thing that went wrong, in words; "" for a program that passed."""
        if self.undecided is not None or self.compile_error is not None:
            return self.undecided or f"compile error: {self.compile_error}"
        bad = ((k, r) for k, r in enumerate(self.results) if r.outcome not in ("passed", "skipped"))
        return next((f"test {k} {r.outcome}: {r.message}".rstrip(": ") for k, r in bad), "")


@dataclass(frozen=True)
class Suite:
    """Tests of one problem."""

    tests: tuple[Test, ...]
    setup: str = ""
    """Python text that runs before the program: imports, helpers."""

    def __post_init__(self) -> None:
        bad = next((t for t in self.tests if not _well_formed(t)), None)
        if not self.tests or bad is not None or not isinstance(self.setup, str):
            got = (
                "no test"
                if not self.tests
                else f"setup {self.setup!r:.80}"
                if bad is None
                else f"{bad!r:.120}"
            )
            raise InputError(f"tests: got {got}, expected at least one, each {FORMS}; setup as text.")

    @classmethod
    def from_json(cls, text: str) -> Suite:
        """Read `{"tests": [...], "setup": "..."}`. InputError for anything else."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise InputError(f'tests: got {text!r:.80}, expected JSON {{"tests": [...]}} ({e})') from e
        if not isinstance(record, dict) or not isinstance(record.get("tests"), list):
            raise InputError(f'tests: got {text!r:.80}, expected {{"tests": [...], "setup": "..."}}')
        return cls(tuple(record["tests"]), record.get("setup", ""))

    @cached_property
    def text(self) -> str:
        """The same as JSON, one way to write it."""
        return json.dumps({"tests": [*self.tests], "setup": self.setup}, sort_keys=True)


def run_tests(
    program: str,
    tests: Sequence[Test],
    setup: str = "",
    *,
    sandbox: Sandbox = FOR_TESTS,
    stop: bool = False,
) -> TestReport:
    """Run every test; with `stop`, none after the first that does not pass. Never raises on any program."""
    suite = Suite(tuple(tests), setup)
    results: list[TestResult] = []
    try:
        for test in suite.tests:
            shown = {k: v for k, v in _form(test).items() if k not in ("expected", "output")}
            job = {"program": program, "setup": setup, "test": shown}
            reply = warden.ask(sandbox, job)
            if reply is None:
                return _whole(suite, results, undecided="the sandbox gave no answer")
            outcome, message = reply["outcome"], reply["message"]
            if outcome == "undecided":
                return _whole(suite, results, undecided=NO_SEAL if message == "unsealed" else message)
            if outcome == "bad-tests":
                return _whole(suite, results, undecided=f"setup or test cannot be run: {message}")
            if outcome == "compile":
                return _whole(suite, [], compile_error=message)
            if outcome in ("load", "load-timeout"):
                results.append(TestResult("error" if outcome == "load" else "timeout", message))
                return _whole(suite, results)
            results.append(
                _compared(test, reply["value"]) if outcome == "value" else TestResult(outcome, message)
            )
            if stop and results[-1].outcome != "passed":
                return _whole(suite, results)
    except (BackendError, OSError) as e:
        return _whole(suite, results, undecided=str(e))
    return _whole(suite, results)


def run_many(
    programs: Sequence[tuple[str, Suite]], *, sandbox: Sandbox = FOR_TESTS, stop: bool = True
) -> list[TestReport]:
    """A report per (program, suite), in order; equal pairs are run once."""
    pairs = {(program, suite.text): suite for program, suite in programs}

    def run(key: tuple[str, str]) -> TestReport:
        return run_tests(key[0], pairs[key].tests, pairs[key].setup, sandbox=sandbox, stop=stop)

    with ThreadPoolExecutor(THREADS) as threads:
        found = dict(zip(pairs, threads.map(run, pairs), strict=True))
    return [found[program, suite.text] for program, suite in programs]


def _form(test: Test) -> dict[str, Any]:
    return {"code": test} if isinstance(test, str) else dict(test)


def _well_formed(test: Any) -> bool:
    if isinstance(test, str):
        return bool(test.strip())
    if not isinstance(test, Mapping):
        return False
    call, pair = {"call", "expected"}, {"input", "output"}
    return (set(test) == call and isinstance(test["call"], str)) or (
        set(test) == pair and all(isinstance(v, str) for v in test.values())
    )


def _whole(suite: Suite, results: list[TestResult], **more: str) -> TestReport:
    skipped = [TestResult("skipped")] * (len(suite.tests) - len(results))
    return TestReport((*results, *skipped), **more)


def _compared(test: Test, value: str) -> TestResult:
    """A pair's expected value against what the program gave, on this side of the wall."""
    assert not isinstance(test, str)
    if "output" in test:
        same = _lines(value) == _lines(test["output"])
        return TestResult("passed") if same else TestResult("failed", f"printed {value!r:.80}")
    try:
        same = _equal(json.loads(value), test["expected"])
    except (ValueError, RecursionError):
        return TestResult("error", f"gave no JSON value: {value!r:.80}")
    return TestResult("passed") if same else TestResult("failed", f"{test['call']:.60} gave {value:.80}")


def _equal(got: Any, expected: Any) -> bool:
    """Equal as JSON, where true is not 1; a tuple is a list, 2.0 is 2."""
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, list) and isinstance(expected, (list, tuple)):
        return len(got) == len(expected) and all(map(_equal, got, expected))
    if isinstance(got, dict) and isinstance(expected, Mapping):
        return got.keys() == expected.keys() and all(_equal(got[k], expected[k]) for k in got)
    return bool(got == expected)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]
