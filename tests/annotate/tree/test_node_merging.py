"""HNC and HRM: nodes move up a level, steps merge, labels stay."""

from __future__ import annotations

from collections import Counter

import pytest

from preceptor.annotate.rules import rating_targets
from preceptor.annotate.tree import (
    MCTSRelative,
    OmegaPRM,
    Sample,
    Tree,
    balanced,
    compressed,
    compressed_samples,
    merged,
    merged_labels,
    point_samples,
    with_merged,
)
from preceptor.errors import InputError
from preceptor.generation import Sampling
from preceptor.policy import ScriptedPolicy
from tests.annotate.scripted import GOLD, problem
from tests.annotate.tree.growing import attempts, lines, long_problems

RIGHT, WRONG = f"Answer: {GOLD}", "Answer: 7"


def five() -> Tree:
    """Below `p`: five steps, 3 of 5 right, the first of them 1 of 1; beside it `o`, wrong."""
    ends = [RIGHT, RIGHT, WRONG, RIGHT, WRONG]
    return Tree.of(problem(), [*(lines("p", f"c{i}", end) for i, end in enumerate(ends)), lines("o", WRONG)])


def test_a_parent_of_3_in_5_that_loses_a_right_child_is_2_in_4():
    tree = five()
    twin = compressed(tree, probability=1.0)
    moved = twin.nodes["p\nc0\n"]
    assert (tree.nodes["p\n"].counts, twin.nodes["p\n"].counts) == ((3, 5), (2, 4))
    assert (moved.parent, moved.height, moved.counts) == (twin.root, 1, (1, 1))
    assert moved.step == "p\nc0\n", "the moved step is the two steps in one"
    assert moved.children[0].height == 2, "what is below comes along"
    assert twin.root.counts == tree.root.counts == (3, 6)
    assert {n.text for n in twin.leaves} == {n.text for n in tree.leaves}
    assert tree.nodes["p\nc0\n"].parent is tree.nodes["p\n"], "the given tree is untouched"


def big_tree(seed: int = 0) -> Tree:
    policy, (of,) = ScriptedPolicy(0.5), long_problems(1)
    return Tree.of(of, attempts(policy, [of], samples=400, seed=seed))


def test_leaves_and_grandparents_stay_and_each_parent_loses_at_most_one():
    tree = big_tree()
    wide = [n for n in tree if len(n.children) >= 4 and n.parent is not None]
    assert len(wide) >= 5
    moves = Counter()
    for seed in range(20):
        twin = compressed(tree, seed=seed)
        assert {n.text for n in twin.leaves} == {n.text for n in tree.leaves}
        lost = Counter()
        for node in tree:
            now = twin.nodes[node.text]
            assert now.text == "".join(now.steps)
            if node.parent is None or now.parent.text == node.parent.text:
                continue
            assert now.parent.text == twin.nodes[node.parent.text].lineage[-2].text or node.height > 2
            assert node.parent in wide
            assert now.step == node.parent.step + node.step or node.height > 2
            lost[node.parent.text] += 1
        assert lost
        assert max(lost.values()) == 1
        for text, node in tree.nodes.items():
            gone = [c for c in node.children if twin.nodes[c.text].parent.text != text]
            left = tuple(node.counts[k] - sum(c.counts[k] for c in gone) for k in (0, 1))
            assert twin.nodes[text].counts == left, "a node's value changes only by the child it lost"
        moves.update(lost)
    assert sum(moves.values()) < 20 * len(wide), "a parent may keep all its children"
    assert len({tuple(n.height for n in compressed(tree, seed=s)) for s in range(5)}) > 1


def test_nothing_moves_without_four_children_a_grandparent_or_chance():
    def heights(tree):
        return {n.text: n.height for n in tree}

    flat = Tree.of(problem(), [lines(f"c{i}", WRONG) for i in range(6)])
    assert heights(compressed(flat, probability=1.0)) == heights(flat), "children of the root stay"
    assert heights(compressed(five(), probability=0.0)) == heights(five())
    assert heights(compressed(five(), probability=1.0, min_children=6)) == heights(five())


def test_a_tree_grown_by_mcts_can_be_compressed_and_one_with_own_rollouts_per_node_cannot():
    policy, problems = ScriptedPolicy(0.5, 0.1), long_problems(1)
    grown = MCTSRelative(policy, sampling=Sampling(1.0), simulations=60).trees(problems)[0]
    assert {n.text for n in compressed(grown).leaves} == {n.text for n in grown.leaves}
    searched = OmegaPRM(policy, sampling=Sampling(1.0), filter=0, searches=10).trees(problems)[0]
    with pytest.raises(InputError, match=r"Tree\.of"):
        compressed(searched)


def test_hnc_samples_are_those_of_both_trees_each_once():
    tree = five()
    both = {(s.steps, s.target) for s in compressed_samples(tree, seed=1)}
    fine = {(s.steps, s.target) for s in point_samples(tree)}
    new = both - fine
    assert fine < both
    assert len(compressed_samples(tree, seed=1)) == len(both)
    assert any(s == ("p\n",) and t in (0.5, 0.75) for s, t in new), "the old parent's new value"


def test_a_chain_of_t_steps_gives_t_fine_and_t_minus_1_coarse_samples():
    trace = lines("a", "b", "c", RIGHT)
    samples = merged_labels([(trace, (1.0, 0.0, 1.0, 1.0))])
    fine = [s for s in samples if len(s.steps) == s.text.count("\n")]
    coarse = [s for s in samples if s not in fine]
    assert (len(fine), len(coarse)) == (4, 3)
    assert [(s.prefix, s.step, s.target) for s in coarse] == [
        ("", "a\nb\n", 0.0), ("a\n", "b\nc\n", 1.0), ("a\nb\n", f"c\n{RIGHT}\n", 1.0),
    ]  # fmt: skip
    assert all(len(s.targets) == len(s.steps) == len(s.trace.steps) for s in samples)


def test_a_merged_step_has_the_label_of_the_later_one_and_its_evidence():
    sample = Sample(problem(), ("a\n", "b\n", "c\n"), (None, None, 0.5), (None, None, (2, 4)))
    coarse = merged(sample)
    assert (coarse.steps, coarse.targets) == (("a\n", "b\nc\n"), (None, 0.5))
    assert coarse.counts == (None, (2, 4))
    assert merged(Sample(problem(), ("a\n",), (1.0,))) is None
    assert len(with_merged([sample, sample])) == 2


def test_neutral_ratings_are_dropped_but_merged_into_what_follows():
    trace = lines("a", "b", "c")
    samples = merged_labels([(trace, rating_targets((1, 0, -1), neutral="ignored"))])
    assert [(s.step, s.target) for s in samples] == [("a\n", 1.0), ("c\n", 0.0), ("b\nc\n", 0.0)]
    with pytest.raises(InputError, match="expected one"):
        merged_labels([(trace, (1.0,))])


def test_balance_takes_of_each_level_the_smallest_or_a_tenth_and_five_where_there_is_one():
    def level(height: int, target: float, n: int) -> list[Sample]:
        return [
            Sample(problem(), (*["x\n"] * (height - 1), f"{target} {i}\n"), (*(None,) * (height - 1), target))
            for i in range(n)
        ]

    samples = [*level(1, 0.0, 3), *level(1, 1.0, 10), *level(1, 0.5, 90), *level(2, 1.0, 20)]
    kept = balanced(samples)
    assert Counter((len(s.steps), s.target) for s in kept) == {
        (1, 0.0): 3,
        (1, 1.0): 3,
        (1, 0.5): 9,
        (2, 1.0): 5,
    }
    assert set(balanced(samples[::-1])) == set(kept), "which ones stay does not depend on order"
    assert set(balanced(samples, seed=1)) != set(kept)
