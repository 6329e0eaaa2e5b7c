"""EDU-PRM on the shipped policy: the tree against a plain token-by-token one, its labels, and its cost."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import pytest

from preceptor.annotate.entropy import EduPRM, EntropyTree
from preceptor.annotate.entropy.anchors import cuts_a_whole
from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.judgement import Question, Scorer
from preceptor.policy import ScriptedPolicy, TransformersPolicy, load_policy
from preceptor.store import Store
from preceptor.trace import Finish, Problem
from preceptor.worlds import arithmetic

TOKENS = 120
BUSY = 22
"""A problem of this many that the policy is unsure of."""


@pytest.fixture(scope="module")
def policy() -> TransformersPolicy:
    return load_policy("world:arithmetic")


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return arithmetic(n=BUSY + 1)


def edu(policy, **settings) -> EduPRM:
    return EduPRM(policy, **{"max_tokens": TOKENS, **settings})


def greedy(policy, problem: Problem, prefix: tuple[int, ...] = (), text: str = ""):
    sampling = Sampling(temperature=0, max_tokens=TOKENS - len(prefix))
    (answer,) = policy.generate([Request(problem, text, prefix or None, sampling=sampling)])
    return answer


def plain_leaves(policy, problem: Problem, tau: float, minimum: int, cap: int) -> list[str]:
    """Every branch decoded together, one token at a time, asking `next_tokens` of one position at a time."""
    live, done = [([], "", 0)], []
    for depth in range(TOKENS):
        later, count = [], len(live) + len(done)
        asked = [Request(problem, text, tuple(ids)) for ids, text, _ in live]
        for (ids, text, last), read in zip(live, policy.next_tokens(asked, [[0]] * len(live))):
            first, second = read.likeliest[0]
            branches = [(first, last)]
            unsure = read.entropies[0] > tau and (depth == 0 or depth - last >= minimum)
            sound = not any(t.ends or not t.text or cuts_a_whole(text, t.text) for t in (first, second))
            if unsure and sound:
                branches = [(first, depth)]
                if count < cap:
                    branches.append((second, depth))
                    count += 1
            for token, at in branches:
                (done if token.ends else later).append(([*ids, token.id], text + token.text, at))
        live = later
    return sorted(text for _, text, _ in [*live, *done])


def test_it_is_a_scorer_of_value_with_every_setting_in_its_source(policy):
    scorer = edu(policy)
    assert isinstance(scorer, Scorer)
    assert scorer.question is Question.VALUE
    assert len({edu(policy, **s).source for s in ({}, {"tau": 2.0}, {"minimum": 4}, {"leaves": 3})}) == 4


def test_without_a_threshold_to_exceed_there_is_one_leaf_of_one_step_and_it_is_the_greedy_text(
    policy, problems
):
    trees = edu(policy, tau=math.inf).trees(problems[:4])
    for problem, tree in zip(problems, trees):
        (trace,), (judged,) = tree.traces, tree.judgements
        answer = greedy(policy, problem)
        assert (trace.text, trace.token_ids, trace.token_ends) == (
            answer.text,
            answer.token_ids,
            answer.token_ends,
        )
        assert len(trace.steps) == 1
        assert judged.scores == (float(trace.grade.correct),)
        assert not tree.capped


def test_a_threshold_of_zero_branches_at_every_allowed_token_until_the_cap(policy, problems):
    (tree,) = edu(policy, tau=0.0, minimum=1, leaves=10).trees(problems[:1])
    assert len(tree.traces) == 10
    assert tree.capped
    assert tree.traces[0].text == greedy(policy, problems[0]).text
    # breadth first: the ten leaves are used up within the first few characters, not along the greedy path
    assert max(len(t.text[: t.steps[-2].end]) for t in tree.traces if len(t.steps) > 1) <= 6


@pytest.mark.parametrize("tau, minimum, cap", [(1.0, 8, 64), (0.3, 2, 64), (0.3, 2, 5)])
def test_the_leaves_are_those_of_decoding_all_branches_token_by_token(policy, problems, tau, minimum, cap):
    problem = problems[BUSY]
    (tree,) = edu(policy, tau=tau, minimum=minimum, leaves=cap).trees([problem])
    assert sorted(t.text for t in tree.traces) == plain_leaves(policy, problem, tau, minimum, cap)
    assert len(tree.traces) > 4


def nodes_of(tree: EntropyTree) -> dict[str, list[tuple[int, float]]]:
    """Prefix up to the end of a node -> (leaf, label) for every leaf that passes it."""
    found = defaultdict(list)
    for k, (trace, judged) in enumerate(zip(tree.traces, tree.judgements)):
        for t, score in enumerate(judged.scores):
            found[trace.prefix(t + 1)].append((k, score))
    return found


def test_the_label_of_a_node_is_the_share_of_right_leaves_below_it_and_the_mean_of_its_children(
    policy, problems
):
    (tree,) = edu(policy, tau=0.3, minimum=4).trees([problems[BUSY]])
    nodes = nodes_of(tree)
    right = [trace.grade.correct for trace in tree.traces]
    inner = 0
    for prefix, passing in nodes.items():
        labels = {label for _, label in passing}
        assert labels == {sum(right[k] for k, _ in passing) / len(passing)}
        below = [
            p for p in nodes if p != prefix and p.startswith(prefix) and not any(
                q != prefix and q != p and q.startswith(prefix) and p.startswith(q) for q in nodes
            )
        ]  # fmt: skip
        if below:
            inner += 1
            weights = [len(nodes[p]) for p in below]
            assert sum(weights) == len(passing)
            mean = sum(w * nodes[p][0][1] for w, p in zip(weights, below)) / sum(weights)
            assert passing[0][1] == pytest.approx(mean)
    assert inner >= 3
    assert tree.counts == (sum(right), len(right))


def test_leaves_are_whole_traces_with_ids_steps_and_the_leaf_they_left(policy, problems):
    (tree,) = edu(policy, tau=0.3, minimum=4).trees([problems[BUSY]])
    ids = [t.id for t in tree.traces]
    assert len(set(ids)) == len(ids)
    for k, trace in enumerate(tree.traces):
        assert "".join(trace.step_texts) == trace.text
        assert len(trace.token_ids) == len(trace.token_ends) == len(trace.logprobs)
        assert trace.finish is Finish.STOP
        assert (trace.parent is None) == (k == 0)
        assert k == 0 or trace.parent in ids[:k]
    (read,) = policy.likelihood([Request(problems[BUSY])], [tree.traces[-1].text])
    assert read.logprobs == pytest.approx(tree.traces[-1].logprobs[:-1], abs=1e-3)


def test_scoring_the_leaves_of_a_tree_below_the_cap_gives_the_labels_of_the_tree(policy, problems):
    scorer = edu(policy, tau=0.5, minimum=4)
    (tree,) = scorer.trees([problems[BUSY]])
    leaves = tree.traces[:6]
    assert not tree.capped
    judged = scorer.score(leaves)
    assert [j.scores for j in judged] == [j.scores for j in tree.judgements[:6]]
    assert len({j.scores for j in judged}) > 1


def test_every_leaf_is_written_once_from_its_anchor_on_and_read_once(policy, problems):
    (tree,) = edu(policy, tau=0.3, minimum=4).trees([problems[BUSY]])
    kept = {id_: len(t.token_ids) for id_, t in zip([t.id for t in tree.traces], tree.traces)}
    assert tree.usage.policy.generated < sum(kept.values())
    assert tree.traces[0].usage.generated == len(tree.traces[0].token_ids)
    assert tree.usage.policy.calls == 2 * len(tree.traces)
    assert all(j.usage.policy.generated == 0 < j.usage.policy.scored for j in tree.judgements)


def test_trees_of_many_problems_are_the_trees_of_each_and_a_store_saves_the_writing(
    policy, problems, tmp_path
):
    with Store(tmp_path / "s.db") as store:
        together = edu(policy, store=store).trees(problems[:4])
        alone = [edu(policy).trees([p])[0] for p in problems[:4]]
        assert [[t.id for t in a.traces] for a in together] == [[t.id for t in a.traces] for a in alone]
        again = edu(policy, store=store).trees(problems[:4])
        assert sum(t.usage.policy.generated for t in again) == 0
        assert [t.counts for t in again] == [t.counts for t in together]


def test_a_leaf_that_the_limit_cut_before_its_answer_is_undecided_and_not_wrong(policy, problems):
    (tree,) = edu(policy, max_tokens=4).trees([problems[0]])
    assert tree.counts == (0, 0)
    assert tree.judgements[0].scores is None
    assert tree.judgements[0].error.kind == "undecided"


def test_what_cannot_be_graded_is_an_error_on_the_item_and_costs_nothing(policy, problems):
    bad = replace(problems[1], gold=None, id="")
    first, second = edu(policy).trees([bad, problems[0]])
    assert (first.traces, first.error.kind) == ((), "no-gold")
    assert second.error is None
    assert second.traces


def test_a_policy_without_entropies_is_refused_by_name():
    with pytest.raises(InputError, match="ScriptedPolicy"):
        EduPRM(ScriptedPolicy())


@pytest.mark.parametrize("settings", [{"tau": -1.0}, {"tau": math.nan}, {"minimum": 0}, {"leaves": 0}])
def test_settings_that_make_no_sense_are_refused(policy, settings):
    with pytest.raises(InputError, match="expected"):
        edu(policy, **settings)
