"""Specifies PROPA: what is judged, what an end backs up, when it stops, and that the root is no step."""

from __future__ import annotations

import pytest

from preceptor.search import solve
from preceptor.search.trees import Propa
from preceptor.search.trees.selection import mean_value
from tests.search.beams.tables import Marks, Table, asked, run
from tests.search.toy import problem
from tests.search.trees.test_vanilla_mcts import by_path


def test_only_the_first_step_is_judged_unless_one_is_finished() -> None:
    options = {"": "abc", "a": ("d", "!1", "!2"), "ad": "x"}
    marks = dict.fromkeys(("a", "b", "c", "ad", "a!1", "a!2"), 0.5)
    for iterations in (1, 2):
        scorer = Marks(marks)
        solve(Table(options | {"b": ["e"], "be": ["!3"]}), [problem()], Propa(3, iterations), scorer)
        assert len(scorer.sent) == iterations
    scorer = Marks(marks)
    solve(Table({"": ("d", "!1", "!2")}), [problem()], Propa(3, 1), scorer)
    assert len(scorer.sent) == 3


def test_children_without_a_visit_come_first() -> None:
    options = {"": "ab", "a": "cd", "b": "ef"} | {p: ["!1"] for p in ("ac", "ad", "be", "bf")}
    marks = {"a": 0.9, "ac": 0.9, "bf": 0.1}  # b is draw 1, so its first step is f
    s = run(Propa(2, 2), options, marks)
    assert asked(s) == {"": 2, "b": 2}
    nodes = by_path(s)
    assert nodes["b"].visits == 1
    assert mean_value(nodes["b"]) == pytest.approx(0.1)
    assert mean_value(nodes[""]) == pytest.approx(0.5)


def test_a_finished_node_that_is_selected_again_backs_up_zero() -> None:
    s = run(Propa(1, 5), {"": ["!1"]}, {"!1": 0.8})
    end = by_path(s)["!1"]
    assert (end.visits, end.value_sum) == (5, 0.8)
    assert s.ledger.policy.calls == 1


def test_the_path_score_leaves_the_root_out() -> None:
    options = {"": ("a", "b"), "a": ["!1"], "b": "c", "bc": "d", "bcd": ["!2"]}
    marks = dict.fromkeys(("a", "a!1"), 0.9) | dict.fromkeys(("b", "bc", "bcd", "bcd!2"), 0.8)
    assert sum([0.9] * 2) / 3 < sum([0.8] * 4) / 5, "with the root counted the longer path would win"
    s = run(Propa(2, 30), options, marks)
    assert {c.answer for c in s.candidates} == {"1", "2"}
    assert s.answer == "1"


def test_it_stops_once_enough_iterations_found_enough_solutions() -> None:
    options = {"": "abc", "a": ["!1"], "b": ["!2"], "c": ["!3"]}
    marks = dict.fromkeys(("a", "b", "c", "a!1", "b!2", "c!3"), 0.5)
    s = run(Propa(3), options, marks)
    assert s.finished == 3
    assert s.tree.root.visits == 1 + 3 + 6, "ten iterations, the last six of them at finished nodes"
    long = run(Propa(3, solutions=4), options, marks)
    assert (long.finished, long.asked, long.tree.root.visits) == (3, 4, 100)


def test_values_outside_zero_and_one_are_clipped_and_unknown_ones_add_nothing() -> None:
    s = run(Propa(2, 1), {"": ("!1", "!2")}, {"!1": 7.0})
    nodes = by_path(s)
    assert nodes["!1"].value_sum == 1.0
    assert (nodes["!2"].visits, mean_value(nodes["!2"])) == (1, None)
    assert mean_value(nodes[""]) == 1.0


def test_expanded_again_a_node_gets_other_draws() -> None:
    policy = Table({"": "abcd", "a": ["!1"], "b": ["!2"], "c": ["!3"], "d": ["!4"]})
    solve(policy, [problem()], Propa(2, 20), Marks({"a": 0.5}))
    sent = [(r.prefix, r.draw) for batch in policy.sent for r in batch]
    assert len(sent) == len(set(sent))
