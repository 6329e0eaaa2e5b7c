"""What each grader reads as the answer and takes for equal, and the three verdicts.

Run with `python -m pytest tests/grade`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.grade import GRADERS, canonical, equivalent, grade, grade_many
from preceptor.trace import Finish, Problem, Verdict


def graded(name: str, text: str, gold: str | None = "5", finish: Finish | None = None, **meta: Any) -> Any:
    return grade(Problem("q", gold=gold, grader=name, meta=meta), text, finish=finish)


@pytest.mark.parametrize("name", sorted(set(GRADERS) - {"countdown"}))
def test_without_a_gold_answer_nothing_is_decided(name: str) -> None:
    for gold in (None, "", " "):
        result = graded(name, r"Answer: 5 \boxed{5}" + "\n#### 5", gold)
        assert (result.verdict, result.reason) == (Verdict.UNDECIDED, "no gold answer")
    assert graded("gsm8k", "#### 5", None).answer == "5"


@pytest.mark.parametrize("name", sorted(set(GRADERS) - {"code"}))
def test_no_answer_is_incorrect_and_says_so(name: str) -> None:
    meta = {"numbers": [5], "target": 5}
    result = graded(name, "I give up.", **meta)
    assert (result.verdict, result.reason, result.answer) == (Verdict.INCORRECT, "no answer found", None)
    cut = graded(name, "I give", finish=Finish.LENGTH, **meta)
    assert (cut.verdict, cut.reason) == (Verdict.INCORRECT, "no answer found (cut at the length limit)")
    failed = graded(name, "", finish=Finish.ERROR, **meta)
    assert (failed.verdict, failed.reason) == (Verdict.UNDECIDED, "generation failed")


@pytest.mark.parametrize(
    "name, whole, cut",
    [
        ("gsm8k", "#### 5", "#### 5"),
        ("exact", "Answer: 5", "Answer: 5"),
        ("numeric", "Answer: 5", "Answer: 5"),
        ("numeric", "It is 5", "First 5"),
        ("math", r"\boxed 5", r"\boxed 5"),
        ("math", r"\boxed{5}", r"\boxed{5"),
    ],
)
def test_the_length_limit_may_have_cut_the_answer_short(name: str, whole: str, cut: str) -> None:
    """`#### 5` cut at the limit may be the beginning of `#### 54`."""
    assert graded(name, whole, finish=Finish.STOP).correct
    assert graded(name, cut, finish=Finish.LENGTH).answer is None


def test_a_complete_answer_before_the_length_limit_counts() -> None:
    assert graded("gsm8k", "#### 5\nQuestion: 1", finish=Finish.LENGTH).correct
    assert graded("numeric", "Answer: 5\nNow", finish=Finish.LENGTH).correct
    assert graded("math", r"\boxed{5} so", finish=Finish.LENGTH).correct


@pytest.mark.parametrize(
    "text, answer, correct",
    [
        ("2+3=5\n#### 5", "5", True),
        ("#### 5\n#### 6", "5", True),  # the first match
        ("#### 5.0", "5.0", False),  # string equality
        ("#### 5.", "5.", False),
        ("#### $5", None, False),
        ("####5", None, False),
        ("A: 5", "5", True),
        ("A: 5 apples", None, False),
        ("A: 5\nmore", None, False),
        ("#### ,", None, False),
    ],
)
def test_gsm8k_is_strict(text: str, answer: str | None, correct: bool) -> None:
    result = graded("gsm8k", text)
    assert (result.answer, result.correct) == (answer, correct)


def test_gsm8k_deletes_commas_and_takes_a_whole_solution_as_gold() -> None:
    assert graded("gsm8k", "#### 1,200", "so\n#### 1200").correct
    assert graded("gsm8k", "A: -3", "text\nA: -3").correct
    assert graded("gsm8k", "#### 5", "no number").reason.startswith("gold answer cannot be read")


@pytest.mark.parametrize(
    "text, gold, correct",
    [
        ("Answer: 5 apples", "5", True),
        ("**Answer:** $1,250.50", "1250.5", True),
        ("**Answer: 5**", "5", True),
        ("Answer: 6\nAnswer: 5", "5", True),
        ("First 7, then it is 5.", "5", True),
        ("so 8-3 = 5", "5", True),
        ("Answer: 8-3=5", "5", True),
        ("Answer: 10/2", "5", True),
        (r"\(\boxed{5}\) dollars for 3 months", "5", True),
        ("Answer: 3.3333333", "10/3", True),
        ("Answer: 3.33", "10/3", False),
        ("Answer: 10000001", "10000000", False),  # whole numbers are exact
        ("Answer: 1.5e3", "1500", True),
        ("Answer: 10{,}000", "10,000", True),
        ("Answer: 2 million", "2000000", True),
        ("Answer: 50%", "50", True),
        ("Answer: 50%", "0.5", True),
        ("Answer: 0.5", "50%", True),
        ("Answer: 0.5%", "50%", False),
        ("Answer: 0.5", "50", False),
        ("Answer: .5", "0.5", True),
        ("Answer: -5", "5", False),
        ("Answer: - 5", "-5", True),
        ("Answer: 1,2", "1", False),
        ("Answer: 1/0", "1", False),
        ("Answer:", "5", False),
        ("Answer:\n5", "5", True),
    ],
)
def test_numeric_reads_one_number(text: str, gold: str, correct: bool) -> None:
    assert graded("numeric", text, gold).correct is correct


def test_numeric_takes_tolerances_from_the_problem() -> None:
    assert graded("numeric", "Answer: 3.33", "10/3", rel_tol=0.01).correct
    assert graded("numeric", "Answer: 101", "100", abs_tol=1).correct
    assert not graded("numeric", "Answer: 102", "100", abs_tol=1).correct
    assert graded("numeric", "Answer: 5", "five").verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    "text, letter",
    [
        ("Answer: B", "B"), ("Answer: (b)", "B"), ("The answer is (B).", "B"),
        ("the answer is B because C fails", "B"),
        (r"\boxed{B}", "B"), (r"\boxed{\text{(B)}}", "B"), ("**Answer: B**", "B"),
        ("Thinking.\n(B)", "B"), ("x\n**B.**", "B"),
        ("Answer: B) a train", "B"), ("Answer: A: a train", "A"), ("Answer: A", "A"), ("Answer: option C", "C"),
        ("Answer: A train leaves", None), ("the answer is correct", None), ("Answer: B or C", None),
        ("Answer: B, C", None),
        ("Answer: Both", None), ("Answer: F", None), ("I think B is nice", None), ("Answer: because", None),
    ],
)  # fmt: skip
def test_choice_reads_one_letter(text: str, letter: str | None) -> None:
    assert [c for c in "ABCDE" if graded("choice", text, c).correct] == ([letter] if letter else [])


def test_choice_golds_come_in_several_forms() -> None:
    assert all(
        graded("choice", "Answer: B", gold).correct for gold in ("B", "(B)", "B.", "(b)", r"\text{(B)}")
    )
    assert graded("choice", "Answer: B", "the second").verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    "text, gold, correct",
    [
        ("Answer: red  blue", "red blue", True),
        ("answer : red\nnoise", "red", True),
        ("Answer: red\nAnswer: blue", "blue", True),
        ("Answer:\n\n red", "red", True),
        ("Answer: Red", "red", False),
        ("red", "red", False),
        ("The answers: red", "red", False),
    ],
)
def test_exact_compares_the_answer_line(text: str, gold: str, correct: bool) -> None:
    assert graded("exact", text, gold).correct is correct


@pytest.mark.parametrize(
    "answer, reason",
    [
        ("(10-4)*(5-1)", None),
        ("(10 - 4) × (5 − 1) = 24", None),
        ("(10-4)*(5-1) = 24.", None),
        ("(10-4)*(5-1) = 25", "different: gives"),
        ("(10-4)*(5-1)*1", "different: uses"),
        ("(10-4)*5-1", "different: gives"),
        ("24", "different: uses"),
        ("(10-4)*4", "different: uses"),
        ("1 0-4", "answer cannot be read"),
        ("10/(5-5)", "answer cannot be read: division by zero"),
        ("(10-4)*(5-1.0)", "different: uses"),
        ("(10-4)**(5-1)", "answer cannot be read"),
        ("24 = (10-4)*(5-1)", "different: uses"),
        ("there is none", "answer cannot be read"),
    ],
)
def test_countdown_checks_the_rules_of_the_game(answer: str, reason: str | None) -> None:
    result = graded("countdown", f"Answer: {answer}", None, numbers=[1, 4, 5, 10], target=24)
    assert result.correct if reason is None else result.reason.startswith(reason), result


def test_countdown_is_exact_where_floats_are_not() -> None:
    """8/(3-8/3) is 24; in binary floating point it is 23.999999999999993."""
    assert graded("countdown", "Answer: 8/(3-8/3)", None, numbers=[3, 3, 8, 8], target=24).correct


@pytest.mark.parametrize(
    "meta", [{}, {"numbers": [1]}, {"numbers": ["x"], "target": 1}, {"numbers": 5, "target": 1}]
)
def test_countdown_without_a_puzzle_is_undecided(meta: Mapping[str, Any]) -> None:
    assert graded("countdown", "Answer: 1", None, **meta).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    "text",
    [
        r"so $\boxed{\frac{1}{2}}$.", r"\boxed 0.5$", "\\boxed 0.5\nDone.", r"\fbox{0.5}",
        "Answer: $0.5$", "Answer: 1/2.",
        r"The final answer is \(\frac12\). I hope it is correct.", r"**Answer:** \[ 0.5 \]", r"\boxed{ x = \tfrac12 }",
    ],
)  # fmt: skip
def test_math_finds_the_stated_answer(text: str) -> None:
    assert graded("math", text, r"\frac{1}{2}").correct


def test_math_takes_a_reference_solution_as_gold() -> None:
    assert graded("math", r"\boxed{0.5}", r"Adding gives $\boxed{\frac{1}{2}}$.").correct
    assert graded("math", r"\boxed{0.5}", r"\boxed{").verdict is Verdict.UNDECIDED


def test_grading_many_gives_what_grading_one_gives_in_order() -> None:
    golds, answers = ["5", r"2\sqrt{2}", "(1,2)"], ["5", r"\sqrt{8}", "(1,2)", "x", "", "5 cm"]
    pairs = [(Problem("q", gold=g), f"\\boxed{{{a}}}") for g in golds for a in answers] * 3
    finishes = [Finish.STOP, Finish.LENGTH, Finish.ERROR] * (len(pairs) // 3)
    expected = [grade(p, t, finish=f) for (p, t), f in zip(pairs, finishes)]
    assert grade_many(pairs, finishes) == expected
    assert grade_many([]) == []
    with pytest.raises(ValueError, match="argument"):
        grade_many(pairs, finishes[:-1])


def test_grading_many_compares_each_question_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from preceptor.grade import grading

    asked: list[tuple[str, str]] = []
    real = grading.equivalent

    def counting(grader: str, given: str, gold: str, meta: Any = None) -> Any:
        asked.append((given, gold))
        return real(grader, given, gold, meta)

    monkeypatch.setattr(grading, "equivalent", counting)
    grade_many([(Problem("q", gold=str(i % 2), grader="numeric"), f"Answer: {i % 4}") for i in range(100)])
    assert len(asked) == len(set(asked)) == 4


def test_countdown_questions_with_other_numbers_are_other_questions() -> None:
    puzzles = [Problem("q", grader="countdown", meta={"numbers": n, "target": 6}) for n in ([2, 3], [2, 4])]
    assert [g.correct for g in grade_many([(p, "Answer: 2*3") for p in puzzles])] == [True, False]


@pytest.mark.parametrize(
    "name, answers, classes",
    [
        ("gsm8k", ["1,200", "1200", "1200.0"], 2),
        ("numeric", ["1,200", "$1200.00", "1200 dollars", "12e2", "120"], 2),
        ("choice", ["B", "(B)", "b)", "(b)", "C"], 3),
        ("exact", ["a  b", "a b", "A b"], 2),
        ("countdown", ["(10-4)*(5-1)", "(10 - 4) * (5 - 1) = 24", "4*6"], 2),
        ("math", ["0.5", r"\frac{1}{2}", "1/2", r"\frac{2}{4}", r"\dfrac12", "x = 0.5", "2"], 2),
        ("math", ["3 1/2", r"3\frac{1}{2}", r"\frac{7}{2}", "3.5"], 1),
        ("math", ["1,2", "2, 1", "(1,2)", "(1, 2)", "(2,1)"], 3),
        ("math", ["5 cm", "5", r"5\text{ cm}", r"\$5", "5.0"], 1),
        ("math", ["1,000", "1000", "10^3"], 1),
        ("math", [r"\text{Evelyn}", "evelyn"], 1),
    ],
)
def test_canonical_groups_equal_answers(name: str, answers: list[str], classes: int) -> None:
    assert len({canonical(Problem("q", grader=name), a) for a in answers}) == classes


def test_an_unknown_grader_is_named() -> None:
    with pytest.raises(InputError, match="got 'maths', expected one of"):
        graded("maths", "x")


def test_grading_needs_neither_torch_nor_sympy_in_the_caller() -> None:
    script = "import sys, preceptor.grade; print([m for m in ('torch', 'sympy', 'math_verify') if m in sys.modules])"
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"
    assert equivalent("math", r"\sqrt{8}", r"2\sqrt{2}").correct
