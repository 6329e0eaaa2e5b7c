"""Specifies the world `arithmetic`: problems, splits and the exact truth about every line.

Run: python -m pytest tests/worlds/test_arithmetic.py
"""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.trace import Problem
from preceptor.worlds.arithmetic import Arithmetic
from preceptor.worlds.arithmetic_oracle import State, judge
from preceptor.worlds.base import first_invalid

WORLD = Arithmetic()

PROBLEM = Problem(
    prompt="Mia has 15 boxes with 6 pens each. Tom has 22 cups. Mia sells 31 pens. "
    "Mia buys 5 bags with 8 pens each. How many pens does Mia have now?",
    gold="99",
    world="arithmetic",
    grader="numeric",
    meta={
        "givens": [15, 6, 31, 5, 8, 22],
        "nodes": [["*", "g0", "g1"], ["-", "n0", "g2"], ["*", "g3", "g4"], ["+", "n1", "n2"]],
    },
)
RIGHT = ["15*6=90\n", "90-31=59\n", "5*8=40\n", "59+40=99\n", "Answer: 99\n"]


@pytest.mark.parametrize(
    "lines, kinds, reachable",
    [
        (RIGHT, ["ok"] * 5, [True] * 5),
        # The order of independent steps and of factors is free.
        (["8*5=40", "6*15=90", "90-31=59", "40+59=99", "Answer: 99"], ["ok"] * 5, [True] * 5),
        # A wrong result; what follows carries it on rightly: valid, but the answer is gone.
        (
            ["15*6=80", "80-31=49", "5*8=40", "49+40=89", "Answer: 89"],
            ["wrong result", "ok", "ok", "ok", "ok"],
            [False] * 5,
        ),
        # Going on with the right number in spite of one's own wrong line uses a number that stands nowhere,
        # and repairs the error: an invalid step after which the answer can be reached again.
        (["15*6=80", "90-31=59"], ["wrong result", "wrong copy"], [False, True]),
        (["15+6=21", "21-31=-10"], ["wrong operation", "ok"], [False, False]),
        (["15*6=90", "31-90=-59"], ["ok", "wrong operation"], [True, False]),
        (["15*22=330"], ["wrong operand"], [False]),
        (["15*6=90", "91-31=60"], ["ok", "wrong copy"], [True, False]),
        # The distractor with a number of the story: no step of this problem, nothing is lost.
        (["22+31=53", *RIGHT], ["unneeded step", *["ok"] * 5], [True] * 6),
        (["15*6=90", "15*6=90", *RIGHT[1:]], ["ok", "unneeded step", *["ok"] * 4], [True] * 6),
        (["15*6=90", "Answer: 99"], ["ok", "premature answer"], [True, True]),
        (["15*6=90", "Answer: 90"], ["ok", "premature answer"], [True, False]),
        ([*RIGHT[:4], "Answer: 98"], ["ok"] * 4 + ["wrong copy"], [True] * 4 + [False]),
        ([*RIGHT, "5*8=40"], ["ok"] * 5 + ["after the answer"], [True] * 6),
        (["", "fifteen times six", "15*6=90=90", "15*6"], ["unparseable"] * 4, [True] * 4),
        (["1" * 5000 + "+1=2", "١٥*٦=٩٠"], ["unparseable"] * 2, [True] * 2),
    ],
)
def test_the_oracle_names_each_error_and_what_it_costs(lines, kinds, reachable):
    truths = judge(PROBLEM, lines)
    assert [t.kind for t in truths] == kinds
    assert [t.reachable for t in truths] == reachable
    assert [t.valid for t in truths] == [k == "ok" for k in kinds]


def test_a_wrong_operation_with_the_right_result_is_invalid_and_costs_nothing():
    problem = Problem(
        prompt="",
        gold="2",
        world="arithmetic",
        grader="numeric",
        meta={"givens": [4, 2], "nodes": [["/", "g0", "g1"]]},
    )
    (truth,) = judge(problem, ["4-2=2"])
    assert (truth.valid, truth.reachable, truth.kind) == (False, True, "wrong operation")


def test_division_by_a_wrong_zero_is_unreachable_not_a_crash():
    problem = Problem(
        prompt="",
        gold="3",
        world="arithmetic",
        grader="numeric",
        meta={"givens": [12, 9, 5], "nodes": [["-", "g1", "g2"], ["/", "g0", "n0"]]},
    )
    truths = judge(problem, ["9-5=0", "12/0=3"])
    assert [t.kind for t in truths] == ["wrong result", "wrong result"]
    assert [t.reachable for t in truths] == [False, True], "the value written last is the gold answer"


def test_reference_solutions_are_valid_and_every_single_corruption_is_caught():
    for problem in WORLD.problems("train", 60, seed=3):
        assert all(t.valid and t.reachable for t in judge(problem, problem.reference))
        for t, line in enumerate(problem.reference):
            number = re.search(r"(\d+)\n$", line)
            broken = line[: number.start(1)] + str(int(number[1]) + 1) + "\n"
            truths = judge(problem, [*problem.reference[:t], broken, *problem.reference[t + 1 :]])
            assert first_invalid(truths) == t
            assert not truths[t].reachable or problem.gold in broken


def test_reachability_agrees_with_trying_every_right_continuation():
    """Brute force: from each state, try all orders of pending nodes with right results."""

    def brute(state_lines, problem):
        state = State.of(problem)
        for line in state_lines:
            state.take(line)
        if state.answer is not None:
            return state.answer == state.gold
        pending = state.pending()
        if len(state.written) == len(state.nodes):
            return state.written[len(state.nodes) - 1] == state.gold
        for k in pending:
            a, b = state.inputs(k)
            op = state.nodes[k][0]
            if op == "/" and (b == 0 or (a / b).denominator != 1):
                continue
            result = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else 0}[op]
            if brute([*state_lines, f"{a}{op}{b}={result}"], problem):
                return True
        return False

    attempts = [
        [],
        ["15*6=90"],
        ["15*6=91"],
        ["15+6=21"],
        ["5*8=40", "15*6=90"],
        ["22+31=53"],
        ["15*22=330"],
        ["15*6=90", "Answer: 9"],
        ["5*8=41", "15*6=89"],
    ]
    for lines in attempts:
        state = State.of(PROBLEM)
        for line in lines:
            state.take(line)
        assert state.reachable == brute(lines, PROBLEM), lines


@given(st.lists(st.text(max_size=30) | st.sampled_from([*RIGHT, "Answer: 1", "15-6=9"]), max_size=12))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_oracle_and_prefixes_keep_their_truth(lines):
    truths = judge(PROBLEM, lines)
    assert len(truths) == len(lines)
    for t in range(len(lines)):
        assert judge(PROBLEM, lines[:t]) == truths[:t]


def test_problems_are_distinct_deterministic_and_a_prefix_of_a_larger_draw():
    small, large = WORLD.problems("test", 50), WORLD.problems("test", 200)
    assert small == large[:50]
    assert len({p.id for p in large}) == len({p.prompt for p in large}) == 200
    assert WORLD.problems("test", 50, seed=1) != small


def test_splits_stay_disjoint_for_any_seed():
    drawn = {
        split: {p.prompt for seed in range(5) for p in WORLD.problems(split, 300, seed=seed)}
        for split in ("train", "dev", "test")
    }
    for a, b in itertools.combinations(drawn, 2):
        assert not drawn[a] & drawn[b]


def test_every_number_of_a_problem_occurs_once_and_stands_in_the_prompt():
    for problem in WORLD.problems("train", 200, seed=9):
        values = list(problem.meta["givens"])
        for line in problem.reference[:-1]:
            values.append(int(line.split("=")[1]))
        assert len(values) == len(set(values))
        assert sorted(map(int, re.findall(r"\d+", problem.prompt))) == sorted(problem.meta["givens"])


def test_knobs_turn_what_they_name():
    easy = WORLD.problems("train", 80, operations=(2, 2), distractors=(0, 0), largest=100)
    assert {len(p.meta["nodes"]) for p in easy} == {2}
    assert all(int(line.split("=")[1]) <= 100 for p in easy for line in p.reference[:-1])
    hard = WORLD.problems("train", 80, operations=(8, 8), distractors=(2, 2))
    assert {len(p.meta["nodes"]) for p in hard} == {8}
    for p in hard:
        used = {ref for node in p.meta["nodes"] for ref in node[1:] if ref[0] == "g"}
        assert len(p.meta["givens"]) - len(used) == 2


@pytest.mark.parametrize(
    "arguments", [{"split": "valid"}, {"operations": (0, 3)}, {"operations": (5, 9)}, {"distractors": (0, 9)}]
)
def test_impossible_knobs_are_refused_with_the_allowed_range(arguments):
    with pytest.raises(ValueError, match="expected"):
        WORLD.problems(n=1, **arguments)
