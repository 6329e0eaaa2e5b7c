"""Trees of rollouts: exact numbers of sequences, shared prefixes token for token, and node ids that make a tree."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.annotate import WorldOracle
from preceptor.credit import METHODS, Batch, Signals, compute, rollout_of
from preceptor.credit.ops.treeps_rag import NodeAdvantage
from preceptor.errors import InputError
from preceptor.generation import Continuation, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.learn.signals import NextSteps, TreeRollouts, TreeSource, node_ids, tree_traces, with_nodes
from preceptor.learn.signals.attention import AttentionTree, step_influence
from preceptor.learn.signals.branching import Place, grow, open_places
from preceptor.policy import ScriptedPolicy, prompt_ids
from preceptor.search import StepBeam, solve
from preceptor.trace import Finish, Problem, steps_from_ends
from tests.learn.data.toys import PROBLEM, RIGHT, WRONG, Says, trace
from tests.learn.toys import problems

SAMPLING = Sampling(max_tokens=60)
LINES = Sampling(max_tokens=24)


class Lines(Says):
    """Three lines a text, of letters that depend on the request."""

    def __init__(self):
        super().__init__(
            lambda r: "".join(f"{'abcdefgh'[(r.stream >> k) % 8]}\n" for k in range(3 - r.prefix.count("\n")))
        )


def rollouts(traces):
    return with_nodes([rollout_of(t) for t in traces], traces)


def test_a_node_is_a_prefix_of_tokens_and_equal_prefixes_are_one_node():
    a, b, c = node_ids(trace(RIGHT)), node_ids(trace(WRONG)), node_ids(trace(RIGHT, draw=7))
    assert a[0] == b[0]
    assert a[1] != b[1]
    assert a == c
    assert len(set(a + b)) == 5
    assert node_ids(trace(RIGHT, ids=False)) is None


def test_the_same_text_in_other_tokens_or_other_steps_is_another_node():
    t = trace(RIGHT)
    spelled = replace(t, token_ids=(999, *t.token_ids[1:]))
    merged = replace(t, steps=(replace(t.steps[0], end=t.steps[1].end), t.steps[2]))
    assert not set(node_ids(t)) & set(node_ids(spelled))
    assert not set(node_ids(t)) & set(node_ids(merged))


def test_what_two_texts_share_is_a_tree_for_credit():
    traces = [trace(RIGHT), trace(WRONG)]
    batch = Batch.of(rollouts(traces))
    assert batch.parents[0][1] == batch.parents[1][1]  # the shared first step
    first, second = NodeAdvantage("local")(batch)
    assert first == pytest.approx([0.0, 0.5, 0.0])
    assert second == pytest.approx([0.0, -0.5, 0.0])


@pytest.mark.parametrize("sequences, start", [(1, 1), (5, 1), (8, 2), (6, 6)])
def test_a_tree_has_exactly_the_sequences_that_were_asked_for(sequences, start):
    policy = Lines()
    trees = TreeRollouts(policy, sequences, start, LINES).sample(problems(3), seed=1)
    assert [len(tree) for tree in trees] == [sequences] * 3
    assert len(policy.asked) == 3 * sequences
    assert sum(t.parent is None for t in trees[0]) >= start


def test_a_branch_repeats_its_prefix_token_for_token_and_step_for_step(policy):
    tree = TreeRollouts(policy, 12, 2, SAMPLING).sample([Problem("How many?", "7", grader="numeric")])[0]
    by_id = {t.id: t for t in tree}
    branches = [t for t in tree if t.parent is not None]
    assert branches
    for t in branches:
        parent = by_id[t.parent]
        n = sum(a == b for a, b in zip(node_ids(parent), node_ids(t), strict=False))
        own, theirs = rollout_of(t).spans, rollout_of(parent).spans
        assert n >= 1
        assert own[:n] == theirs[:n]
        assert t.token_ids[: own[n - 1][1]] == parent.token_ids[: own[n - 1][1]]
        assert t.logprobs[: own[n - 1][1]] == parent.logprobs[: own[n - 1][1]]
        assert len(t.token_ids) <= SAMPLING.max_tokens
    batch = Batch.of(rollouts(tree))
    assert batch.parents  # raises for what is no tree
    assert len({t.token_ids for t in tree}) == 12


def test_nodes_are_tried_all_before_one_is_tried_twice():
    policy = Lines()
    TreeRollouts(policy, 4, 1, LINES).sample(problems(1), seed=3)
    prefixes = Counter(r.prefix for r in policy.asked)
    assert prefixes.pop("") <= 2  # the chain and at most one branch at the prompt
    assert set(prefixes.values()) == {1}


def test_a_tree_does_not_depend_on_the_other_problems():
    alone = TreeRollouts(Lines(), 6, 2, LINES).sample(problems(1), seed=5)[0]
    together = TreeRollouts(Lines(), 6, 2, LINES).sample(problems(4)[::-1], seed=5)[-1]
    assert [t.text for t in alone] == [t.text for t in together]


def test_only_new_tokens_are_paid_for():
    trees = TreeRollouts(Lines(), 6, 2, LINES)
    tree = trees.sample(problems(1))[0]
    written = sum(len(t.text) for t in tree)
    shared = sum(len(r.prefix) for r in trees.policy.asked)
    assert trees.spent.generated == written - shared
    assert shared > 0


def test_a_token_that_runs_over_the_end_of_a_step_is_sampled_again():
    t = trace(RIGHT)
    # "\nA" is one token: the second step's text ends inside it
    glued = replace(
        t,
        token_ids=(*t.token_ids[:16], 500, *t.token_ids[18:]),
        token_ends=(*t.token_ends[:16], *t.token_ends[17:]),
    )
    assert glued.text[16:18] == "\nA"
    policy = Says(lambda r: "\nAnswer: 5\n")
    made = grow(policy, [PROBLEM], [Place(glued, 2)], Sampling(), 0)[0]
    assert policy.asked[0].prefix == RIGHT[0] + RIGHT[1][:-1]
    assert policy.asked[0].prefix_ids == glued.token_ids[:16]
    assert made.text == RIGHT[0] + RIGHT[1][:-1] + "\nAnswer: 5\n"
    assert node_ids(made)[:2] == node_ids(glued)[:2]
    assert open_places(glued) == [0, 1, 2]


def test_a_policy_that_fails_gives_a_trace_with_its_error_and_the_number_stays():
    class Down(Says):
        def generate(self, requests):
            return [Continuation.failed("http-500", "down") for _ in requests]

    tree = TreeRollouts(Down(lambda r: ""), 5, 2).sample(problems(1))[0]
    assert len(tree) == 5
    assert all(t.error.kind == "http-500" for t in tree)
    assert [r.outcome for r in rollouts(tree)] == [None] * 5


def test_children_of_a_node_cancel_and_a_chain_has_the_outcome_less_the_mean():
    policy = ScriptedPolicy(error=0.4)
    tree = TreeRollouts(policy, 12, 3, Sampling(max_tokens=200)).sample([PROBLEM], seed=2)[0]
    batch = Batch.of(rollouts(tree))
    local = NodeAdvantage("local")(batch)
    sums: dict[object, float] = {}
    seen = set()
    leaves = Counter(n for row in batch.nodes for n in row)
    for row, above, values in zip(batch.nodes, batch.parents, local, strict=True):
        for node, parent, value in zip(row, above, values, strict=True):
            if node not in seen:
                seen.add(node)
                sums[parent] = sums.get(parent, 0.0) + leaves[node] * value
    assert len(sums) > 1
    assert list(sums.values()) == pytest.approx([0.0] * len(sums), abs=1e-9)
    out = compute(rollouts(tree), None, METHODS["treeps_rag"])
    trained = sum(float((w > 0).sum()) for w in out.token_weights)
    written = sum(float(len(row)) for row in {r.nodes: r.mask for r in batch.rollouts}.values())
    assert trained < written  # shared steps are trained once


def test_finished_paths_of_a_search_are_graded_traces_with_the_trees_nodes():
    solved = solve(ScriptedPolicy(error=0.3), [PROBLEM], StepBeam(keep=2, expand=3), WorldOracle(), seed=1)
    traces = tree_traces(solved.solutions[0].tree)
    assert len(traces) > 1
    assert all(t.grade is not None and t.grade.decided for t in traces)
    batch = Batch.of(rollouts(traces))
    assert batch.parents
    assert len({row[0] for row in batch.nodes}) < len(traces)


def test_attention_scores_are_those_of_the_definition(policy):
    t = TreeRollouts(policy, 1, 1, SAMPLING).sample([Problem("How many hens?", "7", grader="numeric")])[0][0]
    t = replace(t, steps=steps_from_ends([len(t.text) * k // 4 for k in range(1, 5)]))
    scores, usage = step_influence(policy, t)
    prompt = prompt_ids(policy.tokenizer, t.problem)
    ids = [*prompt, *t.token_ids]
    policy.model.set_attn_implementation("eager")
    with torch.no_grad():
        layers = policy.model(torch.tensor([ids]), output_attentions=True).attentions
    policy.model.set_attn_implementation("sdpa")
    spans = [(0, len(prompt)), *((len(prompt) + a, len(prompt) + b) for a, b in rollout_of(t).spans)]

    def paid(head, k):
        found = 0.0
        for a, b in spans[k + 1 :]:
            found += float(head[a:b, slice(*spans[k])].mean())
        return found

    heads = [h for layer in layers for h in layer[0]]
    expected = [max(paid(h, k) for h in heads) for k in range(1, 5)]
    assert scores == pytest.approx([0.0, *expected[1:]], abs=1e-5)
    assert usage.scored == len(ids)


def test_attention_trees_have_the_expected_number_of_sequences(policy):
    tree = AttentionTree(policy, apart=4, sampling=SAMPLING)
    asked = problems(3)
    made = tree.sample(asked, seed=1)
    for traces in made:
        first = traces[:6]
        decided = [t.grade.correct for t in first if t.grade.decided]
        assert len(traces) == tree.expected(sum(decided) / len(decided))
        assert len({t.token_ids for t in traces}) == len(traces)
        assert Batch.of(rollouts(traces)).parents
        assert sum(t.parent is not None for t in traces[:6]) == 0
    assert tree.expected(0.0) == 6 + 2 * 6
    assert tree.expected(1.0) == 6 + 2 * math.ceil(6 / math.e)
    assert tree.spent.generated > 0
    assert tree.spent.scored > 0


def test_a_problem_that_is_solved_by_all_is_dropped_unless_it_stands_out(policy):
    class Sevens(Says):
        tokenizer, model = policy.tokenizer, policy.model

    tree = AttentionTree(Sevens(lambda r: "7\n"), sampling=LINES)
    tree._scores = lambda t: [0.5] * len(t.steps)
    first, second = tree.sample(problems(2))
    assert len(first) == tree.expected(1.0)  # compared with 0
    assert second == []  # not above the running mean
    assert tree.solved.count == 2


def test_the_rarer_outcome_is_branched_first(policy):
    tree = AttentionTree(policy, responses=6, apart=1)
    made = [trace(RIGHT, draw=k) if k == 4 else trace(WRONG, draw=k) for k in range(6)]
    plan = tree._plan(made, [[0.0, 1.0, 2.0]] * 6)
    assert plan[0].trace is made[4]
    assert len(plan) == 2 * math.ceil(6 * math.exp(-1 / 6))
    assert {p.step for p in plan} == {1, 2}


class Letters:
    """The last step's rating is its first letter."""

    source = Source.of("letters")
    question = Question.QUALITY

    def score(self, traces):
        return [
            Judgement(
                t.id,
                self.question,
                self.source,
                (*(None,) * (len(t.steps) - 1), float(ord(t.step_texts[-1][0]))),
            )
            for t in traces
        ]


def test_siblings_share_their_prefix_which_carries_no_gradient():
    policy = Lines()
    steps = NextSteps(policy, Letters(), width=5, depth=2, sampling=LINES)
    found = steps.sample(problems(2), seed=1)
    assert len(found.traces) == 2 * 2 * 5
    deep = [t for t in found.traces if len(t.steps) == 2]
    assert len(deep) == 10
    for p in problems(2):
        mine = [t for t in deep if t.problem.id == p.id]
        best = max(
            (t for t in found.traces if t.problem.id == p.id and len(t.steps) == 1), key=lambda t: t.text[0]
        )
        assert {t.prefix(1) for t in mine} == {best.text[: len(mine[0].prefix(1))]}
        assert len({t.token_ids[:2] for t in mine}) == 1
    made = found.rollouts
    out = compute(made, found.signals, METHODS["slate"])
    for r, advantages, weights in zip(made, out.advantages, out.token_weights, strict=True):
        before = r.spans[-1][0]
        assert not advantages[:before].any()
        assert not weights[:before].any()
    assert any(a.any() for a in out.advantages)
    assert steps.spent.policy.calls == 20


def test_one_level_of_siblings_is_grpo_on_the_ratings():
    found = NextSteps(Lines(), Letters(), width=5, depth=1, sampling=LINES).sample(problems(1), seed=4)
    out = compute(found.rollouts, found.signals, METHODS["slate"])
    distinct = {t.text: r for t, r in zip(found.traces, found.rewards, strict=True)}
    x = np.array(list(distinct.values()))
    expected = dict(zip(distinct, (x - x.mean()) / (x.std(ddof=1) + 1e-4), strict=True))
    for t, a, kept in zip(found.traces, out.advantages, out.token_weights, strict=True):
        if kept.any():
            assert a[0] == pytest.approx(expected[t.text], abs=1e-6)


def test_a_sibling_that_ends_at_once_is_not_judged_by_its_prefixs_last_step():
    def say(r):
        return "" if r.prefix and r.draw == 0 else f"{'bca'[r.draw]}\n"

    found = NextSteps(Says(say), Letters(), width=3, depth=2, sampling=LINES).sample([PROBLEM])
    assert [t.error and t.error.kind for t in found.traces] == [None] * 3 + ["no-step"] + [None] * 2
    assert found.rewards == (98.0, 99.0, 97.0, None, 99.0, 97.0)
    out = compute(found.rollouts, found.signals, METHODS["slate"])
    first = compute(found.rollouts[:3], Signals(found.signals.scores[:3]), METHODS["slate"])
    assert [a.tolist() for a in out.advantages[:3]] == [a.tolist() for a in first.advantages]
    assert not out.token_weights[3].any()
    assert not any(w[:2].any() for w in out.token_weights[4:])


def test_a_level_ends_where_the_choice_ends_the_text():
    policy = Says(lambda r: "z")  # no line end: the policy stops
    found = NextSteps(policy, Letters(), width=3, depth=4, sampling=LINES).sample(problems(1))
    assert len(found.traces) == 3
    assert found.traces[0].finish is Finish.STOP


def test_a_source_of_trees_gives_learn_whole_groups(policy):
    source = TreeSource(policy, SAMPLING, seed=0, start=2)
    asked = [p for p in problems(2) for _ in range(4)]
    made = source.traces(asked, [0, 1, 2, 3] * 2, "train", 0)
    assert [t.problem.id for t in made] == [p.id for p in asked]
    assert Batch.of(rollouts(made)).parents
    assert source.usage.generated > 0
    assert all(t.policy == f"{source.name}@train-0" for t in made)
    again = TreeSource(policy, SAMPLING, seed=0, start=2).traces(asked, [0, 1, 2, 3] * 2, "train", 0)
    assert [t.token_ids for t in again] == [t.token_ids for t in made]
    with pytest.raises(InputError, match="part of a group"):
        source.traces(asked[:3], [0, 2, 3], "train", 0)
    plain = source.traces(asked[:3], [0, 2, 3], "held-out", 0)
    assert [t.parent for t in plain] == [None] * 3
