"""Specifies AlphaMath's MCTS: what is selected, scored and backed up, and when the tree is closed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from preceptor.generation import Sampling
from preceptor.search import solve
from preceptor.search.trees import AlphaMathMcts
from tests.search.beams.tables import Marks, Table, asked, run
from tests.search.toy import problem
from tests.search.trees.test_vanilla_mcts import by_path

OPTIONS = {"": "ab", "a": "cd", "b": ("!3", "e"), "ac": ["!1"], "ad": ["!2"], "be": ["!4"]}
MARKS = {
    "a": 0.6,
    "b": 0.9,
    "ac": 0.5,
    "ad": 0.4,
    "be": 0.2,
    "b!3": 0.7,
    "ac!1": 0.8,
    "ad!2": 0.1,
    "be!4": 0.95,
}
P = math.exp(-0.5)


def test_three_iterations_by_hand() -> None:
    s = run(AlphaMathMcts(3, 2), OPTIONS, MARKS)
    nodes = by_path(s)
    # 1 expands the root, which has no value; 2 the first child (a tie, here at random); 3 weighs
    first, second = ("a", "b") if nodes["a"].id and "ac" in nodes else ("b", "a")
    assert nodes[""].data == {"unvalued": 1}
    assert nodes[first].data["prior"] == pytest.approx(P), "not divided by the siblings' sum"
    v = {"a": 2 * 0.6 - 1, "b": 2 * 0.9 - 1, "b!3": 2 * 0.7 - 1}
    if first == "a":
        w, n = v["a"], 1
    else:
        w, n = v["b"] + v["b!3"], 2
    parent = 1 + n
    stay = w / n + 1.25 * P * math.sqrt(parent) / (1 + n)
    move = 1.25 * P * math.sqrt(parent)
    if move > stay:
        assert nodes[second].visits > 0
    else:
        assert nodes[second].visits == 0


def test_every_leaf_and_every_end_adds_its_value_and_a_visit_up_to_the_root() -> None:
    s = run(AlphaMathMcts(40, 2), OPTIONS, MARKS)
    nodes = by_path(s)
    for name, node in nodes.items():
        below = [n for p, n in nodes.items() if p.startswith(name) and p and p in MARKS]
        assert node.visits == len(below) + (name == "")
        assert node.value_sum == pytest.approx(
            sum(2 * MARKS[p] - 1 for p in nodes if p.startswith(name) and p)
        )
    assert s.answer == "4", "the finished solution of greatest value"
    assert nodes[""].data["closed"]


def test_a_closed_tree_ends_the_search_before_the_iterations_are_used() -> None:
    s = run(AlphaMathMcts(1000, 2), OPTIONS, MARKS)
    assert asked(s) == {"": 2, "a": 2, "b": 2, "ac": 2, "ad": 2, "be": 2}
    assert s.stop == "done"


def test_scored_are_only_leaves_that_are_expanded_and_ends() -> None:
    marks = Marks(MARKS)
    solve(Table(OPTIONS), [problem()], AlphaMathMcts(2, 2), marks)
    told = [t.text for t in marks.sent]
    assert len(told) == len(set(told))
    assert set(told) in ({"step a\n"}, {"step b\n", "step b\nAnswer: 3"})


def test_no_answer_and_too_many_steps_count_minus_one() -> None:
    none = by_path(run(AlphaMathMcts(1, 2), {"": ("?", "a")}, {"?": 0.9, "a": 0.9}))
    assert (none["?"].value_sum, none["?"].visits) == (-1.0, 1)
    deep = by_path(run(AlphaMathMcts(5, 2, max_steps=1), {"": "ab"}, {"a": 0.9, "b": 0.9}))
    assert [deep[k].value_sum for k in "ab"] == [-1.0, -1.0]
    cut = run(AlphaMathMcts(1, 2, sampling=Sampling(max_tokens=5)), {"": "ab"}, {"a": 0.9})
    assert [n.value_sum for n in cut.tree.nodes[1:]] == [-1.0, -1.0]
    milder = by_path(run(AlphaMathMcts(1, 2, invalid=-0.2), {"": ("?", "a")}, {"?": 0.9, "a": 0.9}))
    assert milder["?"].value_sum == -0.2


def test_signed_values_are_taken_as_they_are() -> None:
    signed = {k: 2 * v - 1 for k, v in MARKS.items()}
    a, b = run(AlphaMathMcts(6, 2), OPTIONS, MARKS), run(AlphaMathMcts(6, 2, signed=True), OPTIONS, signed)
    for one, other in zip(a.tree.nodes, b.tree.nodes, strict=True):
        assert (one.text, one.visits) == (other.text, other.visits)
        assert one.value_sum == pytest.approx(other.value_sum)


def test_a_right_end_brings_its_value_and_not_plus_one() -> None:
    p = problem(gold="3")
    nodes = [
        solve(Table(OPTIONS), [q], AlphaMathMcts(5, 2), Marks(MARKS)).solutions[0].tree.to_record()
        for q in (p, replace(p, gold="no"), replace(p, gold=None))
    ]
    assert nodes[0] == nodes[1] == nodes[2]


def test_more_exploration_visits_more_evenly() -> None:
    options = {"": "ab"} | dict.fromkeys(_words(6), "ab")
    marks = {p: 0.9 if p[0] == "a" else 0.3 for p in _words(7)}

    def share(c: float) -> float:
        nodes = by_path(run(AlphaMathMcts(30, 2, c_puct=c, max_steps=7), options, marks))
        return nodes["b"].visits / nodes[""].visits

    assert share(0.0) < share(1.25) < share(50.0)
    assert share(50.0) == pytest.approx(0.5, abs=0.1)


def _words(n: int) -> list[str]:
    found = [""]
    for _ in range(n):
        found += [w + c for w in found for c in "ab" if w + c not in found]
    return sorted(set(found) - {""})
