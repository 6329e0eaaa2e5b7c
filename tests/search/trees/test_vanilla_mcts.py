"""Specifies vanilla MCTS: its first path is greedy, its numbers are those of the formula, ends are never doubled."""

from __future__ import annotations

import math

import pytest

from preceptor.generation import Sampling
from preceptor.search import Status, StepBeam, solve
from preceptor.search.trees import VanillaMcts
from preceptor.search.trees.selection import mean_value
from tests.search.beams.tables import asked, best_of_m, path, paths, run
from tests.search.toy import Oracle, TreePolicy, problems

OPTIONS = {"": "ab", "a": ("!1", "!2"), "b": ("!3", "!4")}
MARKS = {"a": 0.6, "b": 0.5, "a!1": 0.2, "a!2": 0.1, "b!3": 0.4, "b!4": 0.45}


def by_path(solution):  # type: ignore[no-untyped-def]
    tree = solution.tree
    return {path(tree.path(n).text): n for n in tree.nodes if n.status is not Status.PRUNED}


@pytest.mark.parametrize("settings", [{}, {"init": 0.0, "base": 1e12}], ids=["published", "c=0"])
def test_one_path_is_greedy_by_the_value_of_children(settings) -> None:  # type: ignore[no-untyped-def]
    ps = problems(20)
    mcts = solve(TreePolicy(), ps, VanillaMcts(1, 4, **settings), Oracle())
    greedy = solve(TreePolicy(), ps, StepBeam(1, 4), Oracle())
    assert [s.chosen and s.chosen.text for s in mcts.solutions] == [
        s.chosen and s.chosen.text for s in greedy.solutions
    ]
    assert [s.chosen and s.chosen.text for s in mcts.solutions] == [best_of_m(p.id, 4) for p in ps]
    assert mcts.ledger.policy.generated == greedy.ledger.policy.generated


def test_values_and_visits_of_two_paths_by_hand() -> None:
    s = run(VanillaMcts(2, 2), OPTIONS, MARKS)
    nodes = by_path(s)
    c = 1.25 + math.log((1 + 19652 + 1) / 19652)
    assert 0.2 + c * 0.5 / 2 < 0.5 + c * 0.5, "so the second path goes to b, and there to its best child"
    assert (nodes["a"].visits, nodes["a"].value_sum) == (1, 0.2)
    assert (nodes["b"].visits, nodes["b"].value_sum) == (1, 0.45)
    assert nodes[""].visits == 2
    assert mean_value(nodes[""]) == pytest.approx(0.325)
    assert [c.answer for c in s.candidates] == ["1", "4"]
    assert nodes["a"].data["prior"] == pytest.approx(0.5)


def test_without_exploration_the_best_mean_is_followed() -> None:
    s = run(VanillaMcts(3, 2, init=0, base=1e12), OPTIONS, MARKS)
    nodes = by_path(s)
    assert (nodes["a"].visits, nodes["b"].visits) == (1, 2)
    assert nodes["b!4"].visits == 2
    assert nodes["b!3"].visits == 0


def test_an_end_that_is_reached_again_is_one_solution_and_costs_nothing() -> None:
    once = run(VanillaMcts(1, 2), {"": "a", "a": ["!1"]}, {"a": 0.5, "a!1": 0.7})
    often = run(VanillaMcts(6, 2), {"": "a", "a": ["!1"]}, {"a": 0.5, "a!1": 0.7})
    assert (often.finished, often.asked) == (1, 6)
    assert often.ledger == once.ledger
    assert by_path(often)["a!1"].visits == 6
    assert mean_value(by_path(often)["a!1"]) == pytest.approx(0.7)


def test_siblings_of_an_end_are_no_candidates_unless_no_end_has_an_answer() -> None:
    s = run(VanillaMcts(1, 2), OPTIONS, MARKS)
    assert [c.answer for c in s.candidates] == ["1"]
    spare = run(VanillaMcts(1, 2), {"": "a", "a": ("?", "!2")}, {"a": 0.5, "a?": 0.9, "a!2": 0.1})
    assert spare.answer == "2"


def test_steps_cut_by_their_limit_are_discarded_and_a_barren_node_is_tried_three_times() -> None:
    options = {"": ("a", "b"), "a": ["much too long for the limit"], "b": ["!1"]}
    limit = Sampling(temperature=0.7, max_tokens=12)
    s = run(VanillaMcts(3, 2, sampling=limit), options, {"a": 0.9, "b": 0.1, "b!1": 0.3})
    assert asked(s)["a"] == 6
    assert paths(s)["a"] == "pruned"
    assert by_path(s)["b"].data["prior"] == pytest.approx(0.5)
    assert s.answer == "1"
    assert (s.tree.root.visits, s.tree.root.value_sum) == (3, pytest.approx(0.6))
    assert s.ledger.policy.generated == sum(len(n.text) for n in s.tree.nodes)


def test_an_unscored_end_is_not_an_end_of_value_zero() -> None:
    s = run(VanillaMcts(2, 1), {"": "a", "a": ["!1"]}, {})
    assert all(n.scores is None for n in s.tree.nodes)
    assert s.tree.root.visits == 2
    assert mean_value(s.tree.root) is None
    assert s.answer == "1"


def test_children_of_a_node_that_was_not_visited_may_be_drawn_by_prior() -> None:
    taken = {
        tuple(n.visits for n in s.tree.nodes[1:3])
        for s in solve(TreePolicy(), problems(20), VanillaMcts(1, 3, by_prior=True), Oracle()).solutions
    }
    assert len(taken) > 1


def test_a_tree_that_is_too_shallow_gives_no_solution() -> None:
    s = run(VanillaMcts(2, 2, max_steps=1), OPTIONS, MARKS)
    assert s.answer is None
    assert set(paths(s).values()) == {"cut"}
