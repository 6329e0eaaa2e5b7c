"""The world of small programs: tests worked out apart from the reference, and truth by execution.

Run: python -m pytest tests/worlds/test_programs.py
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from preceptor.grade import grade
from preceptor.segment import segment
from preceptor.worlds.base import World, first_invalid
from preceptor.worlds.programs import Programs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
WORLD = Programs()


def test_it_is_a_world_with_disjoint_splits_and_stable_prefixes():
    assert isinstance(WORLD, World)
    splits = {name: WORLD.problems(name, 40) for name in ("train", "dev", "test")}
    assert len({p.id for found in splits.values() for p in found}) == 120
    assert WORLD.problems("test", 10) == splits["test"][:10]
    assert Counter(p.prompt.split("function ")[1].split("(")[0] for p in splits["test"]).keys() == {
        "total", "score", "digit_sum",
    }  # fmt: skip


def test_every_reference_passes_tests_that_another_evaluator_worked_out():
    for problem in WORLD.problems("test", 30, seed=3):
        text = "".join(problem.reference)
        assert grade(problem, text).correct, (text, problem.gold)
        assert [s.end - s.start for s in segment(problem, text)] == [len(line) for line in problem.reference]


def test_every_line_of_a_reference_is_valid_and_a_wrong_one_is_where_it_stands():
    problem = next(p for p in WORLD.problems(n=20) if "total(xs)" in p.prompt)
    lines = list(problem.reference)
    assert all(t.valid and t.reachable for t in WORLD.judge(problem, lines))
    lines[1] = "    result = 77\n"
    truths = WORLD.judge(problem, lines)
    assert [t.valid for t in truths] == [True] + [False] * 7
    assert first_invalid(truths) == 1
    assert truths[1].reachable, "the result can still be set anew"
    assert not truths[7].reachable, "returned: nothing behind it runs"
    assert truths[1].kind == "fails tests"
    assert WORLD.judge(problem, ["7*7=50\n"])[0].kind == "compile error"


def test_comments_and_other_spellings_are_valid_by_execution():
    problem = next(p for p in WORLD.problems(n=20) if "total(xs)" in p.prompt)
    head, start, *rest = problem.reference
    assert all(t.valid for t in WORLD.judge(problem, [head, "    # begin\n", start, *rest]))
    spelled = start.replace("= ", "= 0 + ")
    assert all(t.valid for t in WORLD.judge(problem, [head, spelled, *rest]))


def test_a_line_that_makes_up_for_a_wrong_one_is_valid_again():
    problem = next(p for p in WORLD.problems(n=20) if "score(n, m)" in p.prompt)
    head, p_line, q_line, *rest = problem.reference
    steps = [head, p_line.replace("+ m", "+ m + 1"), "    p = p - 1\n", q_line, *rest]
    assert [t.valid for t in WORLD.judge(problem, steps)][:2] == [True, False]
    assert WORLD.judge(problem, steps)[-1].valid
