"""Programs with tests for the tests of code annotators."""

from __future__ import annotations

import json
import sys

import pytest

from preceptor.grade import Sandbox
from preceptor.segment import segment
from preceptor.trace import Problem, Trace

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
QUICK = Sandbox(seconds=1.0, output=1 << 16)
TESTS = [
    {"call": "count([], 2)", "expected": 0},
    {"call": "count([1, 2, 3, 4], 2)", "expected": 2},
    {"call": "count([5, 5], 2)", "expected": 2},
    {"call": "count([2, 1], 2)", "expected": 0},
]
PROGRAM = """def count(xs, limit):
    n = 0
    for x in xs:
        if x > limit:
            n += 1
    return n
"""
PROBLEM = Problem("How many of xs are above limit?", json.dumps({"tests": TESTS}), grader="code")


def trace(text: str = PROGRAM, problem: Problem = PROBLEM, **more) -> Trace:
    return Trace(problem, text, segment(problem, text), **more)


def with_line(k: int, line: str, text: str = PROGRAM) -> str:
    lines = text.split("\n")
    lines[k] = line
    return "\n".join(lines)
