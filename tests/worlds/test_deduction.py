"""Specifies the world `deduction`: truth tables, generated problems, and the truth about every line.

Run: python -m pytest tests/worlds/test_deduction.py
"""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from preceptor.grade import grade
from preceptor.trace import Problem
from preceptor.worlds.deduction import Deduction
from preceptor.worlds.truth_tables import follows, read

WORLD = Deduction()

PROBLEM = Problem(
    prompt="p",
    gold="DISPROVED",
    world="deduction",
    grader="exact",
    meta={
        "facts_formula": "fact1: {A}{a}\nfact2: (x): {A}x -> ({B}x & {C}x)\nfact3: {D}{a}\nfact12: ¬{E}{a}",
        "hypothesis_formula": "¬{B}{a}",
    },
)
RIGHT = [
    "fact2 -> int1: {A}{a} -> ({B}{a} & {C}{a})\n",
    "fact1 & int1 -> int2: ({B}{a} & {C}{a});\n",
    "int2 -> ¬hypothesis\n",
    "Answer: DISPROVED\n",
]


def kinds(lines):
    return [t.kind for t in WORLD.judge(PROBLEM, lines)]


def test_a_right_refutation_is_right_in_every_line():
    assert kinds(RIGHT) == ["ok"] * 4


@pytest.mark.parametrize(
    "line, kind",
    [
        ("fact1 -> int1: {A}{a}", "ok"),
        # {D}{a} is a known fact and true, but it is not cited.
        ("fact1 -> int1: {D}{a}", "does not follow"),
        ("fact1 & fact3 -> int1: ({D}{a} & {A}{a})", "ok"),
        ("fact1 -> int1: {A}{b}", "does not follow"),
        ("fact1 -> int1: (x): {A}x", "does not follow"),
        ("fact2 -> int1: (x): {A}x -> {C}x", "ok"),
        ("fact1 & fact2 & fact3 -> int1: (x): {A}x -> {C}x", "ok"),
        ("fact1 & fact2 -> hypothesis", "does not follow"),
        ("fact1 & fact2 -> ¬hypothesis", "ok"),
        ("fact12 -> int1: ({D}{a} v ¬{E}{a})", "ok"),
        ("fact9 -> int1: {A}{a}", "unknown premise"),
        ("int1 -> int1: {A}{a}", "unknown premise"),
        ("fact1 -> int1: {A}x", "unparseable"),
        ("fact1 -> int1: {A}{a} -> {B}{a} -> {C}{a}", "unparseable"),
        ("fact1 -> int1: {A}{a} & {B}{a} v {C}{a}", "unparseable"),
        ("so {A}{a} holds", "unparseable"),
        ("", "unparseable"),
        ("Answer: PROVED", "wrong answer"),
    ],
)
def test_each_kind_of_line(line, kind):
    assert kinds([line]) == [kind]


def test_a_wrong_step_does_not_make_later_valid_steps_wrong():
    lines = [
        "fact1 -> int1: {Z}",
        "int1 -> int2: ({Z} v {Y})",
        "fact1 -> int2: {A}{a}",
        "int3 -> int4: {A}{a}",
    ]
    assert kinds(lines) == ["does not follow", "ok", "name taken", "unknown premise"]
    truths = WORLD.judge(PROBLEM, [*lines, "Answer: DISPROVED", "fact1 -> int9: {A}{a}"])
    assert [t.reachable for t in truths] == [True] * 6
    assert truths[-1].kind == "after the answer"
    assert [t.reachable for t in WORLD.judge(PROBLEM, ["Answer: UNKNOWN", "Answer: DISPROVED"])] == [
        False
    ] * 2


def evaluate(node, world):
    """One row at a time, by recursion: the other way to read a formula."""
    if node[0] == "atom":
        return world[node[1:]]
    parts = [evaluate(part, world) for part in node[1:]]
    return {
        "¬": lambda: not parts[0],
        "&": lambda: all(parts),
        "v": lambda: any(parts),
        "->": lambda: not parts[0] or parts[1],
    }[node[0]]()


@pytest.mark.parametrize("premise", ["{A} -> {B}", "({A} v {B})", "¬({A} & ¬{B})", "{B} -> ¬{C}", "{A}"])
@pytest.mark.parametrize(
    "conclusion", ["{B}", "¬{A} v {B}", "({C} -> ¬{B})", "{A} -> (¬{B} -> {C})", "¬¬{A}"]
)
def test_tables_agree_with_evaluation_row_by_row(premise, conclusion):
    left, right = read(premise), read(conclusion)
    rows = [
        {("A", ""): a, ("B", ""): b, ("C", ""): c} for a, b, c in itertools.product((True, False), repeat=3)
    ]
    expected = all(evaluate(right.body, row) for row in rows if evaluate(left.body, row))
    assert follows([left], right) is expected


def test_a_question_too_large_for_a_table_has_no_answer():
    many = " & ".join(f"{{{a}{b}}}" for a in "ABCDE" for b in "VWXYZ")
    assert follows([read(f"({many})")], read("{AV}")) is None


def test_problems_are_solved_by_their_references_and_all_verdicts_occur():
    problems = WORLD.problems("train", 120)
    for problem in problems:
        assert all(t.valid and t.reachable for t in WORLD.judge(problem, problem.reference)), problem
        assert grade(problem, "".join(problem.reference)).correct
    golds = Counter(p.gold for p in problems)
    assert set(golds) == {"PROVED", "DISPROVED", "UNKNOWN"}
    assert min(golds.values()) > 20
    assert WORLD.problems("train", 20) == problems[:20], "a smaller n is a prefix of a larger one"


def test_splits_are_disjoint_and_bad_knobs_are_refused():
    ids = {s: {p.id for p in WORLD.problems(s, 60)} for s in ("train", "dev", "test")}
    assert len(set.union(*ids.values())) == 180
    with pytest.raises(ValueError, match="split"):
        WORLD.problems("validation")
    with pytest.raises(ValueError, match="depth"):
        WORLD.problems("test", 1, depth=9)
