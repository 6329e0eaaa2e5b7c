"""The world `programs`: small Python functions with tests; a line of code is a step, and execution is the truth.

Three families (`fold`: a loop over a list, `chain`: a few assignments, `digits`: a loop over the digits of a
number), each a handful of lines with drawn signs and numbers. The tests are pairs of a call and its value, worked out
by a second evaluator that shares no code with the text of the reference.

The truth about a line is what the sandbox shows of the lines so far, `p`:
*valid*: `p` passes the tests alone, or with the reference's lines from the same place on behind it. This is of the
whole prefix: after a wrong line every line is invalid until one makes up for it.
*reachable*: `p` passes the tests with some ending of the reference (not the `def` line), which may work things out
anew. A right program in another order than the reference's is therefore valid at its last line and may be invalid
before; both truths are exact about these completions and say nothing of others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from preceptor.errors import BackendError
from preceptor.grade import Sandbox, Suite, TestReport, run_tests
from preceptor.trace import Problem, content_id, stream_seed
from preceptor.worlds.base import StepTruth

SPLITS = {"test": (0, 1), "dev": (2, 3), "train": tuple(range(4, 10))}
SANDBOX = Sandbox(seconds=2.0, output=1 << 16)
SIGNS: dict[str, Callable[[int, int], bool]] = {
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
WORDS = {">": "greater than", "<": "less than", ">=": "at least", "<=": "at most"}
Made = tuple[str, list[str], list[tuple[str, int]]]
"""What is asked, the lines of the reference, (call, value) of every test."""


def fold(rng: random.Random) -> Made:
    start, limit, factor, loss = (rng.randint(*r) for r in ((0, 5), (2, 9), (2, 4), (1, 3)))
    sign = rng.choice(sorted(SIGNS))
    asked = (
        f"Write the Python function total(xs). It starts from {start} and goes over the numbers of the list xs: for "
        f"a number {WORDS[sign]} {limit} it adds {factor} times the number, for any other it subtracts {loss}. It "
        "returns the result."
    )
    lines = [
        "def total(xs):",
        f"    result = {start}",
        "    for x in xs:",
        f"        if x {sign} {limit}:",
        f"            result = result + {factor} * x",
        "        else:",
        f"            result = result - {loss}",
        "    return result",
    ]
    inputs = [[], [limit], [limit - 1, limit + 1], [limit + 3, limit, 1], [limit - 2] * 3, [7, 0, 12, limit]]
    values = [start + sum(factor * x if SIGNS[sign](x, limit) else -loss for x in xs) for xs in inputs]
    return asked, lines, [(f"total({xs})", value) for xs, value in zip(inputs, values)]


def chain(rng: random.Random) -> Made:
    a, b = rng.choice([(a, b) for a in range(2, 6) for b in range(2, 6) if gcd(a, b - 1) == 1])
    c, limit = rng.randint(1, 9), rng.randint(5, 20)
    sign = rng.choice(sorted(SIGNS))
    asked = (
        f"Write the Python function score(n, m). Let p be {a} times n plus m, and q be p minus {b} times m. If q is "
        f"{WORDS[sign]} {limit}, q is made {c} smaller. It returns p times q."
    )
    lines = [
        "def score(n, m):",
        f"    p = {a} * n + m",
        f"    q = p - {b} * m",
        f"    if q {sign} {limit}:",
        f"        q = q - {c}",
        "    return p * q",
    ]
    inputs = [(0, 1), (1, 1), (10, 3), (2, 9)]
    for q in (limit - 1, limit, limit + 1):  # a and b - 1 have no common factor, so each value of q is met
        inputs.append(next((n, m) for m in range(1, a + 1) for n in range(200) if a * n - (b - 1) * m == q))
    values = []
    for n, m in inputs:
        q = a * n + m - b * m
        values.append((a * n + m) * (q - c if SIGNS[sign](q, limit) else q))
    return asked, lines, [(f"score({n}, {m})", value) for (n, m), value in zip(inputs, values)]


def digits(rng: random.Random) -> Made:
    start, limit, factor = (rng.randint(*r) for r in ((0, 9), (2, 7), (2, 5)))
    sign = rng.choice(sorted(SIGNS))
    asked = (
        f"Write the Python function digit_sum(n). It starts from {start} and, for every digit of the whole number n "
        f"that is {WORDS[sign]} {limit}, adds {factor} times the digit. It returns the result; n is not negative."
    )
    lines = [
        "def digit_sum(n):",
        f"    result = {start}",
        "    while n > 0:",
        "        digit = n % 10",
        f"        if digit {sign} {limit}:",
        f"            result = result + {factor} * digit",
        "        n = n // 10",
        "    return result",
    ]
    inputs = [0, limit, 10 * limit + limit - 1, 9080, 1234567, 100 + limit + 1, 1]
    values = [start + factor * sum(d for d in map(int, str(n)) if SIGNS[sign](d, limit)) for n in inputs]
    return asked, lines, [(f"digit_sum({n})", value) for n, value in zip(inputs, values)]


FAMILIES = (chain, digits, fold)


@dataclass(frozen=True)
class Programs:
    """Small functions to be written, with tests and a truth for every line."""

    name: str = "programs"

    def problems(self, split: str = "test", n: int = 64, seed: int = 0) -> list[Problem]:
        """`n` different functions of a split ("train", "dev" or "test")."""
        if split not in SPLITS:
            raise ValueError(f"split: got {split!r}, expected one of {sorted(SPLITS)}")
        found: dict[str, Problem] = {}
        for problem in _stream(stream_seed("programs", split, seed)):
            if len(found) == n:
                break
            if int(content_id("programs", problem.prompt), 16) % 10 in SPLITS[split]:
                found.setdefault(problem.prompt, problem)
        if len(found) < n:
            raise ValueError(f"programs split {split!r}: got n={n}, expected at most {len(found)}")
        return list(found.values())

    def judge(self, problem: Problem, steps: Sequence[str]) -> list[StepTruth]:
        """Kinds: "ok", "compile error", "fails tests", "timeout". BackendError where the sandbox gives no verdict."""
        truths, prefix = [], ""
        for t, step in enumerate(steps):
            prefix += f"{step.rstrip()}\n"
            gold, rest = problem.gold or "", _same_place(problem, steps[: t + 1])
            report = _report(gold, prefix + rest)
            valid = bool(report.passed or _report(gold, prefix).passed)
            truths.append(StepTruth(valid, valid or _can_end(problem, prefix), _kind(report, valid)))
        return truths


def _same_place(problem: Problem, steps: Sequence[str]) -> str:
    """The reference's lines behind as many lines of code as the steps hold; comments and blank lines are none."""
    lines = [line.strip() for step in steps for line in step.split("\n")]
    return _ending(problem, sum(bool(line) and not line.startswith("#") for line in lines))


def _ending(problem: Problem, k: int) -> str:
    return "".join(f"{line.rstrip()}\n" for line in problem.reference[k:])


def _can_end(problem: Problem, prefix: str) -> bool:
    endings = (_ending(problem, k) for k in range(1, len(problem.reference)))
    return any(_report(problem.gold or "", prefix + ending).passed for ending in endings)


@lru_cache(maxsize=20_000)
def _report(gold: str, program: str) -> TestReport:
    suite = Suite.from_json(gold)
    report = run_tests(program, suite.tests, suite.setup, sandbox=SANDBOX, stop=True)
    if report.passed is None:
        raise BackendError(f"world programs: no truth without a sandbox. {report.why}")
    return report


def _kind(report: TestReport, valid: bool) -> str:
    if valid:
        return "ok"
    if report.compile_error is not None:
        return "compile error"
    return "timeout" if any(r.outcome == "timeout" for r in report.results) else "fails tests"


def _stream(seed: int, tries: int = 20_000) -> Iterator[Problem]:
    rng = random.Random(seed)
    for _ in range(tries):
        asked, lines, pairs = rng.choice(FAMILIES)(rng)
        yield Problem(
            prompt=f"{asked} Write only code.",
            gold=json.dumps({"tests": [{"call": call, "expected": value} for call, value in pairs]}),
            world="programs",
            grader="code",
            segmenter="line",
            reference=tuple(f"{line}\n" for line in lines),
        )
