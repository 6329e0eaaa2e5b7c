"""Specifies diverse verifier tree search: subtrees that share nothing, and what each gives at its end."""

from __future__ import annotations

import pytest

from preceptor.search import solve
from preceptor.search.beams import AlphaMathBeam, Dvts
from preceptor.usage import Budget
from tests.search.beams.tables import asked, best_of_m, paths, run
from tests.search.toy import Oracle, TreePolicy, problems


@pytest.mark.parametrize("m", [1, 3, 5])
def test_one_subtree_is_step_level_best_of_m(m: int) -> None:
    ps = problems(25)
    dvts = solve(TreePolicy(), ps, Dvts(1, m, vote="bon"), Oracle())
    beam = solve(TreePolicy(), ps, AlphaMathBeam(1, m, duplicates="keep"), Oracle())
    for a, b in zip(dvts.solutions, beam.solutions, strict=True):
        assert a.chosen is not None
        assert b.chosen is not None
        assert a.chosen.text == b.chosen.text == best_of_m(a.problem.id, m)
        assert len(a.tree) == len(b.tree)


def test_fewer_subtrees_are_the_first_of_more() -> None:
    ps = problems(10)
    few = solve(TreePolicy(), ps, Dvts(2, 3), Oracle())
    many = solve(TreePolicy(), ps, Dvts(5, 3), Oracle())
    for a, b in zip(few.solutions, many.solutions, strict=True):
        first = [b.tree.path(n).text for n in b.tree.nodes[1:] if n.data["subtree"] < 2]
        assert [a.tree.path(n).text for n in a.tree.nodes[1:]] == first


OPTIONS = {
    "": ["a", "b", "c", "d"],
    "a": ["!1", "e", "!9"],
    "b": ["f", "!2", "!3"],
    "c": ["f", "!4", "!5"],
    "ae": ["!6", "!8", "g"],
}
MARKS = {"a": 0.9, "b": 0.1, "c": 0.05, "d": 0.01, "a!1": 0.4, "a!9": 0.3, "ae": 0.8, "ae!6": 0.7} | {
    "ae!8": 0.2, "aeg": 0.5, "cf": 0.01, "c!5": 0.03, "b!2": 0.05, "b!3": 0.05, "bf": 0.01,
}  # fmt: skip


def test_subtrees_do_not_compete() -> None:
    s = run(Dvts(2, 2), OPTIONS, MARKS)
    assert asked(s) == {"": 4, "a": 2, "c": 2, "ae": 2}, "c goes on although a's step b scores higher"
    assert paths(s)["b"] == paths(s)["d"] == "pruned"
    assert {n.data["subtree"] for n in s.tree.nodes[1:]} == {0, 1}


def test_a_subtree_gives_the_finished_ones_of_its_last_turn_and_no_others() -> None:
    s = run(Dvts(2, 2), OPTIONS, MARKS)
    assert [c.answer for c in s.candidates] == ["5", "8", "6"]
    assert paths(s)["a!1"] == "done"
    assert paths(s)["cf"] == "pruned", "an unfinished sibling is no solution"
    loser = next(n for n in s.tree.nodes if n.answer == "1")
    assert loser.data["why"] == "a sibling scored higher"
    assert (s.asked, s.finished) == (4, 3)
    assert s.answer == "6"


def test_the_answer_is_voted_for() -> None:
    options = {"": ["a", "b", "c"], "a": ["!1"], "b": ["!2"], "c": ["!2"]}
    marks = {"a": 0.5, "b": 0.5, "c": 0.5, "a!1": 0.6, "b!2": 0.4, "c!2": 0.4}
    assert run(Dvts(3, 1), options, marks).answer == "2"
    assert run(Dvts(3, 1, vote="bon"), options, marks).answer == "1"
    assert run(Dvts(1, 1), options, marks).answer == "1"


def test_near_the_end_of_a_budget_subtrees_narrow_and_the_worst_end_first() -> None:
    for s in solve(TreePolicy(), problems(8), Dvts(3, 3), Oracle(), Budget(tokens=75)).solutions:
        assert s.answer is not None
        assert s.ledger.policy.generated <= 75
        ended = [n for n in s.tree.nodes if n.data.get("why", "").startswith("the budget")]
        assert ended
