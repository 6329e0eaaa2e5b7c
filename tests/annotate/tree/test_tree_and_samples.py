"""Trees of solutions that share prefixes, and the samples read off them."""

from __future__ import annotations

import pytest

from preceptor.annotate.tree import (
    Node,
    Sample,
    Tree,
    as_labels,
    path_samples,
    point_samples,
    sibling_pairs,
)
from preceptor.errors import InputError
from preceptor.judgement import Question, Source
from preceptor.trace import Finish
from tests.annotate.scripted import GOLD, problem
from tests.annotate.tree.growing import lines


def forest() -> Tree:
    """Five solutions: a (2 of 3 right) with b (2 of 2), c; and d, twice the same wrong one."""
    right, wrong = f"Answer: {GOLD}", "Answer: 7"
    return Tree.of(
        problem(),
        [
            lines("a", "b", right),
            lines("a", "b", right),
            lines("a", "c", wrong),
            lines("d", wrong),
            lines("d", wrong),
        ],
    )


def node(tree: Tree, text: str, parent: Node, counts: tuple[int, int]) -> Node:
    made = tree.add(parent.text + text, parent)
    made.counts = counts
    return made


def test_equal_prefixes_are_one_node_whose_counts_pool_all_solutions_through_it():
    tree = forest()
    counts = {n.text: n.counts for n in tree}
    assert counts[""] == (2, 5)
    assert (counts["a\n"], counts["a\nb\n"], counts["a\nc\n"], counts["d\n"]) == (
        (2, 3), (2, 2), (0, 1), (0, 2),
    )  # fmt: skip
    assert len(tree.leaves) == 3, "the two solutions by b, and by d, are one leaf each"
    assert [n.height for n in tree.nodes["a\nb\n"].lineage] == [0, 1, 2]
    assert tree.nodes["a\nb\n"].steps == ("a\n", "b\n")


def test_undecided_and_cut_solutions_are_in_no_count():
    cut = lines("a", "b", finish=Finish.LENGTH)
    ungraded = Tree.of(problem(), [cut, lines("a", f"Answer: {GOLD}")])
    assert ungraded.root.counts == (1, 1)
    assert ungraded.nodes["a\nb\n"].value is None
    assert [s.step for s in point_samples(ungraded)] == ["a\n", f"Answer: {GOLD}\n"]


def test_a_node_hangs_where_its_text_says():
    tree = forest()
    with pytest.raises(InputError, match="begins with its parent's"):
        tree.add("x\n", tree.nodes["a\n"])


def test_points_are_soft_rates_with_counts_or_hard_any_success():
    soft = {s.text: s for s in point_samples(forest())}
    assert "" not in soft, "the root is no step"
    assert soft["a\n"].target == 2 / 3
    assert soft["a\nb\n"].targets == (None, 1.0)
    assert soft["a\nb\n"].counts == (None, (2, 2))
    hard = {s.text: s.target for s in point_samples(forest(), "hard")}
    assert (hard["a\n"], hard["a\nc\n"], hard["d\n"]) == (1.0, 0.0, 0.0)
    with pytest.raises(InputError, match="'soft' or 'hard'"):
        point_samples(forest(), "softest")


def test_pairs_are_siblings_of_different_value():
    pairs = sibling_pairs(forest())
    assert [(p.prefix, p.better, p.worse, round(p.margin, 3)) for p in pairs] == [
        ("", "a\n", "d\n", 0.667),
        ("a\n", "b\n", "c\n", 1.0),
    ]
    assert [p.prefix for p in sibling_pairs(forest(), margin=0.9)] == ["a\n"]


def test_a_step_and_its_own_continuation_are_no_pair():
    tree = Tree(problem())
    node(tree, "a\n", tree.root, (0, 4))
    node(tree, "a\nb\n", tree.root, (2, 4))
    assert sibling_pairs(tree) == []


def long(tag: str) -> str:
    return " ".join(f"{tag}{i}" for i in range(11)) + "\n"


def mm_tree(name: str = "q", root: tuple[int, int] = (4, 8)) -> Tree:
    """Positive leaves p, q; a negative node n with a positive node below it; a short leaf."""
    tree = Tree(problem(name))
    tree.root.counts = root
    node(tree, long("p"), tree.root, (6, 8))
    node(tree, long("q"), tree.root, (3, 8))
    negative = node(tree, long("n"), node(tree, long("m"), tree.root, (2, 8)), (0, 8))
    node(tree, long("below"), negative, (5, 8))
    node(tree, "short\n", tree.root, (1, 8))
    return tree


def test_paths_close_at_value_0_or_at_a_leaf_and_carry_the_values_on_the_way():
    found = path_samples([mm_tree()], balance=False)
    assert [(s.steps[-1].split()[0], s.targets) for s in found] == [
        ("p0", (0.75,)), ("q0", (0.375,)), ("n0", (0.25, 0.0)),
    ]  # fmt: skip
    assert found[-1].counts == ((2, 8), (0, 8))


def test_short_texts_and_repetitions_go_and_positives_are_cut_to_the_negatives():
    assert "short" in {s.text.strip() for s in path_samples([mm_tree()], longest_dropped=0, balance=False)}
    twice = path_samples([mm_tree(), mm_tree()], balance=False)
    assert len(twice) == 3
    kept = path_samples([mm_tree(), mm_tree("r")])
    assert [bool(s.target) for s in kept].count(True) == 2 == [bool(s.target) for s in kept].count(False)
    backwards = path_samples([mm_tree("r"), mm_tree()])
    assert {(s.problem.id, s.text) for s in backwards} == {(s.problem.id, s.text) for s in kept}
    drawn = {tuple(s.text for s in path_samples([mm_tree()], seed=seed)) for seed in range(9)}
    assert len(drawn) == 2, "which positive stays depends on the seed"


@pytest.mark.parametrize("root", [(0, 8), (8, 8), (0, 0)])
def test_problems_that_are_always_or_never_solved_give_no_paths(root):
    assert path_samples([mm_tree(root=root)]) == []


def test_a_node_of_unknown_value_is_as_if_it_were_not_there():
    tree = Tree(problem())
    tree.root.counts = (1, 2)
    known = node(tree, long("k"), tree.root, (1, 2))
    node(tree, long("u"), known, (0, 0))
    assert [s.targets for s in path_samples([tree], balance=False)] == [(0.5,)]


def test_samples_become_labels_whose_traces_keep_the_steps():
    samples = point_samples(forest())
    labels = as_labels(samples, Source("tree"))
    assert (len(labels), labels.failed) == (len(samples), 0)
    for sample, (trace, judged) in zip(samples, labels):
        assert tuple(trace.step_texts) == sample.steps
        assert (judged.trace, judged.scores, judged.question) == (trace.id, sample.targets, Question.VALUE)
        assert trace.finish is Finish.BOUNDARY
    assert Sample(problem(), ("a\n", "b\n"), (None, 1.0)).prefix == "a\n"


def test_a_copy_shares_no_node():
    tree = forest()
    twin = tree.copy()
    twin.root.count(True)
    assert {n.text: n.height for n in twin} == {n.text: n.height for n in tree}
    assert (tree.root.counts, twin.root.counts) == ((2, 5), (3, 6))
