"""Specifies what searches of a tree share: the rules by their numbers, unknown values, and the index of children."""

from __future__ import annotations

import math

import numpy as np
import pytest

from preceptor.search import Majority, Node, Search, Status, Tree, solve
from preceptor.search.trees.selection import (
    back_up,
    best,
    growing_c,
    mean_value,
    priors,
    puct,
    rank,
    sift,
    uct,
)
from preceptor.usage import Budget
from tests.search.toy import TreePolicy, problem, problems


def test_rules_of_selection_by_hand() -> None:
    assert puct(0.5, 4, 1, 1.25) == pytest.approx(0.625)
    assert puct(0.5, 0, 0, 1.25) == 0, "before the first visit of the parent only values count"
    assert growing_c(0, 19652, 1.25) == pytest.approx(1.25 + math.log(19653 / 19652))
    assert growing_c(19651, 19652, 0) == pytest.approx(math.log(2))
    assert uct(8, 2, 0.7) == pytest.approx(0.7 * math.sqrt(2 * math.log(8) / 2))
    assert uct(8, 2, 2.0, 1.0) == pytest.approx(2 * math.sqrt(math.log(8) / 2))
    assert uct(1, 1, 2.0) == 0


def test_an_unknown_value_ranks_behind_the_worst_known_one_and_not_like_zero() -> None:
    nodes = [Node(1, 0), Node(2, 0), Node(3, 0)]
    value = {1: None, 2: -5.0, 3: None}
    assert best(nodes, lambda n: rank(value[n.id], 100.0)).id == 2
    bonus = {1: 0.1, 2: 0.0, 3: 0.2}
    assert best(nodes, lambda n: rank(None, bonus[n.id])).id == 3


def test_ties_go_to_the_first_or_by_chance() -> None:
    nodes = [Node(i, 0) for i in range(1, 4)]
    assert best(nodes, lambda n: rank(1.0)).id == 1
    rng = np.random.default_rng(0)
    drawn = {best(nodes, lambda n: rank(float(n.id > 1)), lambda: rng).id for _ in range(40)}
    assert drawn == {2, 3}


def test_a_visit_without_a_value_leaves_the_mean() -> None:
    s = solve(TreePolicy(), problems(1), Majority(1)).solutions[0]
    search = Search(s.problem, Majority(1), Budget(), 0, s.tree)
    leaf = s.tree[1]
    assert mean_value(leaf) is None
    for value in (0.2, None, 0.6):
        back_up(search, leaf, value)
    assert (leaf.visits, s.tree.root.visits) == (3, 3)
    assert mean_value(leaf) == mean_value(s.tree.root) == pytest.approx(0.4)


def test_priors_are_geometric_means_of_token_probabilities() -> None:
    nodes = [Node(1, 0, logprobs=(-1.0, -3.0)), Node(2, 0, logprobs=(-0.5,))]
    assert priors(nodes, normalize=False) == pytest.approx([math.exp(-2), math.exp(-0.5)])
    assert sum(priors(nodes, normalize=True)) == pytest.approx(1)
    assert priors([*nodes, Node(3, 0)], normalize=False) == [1 / 3] * 3, "one is unknown: none counts more"


def test_the_index_of_children_is_what_a_scan_finds_however_the_tree_grew() -> None:
    tree = Tree(problem())
    rng = np.random.default_rng(1)
    for i in range(1, 60):
        tree.nodes.append(Node(i, int(rng.integers(i)), str(i)))
        asked = tree[int(rng.integers(i))]
        assert tree.children(asked) == [n for n in tree.nodes if n.parent == asked.id]
    again = Tree.from_record(tree.to_record(), tree.problem)
    assert [[k.id for k in again.children(n)] for n in again.nodes] == [
        [k.id for k in tree.children(n)] for n in tree.nodes
    ]
    tree.children(tree.root).clear()
    assert tree.children(tree.root), "what is handed out is a copy"


def test_sifting_merges_equal_siblings_once_and_cuts_what_is_too_deep() -> None:
    tree = Tree(problem())
    search = Search(tree.problem, Majority(1), Budget(), 0, tree)
    for i, text in enumerate("aab", 1):
        tree.nodes.append(Node(i, 0, text, ends=(1,)))
    assert [n.text for n in sift(search, tree.root, 5)] == ["a", "b"]
    assert [n.text for n in sift(search, tree.root, 5)] == ["a", "b"]
    assert tree[1].multiplicity == 2
    assert sift(search, tree.root, 1) == []
    assert [n.status for n in tree.nodes[1:]] == [Status.CUT, Status.PRUNED, Status.CUT]
