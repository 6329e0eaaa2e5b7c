"""SAFFRON-1: the texts of a plain search without caches, one reward call a text, every token computed once.

Run: python -m pytest tests/search/decoding/test_saffron.py
"""

from __future__ import annotations

import math

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Policy, Request, Sampling
from preceptor.policy import ScriptedPolicy
from preceptor.reward.head import UNSEEN
from preceptor.search import Greedy, solve
from preceptor.search.decoding.saffron import Saffron, nucleus
from preceptor.search.decoding.token_tree import Growth, TokenTree
from preceptor.search.decoding.verifiers import Candidates, Multifurcation
from preceptor.trace import Finish
from preceptor.usage import Budget
from tests.search.decoding.models import check_search

ROOM = Sampling(max_tokens=10_000)
SMALL = {"beams": 4, "max_new_tokens": 7, "min_new_tokens": 2}


def search(policy, values, problem, **settings) -> TokenTree:
    (tree,) = Saffron(policy, Multifurcation(values), **{**SMALL, **settings}).search(
        [Request(problem, sampling=ROOM)]
    )
    return tree


def plain(policy, prm, problem, beams, max_new_tokens, min_new_tokens, top_p=0.8, rank="final"):
    """Every prefix read from scratch: (final reward or None, ids) of what is left at the end."""
    start = policy.prefix(Request(problem))
    nodes = [((), -math.inf, False)]
    for level in range(max_new_tokens):
        pool = []
        for ids, _, ended in nodes:
            if ended:
                continue
            row = torch.tensor([[*start, *ids]])
            with torch.no_grad():
                z = policy.model(row).logits[0, -1].float()
                states = prm.model.body(input_ids=row).last_hidden_state[:, -1]
                rewards = prm.model.head.all_values(states)[0]
            if level < min_new_tokens:
                z[list(policy.eos_ids)] = -torch.inf
            order = sorted(range(len(z)), key=lambda i: -float(z.softmax(-1)[i]))
            mass = 0.0
            for i in order:
                if mass >= top_p:
                    break
                mass += float(z.softmax(-1)[i])
                pool.append(((*ids, i), float(rewards[i])))
        grown = sorted(pool, key=lambda c: -c[1])[:beams]
        nodes = [n for n in nodes if n[2]] + [(ids, r, ids[-1] in policy.eos_ids) for ids, r in grown]
        nodes = sorted(nodes, key=lambda n: (not n[2] if rank == "final" else 0, -n[1]))[:beams]
        if all(n[2] for n in nodes):
            break
    return [(r if ended else None, ids) for ids, r, ended in nodes]


@pytest.mark.parametrize(
    "settings", [{}, {"beams": 1}, {"rank": "running"}, {"top_p": 0.3}, {"min_new_tokens": 0}]
)
def test_it_finds_the_texts_of_a_search_without_caches(tiny, values, problems, settings):
    settings = {**SMALL, **settings}
    tree = search(tiny, values, problems[0], **settings)
    expected = plain(tiny, values, problems[0], **settings)
    found = [(tree.nodes[i].reward, tuple(tree.sampled(i))) for i in tree.done]
    cut = [tuple(tree.sampled(i)) for i, n in enumerate(tree.nodes) if n.status == "cut"]
    assert sorted(ids for r, ids in expected if r is None) == sorted(cut)
    assert sorted(ids for _, ids in found) == sorted(ids for r, ids in expected if r is not None)
    for reward, ids in found:
        assert reward == pytest.approx(next(r for r, other in expected if other == ids), abs=1e-4)


def test_one_beam_is_greedy_by_reward_inside_the_nucleus(tiny, values, problems):
    (answer,) = Saffron(tiny, Multifurcation(values), beams=1, max_new_tokens=6, min_new_tokens=6).generate(
        [Request(problems[1], sampling=ROOM)]
    )
    ids = tiny.prefix(Request(problems[1]))
    for token in answer.token_ids:
        with torch.no_grad():
            z = tiny.model(torch.tensor([ids])).logits[0, -1].float()
            rewards = values.model.head.all_values(
                values.model.body(torch.tensor([ids])).last_hidden_state[:, -1]
            )[0]
        z[list(tiny.eos_ids)] = -torch.inf
        inside = nucleus(z[None], 0.8)[0]
        assert token == int(rewards.masked_fill(~inside, -torch.inf).argmax())
        ids = (*ids, token)
    assert answer.finish is Finish.LENGTH
    greedy = tiny.generate([Request(problems[1], sampling=Sampling(temperature=0, max_tokens=6))])[0]
    assert answer.token_ids != greedy.token_ids


def test_there_is_one_reward_call_a_living_text_and_every_prefix_is_computed_once(tiny, values, problems):
    calls = []

    class Counted(Multifurcation):
        def values(self, texts):
            calls.append(len(texts))
            return super().values(texts)

    policy = Saffron(tiny, Counted(values), **SMALL)
    trees = policy.search([Request(p, sampling=ROOM) for p in problems[:3]])
    for tree in trees:
        grown = [i for i, n in enumerate(tree.nodes) if n.status == "grown"]
        assert tree.reward_calls == len(grown)
        assert tree.candidates > 10 * tree.reward_calls, "calls do not grow with the candidates"
        distinct = {tree.ids(i)[:k] for i in grown for k in range(1, len(tree.ids(i)) + 1)}
        assert tree.usage.scored == len(distinct)
        assert tree.usage.prefilled == len(tree.prefix)
        assert tree.usage.generated == len(tree.nodes) - 1
        read = tree.usage.flops - 2.0 * values.model.dense_parameters() * tree.usage.scored
        assert read == pytest.approx(2.0 * tiny._parameters * len(distinct))
    assert calls[0] == 3
    assert sum(calls) == sum(t.reward_calls for t in trees)


def test_an_unseen_token_loses_to_every_seen_one(tiny, values, problems):
    head = values.model.head
    before = head.seen.clone()
    free = search(tiny, values, problems[0])
    used = {n.token for n in free.nodes[1:]}
    try:
        head.seen[list(used)] = False
        tree = search(tiny, values, problems[0])
        assert used.isdisjoint(n.token for n in tree.nodes[1:])
        head.seen.fill_(False)
        blind = search(tiny, values, problems[0])
        assert {n.reward for n in blind.nodes[1:]} == {UNSEEN}
    finally:
        head.seen.copy_(before)


def test_no_text_ends_before_it_may(tiny, values, problems):
    head, end = values.model.head, min(tiny.eos_ids)
    before = head.bias.detach().clone()
    try:
        with torch.no_grad():
            head.bias[end] = 100.0
        for least in (0, 3):
            tree = search(tiny, values, problems[0], min_new_tokens=least, top_p=1.0, max_new_tokens=6)
            ended = [n.level for n in tree.nodes[1:] if n.finish is Finish.STOP]
            assert min(ended) == least + 1
            assert tree.done
    finally:
        with torch.no_grad():
            head.bias.copy_(before)


def tree_of(problem, beams, depth=9, tokens=1000) -> TokenTree:
    def ends(ids):
        return Finish.STOP if ids[-1] == 0 else None

    return TokenTree(Request(problem, sampling=Sampling(max_tokens=tokens)), (1, 2), beams, depth, ends)


def level(*candidates) -> Growth:
    """(parent, token, reward)"""
    parents, tokens, rewards = zip(*candidates)
    return Growth(parents, tokens, (-1.0,) * len(parents), rewards)


def test_published_an_ended_text_outranks_unfinished_ones_whatever_its_value(problems):
    for rank, over, best in (("final", True, -5.0), ("running", False, -5.0)):
        tree = tree_of(problems[0], beams=2)
        tree.grow(level((0, 7, 3.0), (0, 0, -5.0), (0, 8, -9.0)), rank)
        assert (len(tree.done), len(tree.live)) == (1, 1)
        tree.grow(level((0, 0, -8.0), (0, 9, 4.0)), rank)
        assert (not tree.live) is over
        assert tree.nodes[tree.best].reward == best
        assert [n.status for n in tree.nodes].count("dropped") == 1
    assert tree.nodes[tree.live[0]].reward == 4.0


def test_candidates_of_all_texts_compete_and_ties_go_to_the_first(problems):
    tree = tree_of(problems[0], beams=2)
    tree.grow(level((0, 5, 1.0), (0, 6, 1.0), (0, 7, 1.0)), "final")
    assert [tree.nodes[i].token for i in tree.live] == [5, 6]
    tree.grow(level((0, 3, 0.0), (1, 4, 2.0), (1, 5, 1.0)), "final")
    assert [tree.sampled(i) for i in tree.live] == [[6, 4], [6, 5]]
    assert tree.path(tree.live[0]) == [2, 3]


def test_a_nucleus_is_what_has_less_than_p_before_it():
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.05, 0.05, 0.1, 0.8], [1.0, 0.0, 0.0, 0.0]])
    assert nucleus(p.log(), 0.8).tolist() == [
        [True, True, False, False],
        [False, False, False, True],
        [True, False, False, False],
    ]
    assert nucleus(p.log(), 1.0).sum(-1).tolist() == [4, 4, 1]


def test_it_is_a_policy_whose_tokens_never_exceed_what_is_asked(tiny, values, problems):
    policy = Saffron(tiny, Multifurcation(values), **SMALL)
    assert isinstance(policy, Policy)
    for tokens in (1, 3, 10, 27, 28, 400):
        for answer in policy.generate(
            [Request(p, sampling=Sampling(max_tokens=tokens)) for p in problems[:2]]
        ):
            assert answer.usage.generated <= tokens
            assert len(answer.token_ids) <= min(tokens, 7)
            assert answer.usage.generated == answer.extra["saffron"]["tokens"]
    check_search(lambda: policy, problems[:3], Greedy(ROOM), budgets=(0, 9, 40))
    result = solve(policy, problems[:2], Greedy(ROOM), budget=Budget(tokens=20))
    assert all(s.ledger.policy.generated <= 20 for s in result.solutions)


def test_what_it_writes_has_ids_ends_and_log_probabilities_of_the_policy(tiny, values, problems):
    policy = Saffron(
        tiny, Multifurcation(values), **{**SMALL, "min_new_tokens": 0, "rank": "running", "beams": 6}
    )
    for answer, problem in zip(
        policy.generate([Request(p, "12*", sampling=ROOM) for p in problems]), problems
    ):
        written = [i for i in answer.token_ids if i not in tiny.eos_ids]
        assert answer.text == tiny.tokenizer.decode(written)
        assert len(answer.token_ends) == len(answer.logprobs) == len(answer.token_ids)
        assert answer.token_ends[-1] == len(answer.text)
        ids = tiny.prefix(Request(problem, "12*"))
        with torch.no_grad():
            z = tiny.model(torch.tensor([[*ids, *answer.token_ids]])).logits[0].float().log_softmax(-1)
        own = [float(z[len(ids) - 1 + k, t]) for k, t in enumerate(answer.token_ids)]
        assert answer.logprobs == pytest.approx(own, abs=1e-3)


def test_a_stop_string_ends_a_text_as_its_end_does(tiny, values, problems):
    free = search(tiny, values, problems[0])
    letter = next(
        c for c in Saffron(tiny, Multifurcation(values), **SMALL)._continuation(free).text if c.isalnum()
    )
    policy = Saffron(tiny, Multifurcation(values), **SMALL)
    (tree,) = policy.search([Request(problems[0], sampling=Sampling(max_tokens=1000, stop=(letter,)))])
    texts = [policy._text.decode(tree.sampled(i), tree.prefix)[0] for i in tree.done]
    assert texts
    assert all(letter in text and letter not in text[: text.index(letter)] for text in texts)
    assert {tree.nodes[i].finish for i in tree.done} <= {Finish.BOUNDARY, Finish.STOP}


def test_bad_items_fail_alone_and_bad_settings_are_refused(tiny, shipped, values, verifier, problems):
    policy = Saffron(tiny, Multifurcation(values), **SMALL)
    bad, good = policy.generate(
        [Request(problems[0], "x", (5,) * 600, sampling=ROOM), Request(problems[1], sampling=ROOM)]
    )
    assert bad.error.kind == "too-long"
    assert good.text
    with pytest.raises(InputError, match="saffron"):
        Multifurcation(verifier)
    with pytest.raises(InputError, match="same vocabulary"):
        Saffron(shipped, Multifurcation(values))
    with pytest.raises(InputError, match="ScriptedPolicy"):
        Saffron(ScriptedPolicy(), Multifurcation(values))
    for wrong in ({"beams": 0}, {"top_p": 0.0}, {"rank": "best"}, {"min_new_tokens": -1}):
        with pytest.raises(InputError, match="expected"):
            Saffron(tiny, Multifurcation(values), **wrong)
    assert isinstance(Candidates(verifier).fingerprint, str)


def test_a_value_that_is_no_number_fails_its_item(tiny, values, problems):
    first = tiny.prefix(Request(problems[0]))

    class Broken(Multifurcation):
        def values(self, texts):
            table, usage = super().values(texts)
            table = table.clone()
            table[[tuple(t[: len(first)]) == first for t in texts]] = float("nan")
            return table, usage

    asked = [Request(p, sampling=ROOM) for p in problems[:2]]
    bad, good = Saffron(tiny, Broken(values), **SMALL).generate(asked)
    assert bad.error.kind == "not-finite"
    assert good.text == Saffron(tiny, Multifurcation(values), **SMALL).generate(asked)[1].text != ""
