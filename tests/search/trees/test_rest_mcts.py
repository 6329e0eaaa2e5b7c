"""Specifies MCTS*: visit-weighted means, greedy roll-outs that are charged, and the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from preceptor.annotate.tools.oracle import WorldOracle
from preceptor.judgement import Question
from preceptor.policy.scripted import ScriptedPolicy
from preceptor.search import Status, solve
from preceptor.search.trees import RestMcts
from preceptor.worlds import arithmetic
from tests.search.beams.tables import path, paths, run

OPTIONS = {"": "ab", "a": "cd", "b": "ef", "ac": ["!1"], "ad": ["!2"], "be": ["!3"], "bf": ["!4"]}
MARKS = {"a": 0.6, "b": 0.5, "ac": 0.4, "ad": 0.3, "be": 0.7, "bf": 0.2}
MARKS |= {"ac!1": 0.8, "ad!2": 0.3, "be!3": 0.6, "bf!4": 0.1}
BASE = RestMcts(width=2, forward=1)


def tree_nodes(solution):  # type: ignore[no-untyped-def]
    """Path -> node of the tree proper, roll-outs apart."""
    return {path(solution.tree.path(n).text): n for n in solution.tree.nodes if n.role != "rollout"}


def test_one_iteration_by_hand() -> None:
    s = run(replace(BASE, iterations=1), OPTIONS, MARKS)
    nodes = tree_nodes(s)
    # a is best; its roll-out is one step, "c" (0.4); V(a) = (0.6 + 0.4) / 2
    rolled = [n for n in s.tree.nodes if n.role == "rollout"]
    assert [n.text for n in rolled] == ["step c\n"]
    assert nodes["a"].data["v"] == pytest.approx(0.5)
    assert (nodes["a"].visits, nodes["b"].visits, nodes[""].visits) == (1, 0, 1)
    assert nodes[""].data["v"] == pytest.approx(0.5)


def test_an_expanded_node_has_the_mean_of_its_children_by_visits_and_no_running_mean() -> None:
    two, three = (tree_nodes(run(replace(BASE, iterations=i), OPTIONS, MARKS)) for i in (2, 3))
    # 2: b, not visited, has 0.5 + 1; its step e (0.7) is rolled out to its end (0.6)
    assert two["be"].data["v"] == pytest.approx(0.65)
    assert (two["b"].visits, two["b"].data["v"]) == (1, pytest.approx(0.65))
    # 3: b (0.65) beats a (0.5); f, not visited, has 0.2 + 1; its one step is an end (0.1)
    assert three["bf"].data["v"] == pytest.approx(0.1)
    assert (three["b"].visits, three["b"].data["v"]) == (2, pytest.approx((0.65 + 0.1) / 2))
    assert three[""].data["v"] == pytest.approx((0.5 * 1 + 0.375 * 2) / 3)


@pytest.mark.parametrize("iterations", [5, 12, 30])
def test_means_and_visits_hold_everywhere(iterations: int) -> None:
    s = run(replace(BASE, iterations=iterations, end_gate=2.0), OPTIONS, MARKS)
    nodes = tree_nodes(s)
    for node in nodes.values():
        kids = [
            k
            for k in s.tree.children(node)
            if k.role == "step" and k.visits and k.status is not Status.PRUNED
        ]
        if kids:
            mean = sum(k.data["v"] * k.visits for k in kids) / sum(k.visits for k in kids)
            assert node.data["v"] == pytest.approx(mean)
    assert nodes[""].visits == iterations


def test_roll_outs_are_charged_and_are_candidates_only_where_there_is_nothing_else() -> None:
    s = run(replace(BASE, iterations=1, forward=3), OPTIONS, MARKS)
    rolled = [n for n in s.tree.nodes if n.role == "rollout"]
    assert [n.text for n in rolled] == ["step c\n", "Answer: 1"]
    assert s.ledger.policy.generated == sum(len(n.text) for n in s.tree.nodes)
    assert s.ledger.scorer.calls == 4
    assert tree_nodes(s)["a"].data["v"] == pytest.approx((0.6 + 0.8) / 2), "the greatest value seen"
    assert s.answer == "1", "nothing else is finished"
    more = run(replace(BASE, iterations=30, end_gate=2.0), OPTIONS, MARKS)
    assert {more.tree[c.node].role for c in more.candidates} == {"step"}


def test_without_weight_a_roll_out_changes_no_value() -> None:
    s = run(replace(BASE, iterations=1, alpha=0), OPTIONS, MARKS)
    assert tree_nodes(s)["a"].data["v"] == 0.6
    none = run(replace(BASE, iterations=1, forward=0), OPTIONS, MARKS)
    assert tree_nodes(none)["a"].data["v"] == 0.6
    assert all(n.role != "rollout" for n in none.tree.nodes)


def test_the_gate_ends_the_search_at_a_finished_node_and_never_at_a_prefix() -> None:
    marks = MARKS | {"a": 0.95, "ac": 0.95, "ac!1": 0.92}
    s = run(replace(BASE, iterations=50), OPTIONS, marks)
    assert s.answer == "1"
    assert s.tree.root.visits < 10
    assert all(c.trace.finish.value == "stop" for c in s.candidates)
    prefix = run(replace(BASE, iterations=50), OPTIONS, MARKS | {"a": 0.95, "ac": 0.95})
    assert prefix.answer == "1"
    assert prefix.tree.root.visits == 50


def test_of_equal_values_the_later_solution_is_kept() -> None:
    s = run(RestMcts(1, 2, forward=0), {"": ("!1", "!2")}, {"!1": 0.5, "!2": 0.5})
    assert s.answer == "2"


def test_steps_that_say_nothing_or_say_it_again_are_rejected() -> None:
    options = {"": "a", "a": ("a", "b"), "ab": ["!1"], "aa": ["!2"]}
    marks = {"a": 0.5, "aa": 0.9, "ab": 0.4, "ab!1": 0.4, "aa!2": 0.4}
    s = run(RestMcts(4, 2, forward=0), options, marks)
    assert paths(s)["aa"] == "rejected"
    assert s.answer == "1"
    assert paths(run(RestMcts(4, 2, forward=0, repeats=True), options, marks))["aa"] == "live"


def test_a_node_without_a_sound_step_is_given_up_after_three_tries() -> None:
    options = {"": "ab", "a": ["a"], "b": ["!1"]}
    s = run(RestMcts(10, 2, forward=0), options, {"a": 0.9, "b": 0.1, "b!1": 0.1})
    assert paths(s)["a"] == "pruned"
    assert len([n for n in s.tree.nodes if n.status is Status.REJECTED]) == 6
    assert s.answer == "1"


def test_an_end_of_text_in_a_turn_of_its_own_is_a_solution_of_the_tree() -> None:
    """`ScriptedPolicy` stops at every line break, so its texts end in an empty step."""
    ps = arithmetic("test", n=6, operations=(2, 3))
    search = RestMcts(iterations=40, width=3, repeats=True, end_gate=2.0)
    found = solve(ScriptedPolicy(error=0.2), ps, search, WorldOracle(Question.VALUE))
    for s in found.solutions:
        done = [n for n in s.tree.nodes if n.role == "step" and n.status is Status.DONE]
        assert done
        assert all(n.data.get("why") != "too short" for n in s.tree.nodes)
