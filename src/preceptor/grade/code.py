"""Programs: right if every test of a suite passes, in the sandbox.

The gold is JSON, `{"tests": [...], "setup": "..."}`; see `suite.py` for the three forms of a test. The answer is
the last fenced Python block of the text, else the last block without a language, else the whole text, so that a
trace whose steps are lines of code is its own answer. A block that the end of the text leaves open counts, unless
the length limit cut it. A program that does not compile, raises or does not end in 5 s a test is incorrect;
undecided: no gold, tests that fail by themselves, and a sandbox that is not there or died.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preceptor.errors import InputError
from preceptor.grade.grader import BAD_GOLD, DIFFERENT, EQUAL, NOT_AN_ANSWER, TIMEOUT, Grader, Outcome, clip
from preceptor.grade.suite import Suite, TestReport, run_tests
from preceptor.trace import Verdict

SANDBOX_FAILED = "the sandbox gave no verdict"
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})[ \t]*([\w+.-]*)")
_PYTHON = ("python", "python3", "py", "python2")
MAX_LENGTH = 20_000


def extract(text: str, finished: bool = True) -> str | None:
    blocks, opened = fenced_blocks(text)
    if not finished and opened:
        blocks.pop()
    for wanted in (_PYTHON, ("",)):
        found = [body for language, body in blocks if language in wanted]
        if found:
            return found[-1] if found[-1].strip() else None
    if blocks or opened:
        return None
    return text if finished and text.strip() else None


def fenced_blocks(text: str) -> tuple[list[tuple[str, str]], bool]:
    """(language, body) of every fenced block, and whether the last one was left open."""
    blocks: list[tuple[str, str]] = []
    fence, language, body = "", "", list[str]()
    for line in text.split("\n"):
        found = _FENCE.match(line)
        if not fence and found is not None:
            fence, language, body = found[1], found[2].lower(), []
        elif fence and found is not None and found[1].startswith(fence) and not line[found.end() :].strip():
            blocks.append((language, "\n".join([*body, ""])))
            fence = ""
        elif fence:
            body.append(line)
    if fence:
        blocks.append((language, "\n".join(body)))
    return blocks, bool(fence)


def canonical(answer: str) -> str:
    """Programs that differ in spaces at the ends of lines and in blank lines are one class."""
    return "\n".join(line.rstrip() for line in answer.split("\n") if line.strip())


def read_gold(gold: str) -> str | None:
    try:
        return Suite.from_json(gold).text
    except InputError:
        return None


def compare(given: str, gold: str, meta: Mapping[str, Any]) -> Outcome:
    try:
        suite = Suite.from_json(gold)
    except InputError:
        return Verdict.UNDECIDED, f"{BAD_GOLD}: {clip(gold)}"
    return outcome_of(run_tests(given, suite.tests, suite.setup, stop=True))


def outcome_of(report: TestReport) -> Outcome:
    """The verdict that a report amounts to."""
    if report.passed:
        return Verdict.CORRECT, EQUAL
    if report.undecided is not None:
        return Verdict.UNDECIDED, f"{SANDBOX_FAILED}: {report.why}"
    if report.compile_error is not None:
        return Verdict.INCORRECT, f"{NOT_AN_ANSWER}: {clip(report.why, 120)}"
    kind = TIMEOUT if any(r.outcome == "timeout" for r in report.results) else DIFFERENT
    return Verdict.INCORRECT, f"{kind}: {clip(report.why, 120)}"


CODE = Grader(extract, compare, canonical, read_gold, max_length=MAX_LENGTH)
