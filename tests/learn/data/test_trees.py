"""Specifies what is read off search trees: sibling weights, values with known ends, partial-solution values.

Run: python -m pytest tests/learn/data/test_trees.py
"""

from __future__ import annotations

import pytest

from preceptor.annotate import MCTSRelative
from preceptor.annotate.tools import WorldOracle
from preceptor.learn.data import AlphaMathTraining, alphamath, mcts_nll, rest_mcts
from preceptor.learn.data.mcts_nll import sibling_weights
from preceptor.policy import ScriptedPolicy
from preceptor.search import Node, Status, Tree, solve
from preceptor.search.trees.rest_mcts import RestMcts
from preceptor.search.trees.selection import mean_value
from preceptor.trace import Finish, Problem
from preceptor.worlds import arithmetic
from tests.learn.data.toys import PROBLEM


def grow(
    paths: list[tuple[str, ...]], problem: Problem = PROBLEM, values: dict[str, float] | None = None
) -> Tree:
    """A tree of lines; a path whose last line is an answer is finished. `values`: Q by line."""
    tree = Tree(problem, policy="toy")
    seen = {(): tree.root}
    for path in paths:
        for t, line in enumerate(path):
            key = path[: t + 1]
            if key in seen:
                continue
            parent = seen[path[:t]]
            start = len(tree.path(parent).text)
            done = line.startswith("Answer")
            node = Node(
                len(tree.nodes),
                parent.id,
                line,
                start,
                first_step=t,
                ends=(start + len(line),),
                token_ids=tuple(map(ord, line)),
                token_ends=tuple(range(1, len(line) + 1)),
                status=Status.DONE if done else Status.LIVE,
                finish=Finish.STOP if done else Finish.BOUNDARY,
            )
            if values and line in values:
                node.visits, node.value_sum = 1, values[line]
            tree.nodes.append(node)
            seen[key] = node
    return tree


R = ("12*7=84\n", "84-30=54\n", "Answer: 54\n")


# mcts_nll


def test_weights_of_siblings_sum_to_0_before_flooring_and_lie_in_minus_1_to_1() -> None:
    for values in ([0.9, 0.2, 0.4], [1.0, 0.0, 0.0, 0.0], [0.3, 0.5]):
        signed = sibling_weights(values, floor=False)
        assert sum(signed) == pytest.approx(0.0)
        assert max(map(abs, signed)) == pytest.approx(1.0)
        assert sibling_weights(values) == pytest.approx([max(0.0, w) for w in signed])


def test_an_only_child_weighs_nothing_or_1_and_an_unknown_sibling_has_no_weight() -> None:
    assert sibling_weights([0.8]) == [0.0]
    assert sibling_weights([0.8], only_child=1.0) == [1.0]
    assert sibling_weights([0.5, 0.5]) == [0.0, 0.0]
    assert sibling_weights([1.0, None, 0.0], floor=False) == [1.0, None, -1.0]
    assert sibling_weights([None, None]) == [None, None]


def test_only_the_better_step_is_trained_behind_its_sampled_prefix() -> None:
    tree = grow(
        [R, ("12*7=84\n", "84-30=64\n")],
        values={"12*7=84\n": 0.5, "84-30=54\n": 0.9, "84-30=64\n": 0.1, R[2]: 0.9},
    )
    (row,) = mcts_nll.tree_rows(tree)
    assert [(p.text, p.trained, p.weights) for p in row.pieces] == [(R[0], False, 0.0), (R[1], True, 1.0)]
    assert row.pieces[1].token_ids == tuple(map(ord, R[1]))
    assert not row.end
    assert len(mcts_nll.tree_rows(tree, floor=False)) == 2
    assert len(mcts_nll.tree_rows(tree, only_child=1.0)) == 3


def test_weights_of_the_annotator_become_rows_too() -> None:
    problems = arithmetic("train", 3, operations=(2, 3))
    search = MCTSRelative(ScriptedPolicy(0.5), simulations=16)
    samples = [s for tree in search.trees(problems) for s in search.samples(tree)]
    rows = mcts_nll.sample_rows(samples)
    assert rows
    weights = [p.weights for r in rows for p in r.pieces if p.trained]
    assert weights == [s.target for s in samples if s.target]
    assert [r.text for r in rows] == [s.text for s in samples if s.target]


# alphamath


def test_wrong_paths_have_value_targets_only_and_every_q_is_in_minus_1_to_1() -> None:
    problems = arithmetic("train", 6, operations=(2, 4))
    found = solve(ScriptedPolicy(0.3), problems, AlphaMathTraining(iterations=12, width=3))
    rows = [r for s in found.solutions for r in alphamath.tree_rows(s.tree)]
    right = [r for r in rows if any(p.trained for p in r.pieces)]
    wrong = [r for r in rows if not any(p.trained for p in r.pieces)]
    assert right
    assert wrong
    assert {r.pieces[-1].value for r in right} == {1.0}
    assert {r.pieces[-1].value for r in wrong} == {-1.0}
    values = [p.value for r in rows for p in r.pieces]
    assert None not in values
    assert all(-1 <= v <= 1 for v in values)
    assert all(p.trained for r in right for p in r.pieces)


def test_a_node_is_worth_the_running_mean_of_the_ends_below_it() -> None:
    problems = arithmetic("train", 4, operations=(2, 3))
    for solution in solve(ScriptedPolicy(0.3), problems, AlphaMathTraining(iterations=10, width=3)).solutions:
        tree = solution.tree
        ends = [n for n in tree.nodes if n.status in (Status.DONE, Status.CUT) and n.visits]
        for node in tree.nodes:
            below = [mean_value(e) for e in ends if node in list(tree.lineage(e))]
            if below:
                assert mean_value(node) == pytest.approx(sum(below) / len(below))


# rest_mcts


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_along_a_right_chain_of_d_steps_v_k_is_k_over_d(length: int) -> None:
    values, weights = rest_mcts.process_values([False] * length, list(range(length))[::-1])
    assert values == pytest.approx([k / length for k in range(1, length + 1)])
    before = [0.0, *values[:-1]]
    assert weights == pytest.approx([(1 - v) / (length - k + 1) for k, v in enumerate(before, 1)])


def test_a_wrong_step_lowers_v_and_never_below_0() -> None:
    (a, b), _ = rest_mcts.process_values([False, True], [1, 1])
    assert (a, b) == (0.5, 0.25)
    assert rest_mcts.process_values([True], [2])[0] == [0.0]


def test_the_tree_gives_k_over_d_on_the_right_path_and_less_on_dead_branches() -> None:
    tree = grow([R, ("12*7=84\n", "84-30=64\n", "Answer: 64\n"), ("12+7=19\n",)])
    values = {n.text: rest_mcts.tree_values(tree)[n.id] for n in tree.nodes}
    assert [values[x] for x in ("", *R)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    # d of the nearest ancestor with a right end: 3 for "12*7=84", 4 for the root
    assert values["84-30=64\n"] == pytest.approx(1 / 3 - (2 / 3) / 3)
    assert values["12+7=19\n"] == 0.0
    assert rest_mcts.route_values(tree, tree[3]) == pytest.approx(
        {1: 1 / 3, 2: 2 / 3, 3: 1.0, 4: 0.0, 6: 0.0}
    )


def test_a_tree_without_a_right_end_has_no_values_and_an_undecided_end_is_not_dead() -> None:
    tree = grow([("12+7=19\n", "Answer: 19\n")])
    assert set(rest_mcts.tree_values(tree).values()) == {None}
    assert rest_mcts.value_labels([tree]).traces == ()
    ungraded = grow([R], problem=Problem("?", None, grader="numeric"))
    assert rest_mcts.policy_rows(ungraded) == []


def test_every_node_is_value_data_once_and_only_right_solutions_are_policy_data() -> None:
    tree = grow([R, ("12*7=84\n", "84-30=64\n", "Answer: 64\n"), ("12+7=19\n",)])
    labels = rest_mcts.value_labels([tree])
    scores = [s for j in labels.judgements for s in j.scores if s is not None]
    assert len(scores) == len(tree) - 1
    assert [r.text for r in rest_mcts.policy_rows(tree)] == ["".join(R)]


def test_nodes_with_one_text_are_labelled_once_and_a_merged_sibling_is_no_dead_branch() -> None:
    """The policy ends a line before it ends its text: an end adds a node without text."""
    problems = arithmetic("train", 4, operations=(2, 3))
    found = solve(ScriptedPolicy(0.3), problems, RestMcts(iterations=8), WorldOracle())
    trees = [s.tree for s in found.solutions]
    assert any("duplicate_of" in n.data for tree in trees for n in tree.nodes)
    for tree in trees:
        values = rest_mcts.tree_values(tree)
        by_text: dict[str, set[float | None]] = {}
        for node in tree.nodes:
            by_text.setdefault(tree.path(node).text, set()).add(values[node.id])
        assert all(len(found) == 1 for found in by_text.values())
        gold = "".join(tree.problem.reference)
        if gold in by_text:
            assert by_text[gold] == {1.0}
            first = tree.problem.reference[0]
            assert min(by_text[first]) == pytest.approx(1 / len(tree.problem.reference))
    labels = rest_mcts.value_labels(trees)
    told = [
        (trace.problem.id, trace.text[: step.end])
        for trace, judged in zip(labels.traces, labels.judgements, strict=True)
        for step, score in zip(trace.steps, judged.scores, strict=True)
        if score is not None
    ]
    assert len(told) == len(set(told))


def test_the_simple_variant_counts_steps_with_a_text_and_a_merged_sibling_as_its_original() -> None:
    tree = grow([R])
    end = tree[3]
    twin = Node(4, 2, R[2], end.start, first_step=2, ends=end.ends, status=Status.PRUNED)
    close = Node(5, 3, "", len("".join(R)), first_step=3, status=Status.DONE, finish=Finish.STOP)
    end.status = Status.LIVE
    tree.nodes += [twin, close]
    assert rest_mcts.route_values(tree, close) == pytest.approx({1: 1 / 3, 2: 2 / 3, 3: 1.0, 4: 1.0})
    assert rest_mcts.tree_values(tree)[1] == pytest.approx(1 / 3)


def test_a_merged_sibling_leaves_an_only_child_alone() -> None:
    tree = grow([R[:1]], values={R[0]: 0.5})
    tree.nodes.append(Node(2, 0, R[0], ends=(len(R[0]),), status=Status.PRUNED, data={"duplicate_of": 1}))
    (row,) = mcts_nll.tree_rows(tree, only_child=1.0)
    assert row.text == R[0]
