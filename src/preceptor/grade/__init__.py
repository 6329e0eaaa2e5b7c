"""The outcome check: extract -> normalise -> compare, three-valued, with the reason.

`grading.py` holds the public calls and the dict `GRADERS`; `grader.py` says what a grader is and lists the
reasons. One file a grader: `gsm8k`, `math_is_equiv`, `prm800k`, `math_verify`, `cascade` (name `math`, the
default for mathematics), `numeric`, `exact`, `choice`, `countdown`, `code`. Shared parts: `boxed.py` (the last box),
`expression.py` (arithmetic without `eval`), `calculator.py` (GSM8K's calculator notes as step labels),
`workers.py` and `worker.py` (sympy in child processes under a clock), `sandbox.py` and `sandbox_child.py` (`Sandbox`:
Python that a model wrote, sealed off), `suite.py` (`run_tests`: a program against its tests, in forks that
`warden.py` and `warden_child.py` look after).

To add a grader: a file with `extract`, `compare` and `canonical` that ends in one `Grader(...)`, an entry in
`GRADERS`, a row in the attack tests: the empty string, `{`, a wrong sign and plain praise must be refused.
"""

from preceptor.grade.calculator import CalculatorNote, calculator_notes, strip_calculator
from preceptor.grade.expression import ExpressionError, evaluate, parse
from preceptor.grade.grader import Grader
from preceptor.grade.grading import GRADERS, canonical, equivalent, grade, grade_many
from preceptor.grade.sandbox import Sandbox
from preceptor.grade.suite import Suite, TestReport, TestResult, run_many, run_tests

__all__ = [
    "GRADERS",
    "CalculatorNote",
    "ExpressionError",
    "Grader",
    "Sandbox",
    "Suite",
    "TestReport",
    "TestResult",
    "calculator_notes",
    "canonical",
    "equivalent",
    "evaluate",
    "grade",
    "grade_many",
    "parse",
    "run_many",
    "run_tests",
    "strip_calculator",
]
