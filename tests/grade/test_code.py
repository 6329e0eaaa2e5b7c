"""The grader of programs: what is the program, which tests there are, and the three verdicts.

Run: python -m pytest tests/grade/test_code.py
"""

from __future__ import annotations

import json
import sys

import pytest

from preceptor.errors import InputError
from preceptor.grade import GRADERS, Sandbox, Suite, canonical, grade, grade_many, run_many, run_tests
from preceptor.trace import Finish, Problem, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux's")
TESTS = ["assert double(2) == 4", {"call": "double(-3)", "expected": -6}]
PROBLEM = Problem("Write double(x).", json.dumps({"tests": TESTS}), grader="code")
RIGHT = "def double(x):\n    return 2 * x\n"
WRONG = "def double(x):\n    return x * x\n"


def outcomes(report) -> list[str]:
    return [r.outcome for r in report.results]


@pytest.mark.parametrize(
    "text",
    [
        RIGHT,
        f"```python\n{RIGHT}```",
        f"First try:\n```python\n{WRONG}```\nBetter:\n```py\n{RIGHT}```\nRun it:\n```bash\npython x.py\n```\n",
        f"So:\n```\n{RIGHT}\n```",
        f"```python\n{RIGHT}",
        f"~~~python\n{RIGHT}~~~",
    ],
)
def test_the_program_is_the_last_python_block_or_the_whole_text(text: str):
    assert grade(PROBLEM, text).correct


def test_the_last_block_counts_even_where_an_earlier_one_is_right():
    result = grade(PROBLEM, f"```python\n{RIGHT}```\n```python\n{WRONG}```")
    assert (result.verdict, result.answer) == (Verdict.INCORRECT, WRONG)
    assert result.reason.startswith("different: 'test 1 failed: double(-3) gave 9'")


def test_what_the_length_limit_cut_is_no_program():
    """`return 2 * x` may have been going to be `return 2 * x + 1`."""
    for text in (RIGHT, f"```python\n{RIGHT}"):
        assert grade(PROBLEM, text, finish=Finish.LENGTH).answer is None
    assert grade(PROBLEM, f"```python\n{RIGHT}```\nThis", finish=Finish.LENGTH).correct


def test_three_verdicts():
    broken = grade(PROBLEM, "def double(x) return")
    assert broken.verdict is Verdict.INCORRECT
    assert "answer cannot be read" in broken.reason
    assert "compile error: SyntaxError" in broken.reason
    assert grade(PROBLEM, "").verdict is Verdict.INCORRECT
    for gold in (None, "", "5", "[]", '{"tests": []}', '{"tests": [{"call": "f()"}]}', '{"tests": ["assert ("]}',
                 '{"tests": ["assert True"], "setup": "1/0"}'):  # fmt: skip
        assert grade(Problem("q", gold, grader="code"), RIGHT).verdict is Verdict.UNDECIDED, gold


def test_many_are_graded_and_equal_ones_once():
    found = grade_many([(PROBLEM, text) for text in (RIGHT, WRONG, RIGHT, f"```python\n{RIGHT}```")])
    assert [g.correct for g in found] == [True, False, True, True]


def test_each_test_has_its_own_outcome_and_the_setup_comes_first():
    tests = [
        "assert area(1) == PI",
        "assert area(0) == 1",
        "assert area(None)",
        "while True: pass",
        {"call": "area(2)", "expected": 12},
    ]
    program = "def area(r):\n    return PI * r * r"
    report = run_tests(program, tests, setup="PI = 3", sandbox=Sandbox(seconds=0.5))
    assert outcomes(report) == ["passed", "failed", "error", "timeout", "passed"]
    assert (report.passed, report.why) == (False, "test 1 failed: AssertionError")
    stopped = run_tests(program, tests, setup="PI = 3", stop=True)
    assert outcomes(stopped) == ["passed", "failed", "skipped", "skipped", "skipped"]


def test_a_compile_error_is_apart_and_a_program_that_does_not_load_runs_no_test():
    broken = run_tests("def f(:", ["assert True", "assert True"])
    assert broken.compile_error.startswith("SyntaxError")
    assert outcomes(broken) == ["skipped", "skipped"]
    assert outcomes(run_tests("1 / 0", ["assert True", "assert True"])) == ["error", "skipped"]
    endless = run_tests("while True: pass", ["assert True"] * 9, sandbox=Sandbox(seconds=0.3))
    assert outcomes(endless) == ["timeout"] + ["skipped"] * 8


def test_tests_do_not_see_what_earlier_ones_changed():
    assert run_tests("seen = []", ["seen.append(1)\nassert len(seen) == 1"] * 3).passed


def test_programs_that_read_and_print():
    program = (
        "import sys\nn = int(input())\nif __name__ == '__main__':\n    print(n * 2, ' ')\n    sys.exit()"
    )
    report = run_tests(program, [{"input": "4\n", "output": "8\n"}, {"input": "4\n", "output": "9\n"}])
    assert outcomes(report) == ["passed", "failed"]


@pytest.mark.parametrize(
    "gives, expected, same",
    [("(1, [2.0])", [1, [2]], True), ("True", 1, False), ("1", True, False), ("{'a': None}", {"a": None}, True),
     ("float('nan')", 0, False), ("[1]", [1, 2], False), ("'1'", 1, False)],
)  # fmt: skip
def test_pairs_are_equal_as_json(gives: str, expected, same: bool):
    assert run_tests("", [{"call": gives, "expected": expected}]).passed is same


def test_an_object_that_claims_to_equal_everything_fools_asserts_and_not_pairs():
    sly = "class Yes(int):\n    def __eq__(self, other): return True\ndef double(x): return Yes(1)"
    assert outcomes(run_tests(sly, TESTS)) == ["passed", "failed"]


def test_a_batch_runs_equal_pairs_once_and_keeps_the_order():
    suite = Suite.from_json(PROBLEM.gold)
    reports = run_many([(WRONG, suite), (RIGHT, suite), (WRONG, suite)])
    assert [r.passed for r in reports] == [False, True, False]
    assert reports[0] is reports[2]


def test_tests_of_no_known_form_are_refused():
    for tests in ([], [3], [{"call": "f()"}], [" "]):
        with pytest.raises(InputError, match="expected at least one, each"):
            run_tests("", tests)


def test_spaces_at_the_ends_of_lines_do_not_make_another_program():
    assert canonical(PROBLEM, "x = 1  \n\n") == canonical(PROBLEM, "x = 1")
    assert canonical(PROBLEM, "if x:\n  y") != canonical(PROBLEM, "if x:\ny")
    assert "code" in GRADERS
