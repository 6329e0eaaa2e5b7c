"""Specifies the value-guided beam: the pool, what finished sequences do in it, and its limit."""

from __future__ import annotations

import pytest

from preceptor.search import BestOfN, Majority, Node, Search, StepBeam, solve
from preceptor.search.beams import OvmBeam
from preceptor.usage import Budget
from tests.search.beams.tables import asked, path, paths, run
from tests.search.toy import Oracle, TreePolicy, problems


def test_a_pool_as_wide_as_its_candidates_is_best_of_n() -> None:
    ps = problems(20)
    pool = solve(TreePolicy(), ps, OvmBeam(keep=6, expand=1), Oracle(), seed=3)
    bon = solve(TreePolicy(), ps, BestOfN(6), Oracle(), seed=3)
    for a, b in zip(pool.solutions, bon.solutions, strict=True):
        assert a.chosen is not None
        assert b.chosen is not None
        assert a.chosen.text == b.chosen.text
        assert {c.trace.text for c in a.candidates} == {c.trace.text for c in b.candidates}
    assert pool.ledger.policy.generated == bon.ledger.policy.generated


@pytest.mark.parametrize(
    "duplicates, kept", [("prefer-distinct", "abc"), ("keep", "aab"), ("merge", "abc")], ids=str
)
def test_distinct_sequences_come_first_where_that_is_asked_for(duplicates: str, kept: str) -> None:
    strategy = OvmBeam(3, 1, duplicates=duplicates)
    s = solve(TreePolicy(), problems(1), Majority(1)).solutions[0]
    search = Search(s.problem, strategy, Budget(), 0, s.tree)
    s.tree.nodes[1].data["why"] = "of the other search"
    for text in "aabbc":
        s.tree.nodes.append(Node(len(s.tree), 0, text, ends=(1,), scores=(0.5,)))
    nodes = s.tree.nodes[2:]
    strategy.narrow(search, nodes)
    assert "".join(n.text for n in nodes if n.status.value == "live") == kept


def test_a_finished_sequence_takes_a_place_in_the_pool() -> None:
    options = {"": ["!1", "x", "y", "z"], "x": ["!2", "!3"], "y": ["!4", "!4"]}
    marks = {"!1": 0.6, "x": 0.5, "y": 0.4, "z": 0.1, "x!2": 0.3, "x!3": 0.2, "y!4": 0.9}
    s = run(OvmBeam(2, 2), options, marks)
    assert asked(s) == {"": 4, "x": 2}, "y has no place beside !1 and x"
    assert s.answer == "1"
    assert paths(s)["y"] == "pruned"
    beam = run(StepBeam(2, 2), options, marks)
    assert asked(beam) == {"": 4, "x": 2, "y": 2}, "in a plain beam a finished one takes no place"
    assert beam.answer == "4"


def test_a_finished_sequence_that_is_pushed_out_is_not_chosen_although_its_value_is_greater_in_the_end() -> (
    None
):
    options = {"": ["!1", "x", "y", "z"], "x": ["xx", "xy"], "xxx": ["!2", "!2"], "xxy": ["!3", "!3"]}
    marks = {"!1": 0.4, "x": 0.5, "y": 0.1, "z": 0.1, "xxx": 0.6, "xxy": 0.7, "xxx!2": 0.3, "xxy!3": 0.2}
    s = run(OvmBeam(2, 2), options, marks)
    assert s.answer == "2"
    first = next(n for n in s.tree.nodes[1:] if path(n.text) == "!1")
    assert first.data["why"] == "left the pool"
    assert first.status.value == "done"
    assert [c.answer for c in s.candidates] == ["2", "2"]


def test_what_was_pushed_out_stands_in_where_the_pool_has_no_answer() -> None:
    options = {"": ["!1", "x", "y", "z"], "x": ["x", "y"], "xx": ["z"], "xy": ["z"]}
    marks = {"!1": 0.4, "x": 0.5, "y": 0.1, "z": 0.1, "xx": 0.6, "xy": 0.7}
    s = run(OvmBeam(2, 2, max_steps=3), options, marks)
    assert s.answer == "1"
    assert {st for p, st in paths(s).items() if len(p) == 3} == {"cut"}
