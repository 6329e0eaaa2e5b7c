r"""The verdicts of three public graders on 33 pairs, row by row, and what the cascade makes of them.

The table was observed on the original implementations (MATH `is_equiv`, PRM800K `grade_answer`, Math-Verify
on both answers in a box). Rows on which the installed Math-Verify differs belong into `OTHER_VERDICT`, with
its version; 0.9.0 differs on none.
"""

from __future__ import annotations

import importlib.metadata

import pytest

from preceptor.grade import equivalent

# given, gold, MATH is_equiv, PRM800K, Math-Verify
TABLE = [
    ("72.0", "72", False, True, True),
    ("1,000", "1000", False, True, True),
    ("0.5", r"\frac{1}{2}", True, True, True),
    (r"\frac{2}{4}", r"\frac{1}{2}", False, False, True),
    (r"\frac{4}{2}", "2", False, False, True),
    ("0.333333", r"\frac{1}{3}", False, False, True),
    ("0.333", r"\frac{1}{3}", False, False, False),
    (r"50\%", "50", True, True, True),
    ("0.5", r"50\%", False, False, True),
    ("5 cm", "5", False, True, True),
    ("x=5", "5", True, True, True),
    ("[1,2]", "(1,2)", False, False, False),
    ("(2,1)", "(1,2)", False, False, False),
    ("1,2", "2,1", False, False, True),
    (r"\{1,2\}", r"\{2,1\}", False, False, True),
    (r"\sqrt{8}", r"2\sqrt{2}", False, True, True),
    ("x^2+2x+1", "(x+1)^2", False, True, True),
    ("2^{10}", "1024", False, False, True),
    ("10^{2}", "100", False, False, True),
    ("1e2", "100", False, True, False),
    ("3 1/2", r"\frac{7}{2}", False, True, False),
    (r"3\frac{1}{2}", r"\frac{7}{2}", False, True, True),
    (r"3\pi", "9.42477796", False, False, True),
    ("3.14159", r"\pi", False, False, False),
    ("(1,2)", "1<x<2", False, False, True),
    ("1<x<2", "(1,2)", False, False, False),
    ("evelyn", r"\text{Evelyn}", False, True, True),
    ("(A)", "A", False, True, True),
    ("five", "5", False, False, False),
    ("1000000", "1 million", False, False, False),
    ("y=2x+3", "y-2x=3", False, False, True),
    ("5.", "5", False, True, False),
    ("", "5", False, False, False),
]
OTHER_VERDICT: dict[str, dict[tuple[str, str], bool]] = {"0.9.0": {}}
"""Math-Verify version -> rows on which it gives another verdict than the table."""


@pytest.mark.parametrize("given, gold, is_equiv, prm800k, math_verify", TABLE)
def test_each_grader_gives_its_observed_verdict(
    given: str, gold: str, is_equiv: bool, prm800k: bool, math_verify: bool
) -> None:
    version = importlib.metadata.version("math-verify")
    math_verify = OTHER_VERDICT.get(version, {}).get((given, gold), math_verify)
    verdicts = [equivalent(name, given, gold) for name in ("math_is_equiv", "prm800k", "math_verify")]
    assert all(v.decided for v in verdicts)
    assert [v.correct for v in verdicts] == [is_equiv, prm800k, math_verify]


@pytest.mark.parametrize("given, gold, is_equiv, prm800k, math_verify", TABLE)
def test_the_cascade_accepts_what_one_of_them_accepts(
    given: str, gold: str, is_equiv: bool, prm800k: bool, math_verify: bool
) -> None:
    assert equivalent("math", given, gold).correct is (is_equiv or prm800k or math_verify)


@pytest.mark.parametrize(
    "given, gold, equal",
    [
        (r"\frac12", r"\frac{1}{2}", True),
        (r"\dfrac1{2}", r"\tfrac{1}{2}", True),
        (r"\sqrt3", r"\sqrt{3}", True),
        (r"5\text{ cm}", "5", True),
        (r"30^\circ", "30", True),
        (r"\left(1, 2\right)", "(1,2)", True),
        ("3/4", r"\frac{3}{4}", True),
        ("03/4", r"\frac{3}{4}", False),
        ("y = 5", "5", True),
        ("abc=5", "5", False),
        (".5", "0.5", True),
        (r"1\text{ a}2\text{ b}", "1", False),
        (r"2\sqrt", r"2\sqrt", True),
        (r"\frac", r"\frac1", False),
    ],
)
def test_the_math_normaliser_rule_by_rule(given: str, gold: str, equal: bool) -> None:
    assert equivalent("math_is_equiv", given, gold).correct is equal


@pytest.mark.parametrize(
    "given, gold, equal",
    [
        ("-3 1/2", r"-\frac{7}{2}", True),  # a mixed number keeps its sign
        ("-3 1/2", r"-\frac{5}{2}", False),
        ("10 000", "10000", True),  # not 10 + 000
        ("10 000", "10", False),
        (r"\frac{x+1}{2}", r"\frac{1}{2}x+\frac{1}{2}", True),  # operands stay grouped
        (r"\frac{x+1}{2}", r"x+\frac{1}{2}", False),
        ("2^{x+1}", "2^x+1", False),
        ("(1,2,3)", "(1, 2, 3)", True),
        ("(1,2,3)", "(1,2)", False),
        ("(1,2]", "(1,2)", False),
        (r"(\frac{1}{2}, x+x)", r"(\frac{1}{2}, 2x)", True),
        ("(1,000, 2)", "(1000,2)", True),
        ("6/4", "3/2", False),  # unreduced
        ("4/2", "2", False),  # an integer gold demands an integer
        ("1.5 million", "1500000", False),
        ("12 inches", "12", True),
        (r"\$5", "5", True),
        ("a+b+c", "c+b+a", False),  # more than two letters are refused
        ("10^{12}", "10^{12}+0", False),  # so are powers that may explode
    ],
)
def test_the_prm800k_rules_one_by_one(given: str, gold: str, equal: bool) -> None:
    grade = equivalent("prm800k", given, gold)
    assert grade.decided
    assert grade.correct is equal


def test_math_verify_is_not_symmetric() -> None:
    """An interval may answer an inequality; a policy that echoes the inequality is not paid."""
    assert equivalent("math", "(1,2)", "1<x<2").correct
    assert not equivalent("math", "1<x<2", "(1,2)").correct


def test_votes_are_kept_in_the_reason() -> None:
    assert (
        equivalent("math", "2^{10}", "1024").reason == "equal: math_is_equiv no, prm800k no, math_verify yes"
    )
    assert equivalent("math", "[1,2]", "(1,2)").reason.startswith(
        "different: prm800k no, math_verify no; got"
    )
    assert equivalent("math", "7", "8").reason == "different: exact no; got '7', expected '8'"
