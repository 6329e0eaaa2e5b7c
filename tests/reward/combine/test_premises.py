"""Natural Program: a step is judged with the problem and what it cites, and nothing else."""

from __future__ import annotations

import re
import time

import pytest

from preceptor.annotate import WorldOracle
from preceptor.errors import InputError
from preceptor.reward.combine import ArithmeticCitations, Premises, WrittenCitations
from preceptor.reward.combine.premises import closures, restricted
from preceptor.trace import Trace
from preceptor.worlds import WORLDS
from tests.reward.combine.scorers import Rule, attempts, reading, trace_of

CHAIN = trace_of("2+3=5\n", "4*4=16\n", "5+1=6 (from 1)\n", "6+16=22 (from 2, 3)")


def grounded(trace: Trace) -> list[float]:
    """Right sums whose numbers stand in the problem or in a shown earlier result."""
    known = set(re.findall(r"\d+", trace.problem.prompt))
    scores = []
    for text in trace.step_texts:
        a, op, b, c = re.match(r"\s*(\d+)([-+*])(\d+)=(\d+)", text).groups()
        right = {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[op] == int(c)
        scores.append(float(right and {a, b} <= known))
        known.add(c)
    return scores


def cited(*steps: str) -> list:
    return WrittenCitations()(trace_of(*steps))


def test_a_step_is_shown_with_its_citations_in_order_and_is_the_last_step_shown():
    small = restricted(CHAIN, 3, (2, 1, 1))
    assert small.step_texts == ["4*4=16\n", "5+1=6 (from 1)\n", "6+16=22 (from 2, 3)"]
    assert small.problem is CHAIN.problem
    assert small.parent == CHAIN.id


def test_all_steps_of_all_traces_are_one_call_and_the_last_score_of_each_is_read():
    member = Rule()
    scorer = Premises(member, refused=None)
    judged = scorer.score([CHAIN, CHAIN])
    assert len(member.calls) == 1
    assert [len(t.steps) for t in member.calls[0]] == [2, 3] * 2
    expected = [reading(restricted(CHAIN, 2, (0,)))[-1], reading(restricted(CHAIN, 3, (1, 2)))[-1]]
    assert judged[0].scores == (None, None, *expected)
    assert judged[0].trace == CHAIN.id
    assert judged[0].usage.scorer.scored == 50


def test_an_uncited_step_never_changes_the_row_and_a_cited_one_does():
    def rows(second: str, third: str) -> str:
        member = Rule()
        Premises(member).score([trace_of("2+3=5 (given)\n", second, third, "5+1=6 (from 1, 3)\n")])
        return member.calls[0][-1].text

    plain = rows("4*4=16 (given)\n", "1+1=2 (given)\n")
    assert rows("nonsense (given)\n", "1+1=2 (given)\n") == plain
    assert rows("4*4=16 (given)\n", "1+1=3 (given)\n") != plain


def test_a_number_from_an_uncited_step_is_not_grounded():
    problem = WORLDS["arithmetic"].problems(n=1)[0]
    a, b = re.findall(r"\d+", problem.prompt)[:2]
    total = int(a) * int(b)
    first = f"{a}*{b}={total} (from the problem)\n"
    honest = trace_of(first, f"{total}+{a}={total + int(a)} (from 1)\n", problem=problem)
    silent = trace_of(first, f"{total}+{a}={total + int(a)} (from the problem)\n", problem=problem)
    judged = Premises(Rule(grounded)).score([honest, silent])
    assert [j.scores for j in judged] == [(1.0, 1.0), (1.0, 0.0)]
    assert Rule(grounded).score([silent])[0].scores == (1.0, 1.0)


@pytest.mark.parametrize(
    "steps, flag",
    [
        (("1+1=2 (given)\n", "2+2=4 (from 2)\n"), "forward-citation"),
        (("1+1=2 (given)\n", "2+2=4 (from 3)\n", "4+1=5 (from 1)\n"), "forward-citation"),
        (("1+1=2 (given)\n", "2+2=4 (from 7)\n"), "dangling-citation"),
        (("1+1=2 (given)\n", "2+2=4\n"), "no-citation"),
    ],
)
def test_a_step_that_cites_itself_later_steps_nothing_or_nowhere_is_refused(steps: tuple, flag: str):
    for refused in (None, 0.0):
        member = Rule()
        (judged,) = Premises(member, refused=refused).score([trace_of(*steps)])
        assert judged.scores[1] is refused or judged.scores[1] == refused
        assert judged.scores[0] is not None
        assert judged.flags == (flag,)
        assert all(steps[1] not in row.step_texts[-1:] for row in member.calls[0])


def test_the_arithmetic_citations_are_the_lines_that_wrote_the_inputs():
    for trace in attempts(20, 2, error=0.2):
        nodes = trace.problem.meta["nodes"]
        found = ArithmeticCitations()(trace)
        assert found[-1] == (len(nodes) - 1,)
        for k, (_, left, right) in enumerate(nodes):
            assert found[k] == tuple(sorted({int(r[1:]) for r in (left, right) if r[0] == "n"}))


def test_lines_in_another_order_cite_what_they_use_and_not_their_place():
    problem = next(
        p
        for p in WORLDS["arithmetic"].problems(n=64)
        if len(p.meta["nodes"]) > 2 and all(r[0] == "g" for r in p.meta["nodes"][1][1:])
    )
    a, b, *rest = problem.reference
    found = ArithmeticCitations()(trace_of(*(s.strip() + "\n" for s in (b, a, *rest)), problem=problem))
    swap = {0: 1, 1: 0}
    nodes = problem.meta["nodes"]
    for k in range(2, len(nodes)):
        used = {int(r[1:]) for r in nodes[k][1:] if r[0] == "n"}
        assert found[k] == tuple(sorted(swap.get(n, n) for n in used))


def test_the_exact_premises_and_what_they_rest_on_are_enough_for_the_exact_verdict():
    traces = attempts(40, 2, error=0.3)
    full = WorldOracle().score(traces)
    whole = Premises(WorldOracle(), ArithmeticCitations(), closure=True).score(traces)
    assert [j.scores for j in whole] == [j.scores for j in full]
    assert any(0.0 in j.scores for j in full)
    assert whole[0].rationale is None or len(whole[0].rationale) == len(traces[0].steps)
    direct = Premises(WorldOracle(), ArithmeticCitations()).score(traces)
    assert [j.scores for j in direct] != [j.scores for j in full]


def test_direct_premises_are_enough_for_a_checker_of_single_steps():
    traces = [t for t in attempts(40, 1, error=0.3) if "/" not in t.text]
    operations = [
        Trace(t.problem, t.prefix(len(t.steps) - 1), t.steps[:-1]) for t in traces if len(t.steps) > 2
    ]
    assert len(operations) > 5
    shown = Premises(Rule(grounded), ArithmeticCitations()).score(operations)
    assert [list(j.scores) for j in shown] == [grounded(t) for t in operations]


def test_closures_equal_reachability_by_brute_force():
    own = [(), (0,), (), (1, 2), (3,), (5,), (4, 5)]
    expected = [(), (0,), (), (0, 1, 2), (0, 1, 2, 3), (5,), (0, 1, 2, 3, 4, 5)]
    assert closures(own) == expected
    assert closures([None, (0,)]) == [None, (0,)]


def test_natural_program_lines_count_the_problem_first():
    steps = (
        "#3. (by #1 #2) Step 1: 2+3=5\n",
        "#4. (by #1) Step 2: 2*4=8\n",
        "#5. (by #3 #4) Step 3: 5+8=13\n",
        "#6. (by step 1, #4) Step 4: done\n",
        "#7. (by #9) Step 5: out of nowhere\n",
    )
    assert cited(*steps) == [(), (), (0, 1), (0, 1), (-1,)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("5+8=13 (from 1, 3)", (0, 2)),
        ("so 13 (using 1 and 2)", (0, 1)),
        ("By #2 and #3 we get 13", (1, 2)),
        ("From step 2, 5+8=13", (1,)),
        ("Steps 1 to 3 give 13", (0, 1, 2)),
        ("steps 1, 3 give 13", (0, 2)),
        ("step 1 8+5=13", (0,)),
        ("5+8=13 (from the problem)", ()),
        ("13 apples (from 3 bags of 5)", None),
        ("5+8=13", None),
        ("Step 4: 5+8=13", None),
        ("Step 4: as Step 1 says, 13", (0,)),
        ("4) 13 (from 2)", (1,)),
        ("(by steps 3 to 1) 13", (0, 2)),
    ],
)
def test_citations_as_they_are_written(text: str, expected: tuple | None):
    assert cited("a (given)\n", "b (given)\n", "c (given)\n", text)[-1] == expected


def test_labels_and_not_places_are_meant_where_steps_carry_labels():
    assert cited("Let me think.\n", "Step 1: 5\n", "Step 2: 8, see step 1\n")[2] == (1,)


def test_hostile_text_is_read_in_linear_time():
    for text in ("steps 1" + ", 1" * 50_000 + " x", "(by " * 50_000, "#1 to " * 50_000, " \t" * 50_000 + "#"):
        begin = time.perf_counter()
        cited(text)
        assert time.perf_counter() - begin < 1.0
    assert cited("a\n", "(from 1 to 999999)")[1] == (-1, 0)


def test_a_row_that_fails_leaves_its_step_without_score_and_names_it():
    fails = Rule(lambda trace: "broken" if "bad" in trace.step_texts[-1] else reading(trace))
    (judged,) = Premises(fails).score([trace_of("ok (given)\n", "bad (from 1)\n", "ok (from 1)\n")])
    assert [s is None for s in judged.scores] == [False, True, False]
    assert judged.error.kind == "broken"
    assert judged.error.message.startswith("step 1:")


def test_citers_are_named_in_the_source_and_must_cover_every_step():
    assert Premises(Rule()).source != Premises(Rule(), ArithmeticCitations()).source
    with pytest.raises(InputError, match="one per step"):
        Premises(Rule(), lambda trace: [()]).score([CHAIN])
    other = attempts(1, 1)[0]
    assert ArithmeticCitations()(CHAIN) == [None] * 4
    assert None not in ArithmeticCitations()(other)
    assert Premises(Rule()).score([trace_of()])[0].scores == ()
