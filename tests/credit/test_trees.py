"""Specifies the methods on trees of rollouts (`slate`, `treeps_rag`, `attnrl`) and AttnRL's branching rules.

Run with `python -m pytest tests/credit/test_trees.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from preceptor.credit import METHODS, Batch, Rollout, Signals, compute
from preceptor.credit.ops.attnrl import (
    PromptCount,
    Solved,
    branch_points,
    expansions,
    influence,
    step_attention,
    to_expand,
    useful,
)
from preceptor.credit.ops.slate import judged, truncated
from preceptor.credit.ops.treeps_rag import NodeAdvantage
from preceptor.credit.ops.trees import paths
from preceptor.errors import InputError


def leaf(outcome: float | None, path: str, prompt: str = "q") -> Rollout:
    """One token a step; a node is named by its path from the root."""
    nodes = tuple(path[: t + 1] for t in range(len(path)))
    return Rollout(prompt, len(path), outcome, tuple((t, t + 1) for t in range(len(path))), nodes=nodes)


def advantages(name: str, rollouts: list[Rollout], signals: Signals | None = None) -> list[list[float]]:
    """Also of the tokens that another rollout trains."""
    config = replace(
        METHODS[name], shared="every", keep="decided" if name == "attnrl" else METHODS[name].keep
    )
    return [a.tolist() for a in compute(rollouts, signals, config).advantages]


def trained(name: str, rollouts: list[Rollout], signals: Signals | None = None) -> list[list[float]]:
    return [w.tolist() for w in compute(rollouts, signals, METHODS[name]).token_weights]


def full_tree(rng: np.random.Generator, depth: int) -> list[Rollout]:
    """Every path goes to the same depth, so that no leaf sits on an inner node; branches of random width."""
    names = [""]
    for _ in range(depth):
        names = [n + str(k) for n in names for k in range(rng.integers(1, 4))]
    return [leaf(float(rng.integers(0, 2)), n) for n in names]


# tree values


def test_a_node_is_worth_the_mean_outcome_of_the_leaves_below_it() -> None:
    rollouts = [leaf(1.0, "ax"), leaf(0.0, "ay"), leaf(1.0, "b"), leaf(None, "az"), leaf(0.0, "ax", "other")]
    first, second, third, undecided, other = paths(Batch.of(rollouts))
    assert (first.value.tolist(), first.above.tolist(), first.leaves.tolist()) == (
        [0.5, 1],
        [2 / 3, 0.5],
        [2, 1],
    )
    assert (second.value.tolist(), third.value.tolist(), third.root) == ([0.5, 0], [1], 2 / 3)
    assert math.isnan(undecided.root)
    assert other.value.tolist() == [0, 0]


def test_a_node_under_two_parents_is_refused() -> None:
    twice = replace(leaf(0.0, "bx"), nodes=("b", "ax"))
    for name in ("treeps_rag", "attnrl", "slate"):
        with pytest.raises(InputError, match="two parents"):
            compute([leaf(1.0, "ax"), twice], Signals(((0, 1), (0, 0))), METHODS[name])


# TreePS-RAG


def test_the_differences_of_children_to_their_parent_add_up_to_0_weighted_by_leaves() -> None:
    for seed in range(20):
        batch = Batch.of(full_tree(np.random.default_rng(seed), 4))
        sums: dict[object, dict[object, float]] = {}
        for row, above, local, path in zip(
            batch.nodes, batch.parents, NodeAdvantage("local").of(batch), paths(batch)
        ):
            for node, parent, a, n in zip(row, above, local, path.leaves):
                sums.setdefault(parent, {})[node] = a * n
        assert len(sums) > 5
        for children in sums.values():
            assert sum(children.values()) == pytest.approx(0.0, abs=1e-12)


def test_every_step_of_an_unbranched_chain_gets_its_outcome_less_the_roots_value() -> None:
    got = advantages("treeps_rag", [leaf(1.0, "aaa"), leaf(0.0, "bbb"), leaf(0.0, "ccc"), leaf(0.0, "ddd")])
    np.testing.assert_allclose(got, [[0.75] * 3, *[[-0.25] * 3] * 3])


def test_a_branch_is_compared_with_the_root_and_with_where_it_started() -> None:
    rollouts = [leaf(1.0, "ax"), leaf(0.0, "ay"), leaf(0.0, "bx"), leaf(0.0, "by")]
    got = advantages("treeps_rag", rollouts)  # root 0.25, a 0.5
    np.testing.assert_allclose(got[0], [0.25 / math.sqrt(2), 0.75 + 0.5])
    np.testing.assert_allclose(got[1], [0.25 / math.sqrt(2), -0.25 - 0.5])
    np.testing.assert_allclose(got[2], [-0.25 / math.sqrt(2), -0.25])
    local = advantages("treeps_rag_local", rollouts)
    np.testing.assert_allclose(local, [[0.25, 0.5], [0.25, -0.5], [-0.25, 0], [-0.25, 0]])


def test_each_nodes_tokens_are_trained_once() -> None:
    rollouts = [leaf(1.0, "axp"), leaf(0.0, "axq"), leaf(0.0, "ayp"), leaf(0.0, "bxp")]
    for name in ("treeps_rag", "treeps_rag_local", "attnrl"):
        assert trained(name, rollouts) == [[1, 1, 1], [0, 0, 1], [0, 1, 1], [1, 1, 1]]
    hidden = [leaf(None, "axp"), *rollouts[1:]]  # what an undecided rollout shares is trained in another one
    assert trained("treeps_rag", hidden)[:2] == [[0, 0, 0], [1, 1, 1]]


# AttnRL


def test_two_leaves_under_one_parent_of_the_roots_value_get_plus_and_minus_1() -> None:
    assert advantages("attnrl", [leaf(1.0, "ax"), leaf(0.0, "ay")]) == [[0, 1], [0, -1]]


def test_equal_leaves_get_0_and_their_prompt_is_not_kept() -> None:
    equal = [leaf(1.0, "ax"), leaf(1.0, "ay"), leaf(1.0, "b")]
    assert advantages("attnrl", equal) == [[0, 0], [0, 0], [0]]
    mixed = [leaf(1.0, "ax", "r"), leaf(0.0, "ay", "r")]
    out = compute([*equal, *mixed], None, METHODS["attnrl"])
    assert out.keep == (False, False, False, True, True)
    assert useful(out).tolist() == [False, False, False, True, True]


def test_all_steps_of_a_segment_get_its_advantage() -> None:
    # root 0.5; the shared segment "ab" is worth 1/2 of two leaves, "cd" below it 1
    rollouts = [leaf(1.0, "abcd"), leaf(0.0, "abxy"), leaf(0.0, "k"), leaf(1.0, "m")]
    got = advantages("attnrl", rollouts)
    np.testing.assert_allclose(got[0], [0, 0, 1, 1])
    np.testing.assert_allclose(got[1], [0, 0, -1, -1])
    np.testing.assert_allclose([got[2], got[3]], [[-1], [1]])


def test_a_node_of_many_leaves_counts_by_the_root_of_their_number() -> None:
    rollouts = [leaf(1.0, "aw"), leaf(1.0, "ax"), leaf(1.0, "ay"), leaf(0.0, "az"), leaf(0.0, "b")]
    got = advantages("attnrl", rollouts)  # root 0.6, a 0.75
    np.testing.assert_allclose(got[0], [2 * 0.15 / 2, 0.4 + 0.25])
    np.testing.assert_allclose(got[3], [2 * 0.15 / 2, -0.6 - 0.75])


def test_step_attention_is_the_average_over_query_and_key_tokens() -> None:
    attention = np.arange(16.0).reshape(1, 4, 4)
    got = step_attention(attention, [(0, 1), (1, 3), (3, 3), (3, 4)])
    assert got[0, 1, 0] == (4 + 8) / 2
    assert got[0, 3, 1] == (13 + 14) / 2
    assert got[0, 1, 1] == (5 + 6 + 9 + 10) / 4
    assert not got[0, 2].any()
    assert not got[0, :, 2].any()


def test_influence_is_what_later_segments_pay_to_one_at_the_best_head() -> None:
    steps = np.zeros((2, 5, 5))
    steps[0, 3, 2], steps[0, 4, 2] = 0.3, 0.1
    steps[1, 4, 2], steps[1, 4, 3] = 0.35, 0.2
    steps[:, 4, 0] = steps[:, 2, 1] = 9.0  # the prompt and the first step do not count
    steps[:, 2, 2] = steps[:, 2, 4] = 9.0  # nor does what a segment pays to itself, or to later ones
    np.testing.assert_allclose(influence(steps), [0, 0, 0.4, 0.2, 0])
    np.testing.assert_allclose(influence(steps, offset=2), [0, 0, 0.35, 0, 0])
    np.testing.assert_allclose(influence(steps, thinking=3), [0, 0, 0.4, 0, 0])
    with pytest.raises(InputError, match="expected"):
        influence(steps[0])


def test_branches_are_at_the_highest_steps_of_the_top_fifth_apart_from_each_other() -> None:
    scores = np.array([9.0, 1, 8, 1, 7, 1, 6, 1, 1, 1, 1, 1, 1, 1, 1])
    starts = [300 * t for t in range(len(scores))]
    # the 80th percentile is 6.2: steps 2 and 4; step 0 is the first, 6 too low
    assert branch_points(scores, starts) == [2, 4]
    near = [200 * t for t in range(len(scores))]
    assert branch_points(scores, near, percentile=60.0) == [4, 7]  # 2 too near the start, 5 and 6 too near 4
    assert branch_points(scores, starts, n=1) == [2]


def test_too_few_candidates_are_filled_up_from_the_earliest_steps() -> None:
    scores = np.array([0.0, 0, 0, 0, 5, 0])
    assert branch_points(scores, [1000 * t for t in range(6)], percentile=90.0) == [1, 4]
    assert branch_points(scores, [10 * t for t in range(6)]) == [1, 2]
    assert branch_points(np.array([3.0, 1.0]), [0, 900]) == [1]
    assert branch_points(np.array([3.0]), [0]) == branch_points(np.zeros(0), []) == []


def test_harder_prompts_have_more_responses_expanded_the_rarer_outcome_first() -> None:
    assert [expansions(a) for a in (0.0, 0.25, 0.5, 0.75, 1.0)] == [6, 5, 4, 3, 3]
    assert to_expand([1, 1, 0, 1, 1, 1]) == [2, 0, 1]
    assert to_expand([0, 0, 0, 1, 0, 0]) == [3, 0, 1, 2, 4, 5]
    assert to_expand([0, 0, 0, 0, 0, 0]) == [0, 1, 2, 3, 4, 5]
    assert to_expand([]) == []


def test_solved_prompts_are_expanded_only_above_the_running_mean() -> None:
    state, expanded = Solved(), []
    for score in (1.0, 3.0, 1.5, 2.5):
        yes, state = state(score)
        expanded.append(yes)
    assert expanded == [True, True, False, True]
    assert (state.mean, state.count) == (2.0, 4)


def test_the_number_of_prompts_follows_the_moving_average_of_useful_sequences() -> None:
    first = PromptCount(target=512).after(256)
    assert (first.prompts, first.rate) == (128, 4.0)
    second = first.after(1024)
    assert second.rate == pytest.approx(0.9 * 4 + 0.1 * 8)
    assert second.prompts == math.ceil(512 / 4.4)
    assert PromptCount(target=512).after(0).prompts == 64


# SLATE


def siblings(scores: list[float], prefix: str) -> tuple[list[Rollout], tuple[tuple[float, ...], ...]]:
    """Each of one prefix and a step of its own; the judge has an opinion of the prefix too."""
    names = [prefix + chr(65 + k) for k in range(len(scores))]
    return [leaf(None, n) for n in names], tuple((*[5.0 * k] * len(prefix), s) for k, s in enumerate(scores))


def test_siblings_are_compared_with_each_other_and_the_prefix_gets_nothing() -> None:
    a, of_a = siblings([3, 1, 1, -1], "ab")
    b, of_b = siblings([2, 2, 2, 2], "cd")
    got = advantages("slate", a + b, Signals(of_a + of_b))
    z = 2 / math.sqrt(8 / 3)
    np.testing.assert_allclose(got, [[0, 0, z], [0, 0, 0], [0, 0, 0], [0, 0, -z], *[[0] * 3] * 4], atol=1e-4)


def test_the_prefix_is_not_in_the_loss_of_truncated_rollouts() -> None:
    rollouts, scores = siblings([1, 0, 0], "ab")
    out = compute([truncated(r) for r in rollouts], Signals(scores), METHODS["slate"])
    assert [w.tolist() for w in out.token_weights] == [[0, 0, 1]] * 3
    assert len({r.nodes[:2] for r in rollouts if r.nodes}) == 1
    assert truncated(leaf(None, "")) == leaf(None, "")


def test_with_one_step_it_is_grpo() -> None:
    rewards = (1.0, 0.0, 0.0, 1.0)
    rollouts = [leaf(r, str(i)) for i, r in enumerate(rewards)]
    got = compute(rollouts, Signals(tuple((r,) for r in rewards)), METHODS["slate"]).advantages
    np.testing.assert_allclose(got, compute(rollouts, None, METHODS["outcome"]).advantages)


def test_a_steps_reward_is_the_sum_or_mean_of_the_components_it_has() -> None:
    assert judged([1, -1, 1]) == 1
    assert judged([1, None, 1]) == 2
    assert judged([1, None, 0], by="mean") == 0.5
    assert judged([None, None]) is None
    assert judged([0]) == 0
