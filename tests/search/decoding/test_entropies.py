"""Entropies beside a text change nothing of it; fragments stop in front of anchors.

Run: python -m pytest tests/search/decoding/test_entropies.py
"""

from __future__ import annotations

import math

import pytest

from preceptor.errors import InputError
from preceptor.generation import Continuation, Policy, Request, Sampling
from preceptor.policy import ScriptedPolicy
from preceptor.search.decoding.entropies import Entropies, Fragments
from preceptor.trace import Finish
from preceptor.worlds import arithmetic

GREEDY = Sampling(temperature=0.0, max_tokens=100)


def same(a, b):
    return [(x.text, x.token_ids, x.finish, x.logprobs) for x in a] == [
        (x.text, x.token_ids, x.finish, x.logprobs) for x in b
    ]


def test_texts_are_the_base_policys_and_entropies_those_of_reading_them_again(shipped):
    policy = Entropies(shipped)
    assert isinstance(policy, Policy)
    asked = [
        Request(p, draw=d, sampling=Sampling(max_tokens=30, stop=stop))
        for p in arithmetic(n=3)
        for d, stop in ((0, ()), (1, ("\n",)))
    ]
    answers = policy.generate(asked)
    assert same(answers, shipped.generate(asked))
    for answer, read in zip(answers, shipped.next_tokens(asked, [a.token_ids for a in answers])):
        assert answer.extra["entropies"] == pytest.approx(read.entropies, abs=1e-3)
        again = Continuation.from_record(answer.to_record())
        assert again.extra == answer.extra


def test_without_a_threshold_to_exceed_a_fragment_is_the_greedy_text(shipped):
    asked = [Request(p, sampling=GREEDY) for p in arithmetic(n=4)]
    answers = Fragments(shipped, tau=math.inf).generate(asked)
    base = shipped.generate(asked)
    assert [(a.text, a.token_ids, a.finish) for a in answers] == [
        (b.text, b.token_ids, b.finish) for b in base
    ]
    for answer, plain in zip(answers, base):
        assert answer.logprobs == pytest.approx(plain.logprobs, abs=1e-5)
        assert answer.usage.generated == plain.usage.generated


def test_fragments_joined_are_the_greedy_text_and_each_ends_in_front_of_an_anchor(tiny, problems):
    policy = Fragments(tiny, tau=4.0, minimum=3)
    limit = Sampling(temperature=0.0, max_tokens=40)
    greedy = tiny.generate([Request(problems[0], sampling=limit)])[0]
    entropies = tiny.next_tokens([Request(problems[0])], [greedy.token_ids])[0].entropies
    ids, stops = [], []
    while len(ids) < len(greedy.token_ids):
        text = tiny.tokenizer.decode(ids)
        rest = Sampling(temperature=0.0, max_tokens=40 - len(ids))
        (got,) = policy.generate([Request(problems[0], text, tuple(ids) or None, sampling=rest)])
        assert got.usage.generated == len(got.token_ids) == len(got.logprobs) == len(got.token_ends)
        assert got.extra["entropies"] == pytest.approx(
            entropies[len(ids) : len(ids) + len(got.token_ids)], abs=1e-3
        )
        ids += got.token_ids
        if got.finish is Finish.BOUNDARY:
            assert len(got.token_ids) >= 3
            stops.append(len(ids))
    assert tuple(ids) == greedy.token_ids
    assert stops
    assert all(entropies[at] > 4.0 for at in stops)


def test_the_runner_up_begins_where_it_is_asked_for_with_its_own_log_probability(tiny, problems):
    policy = Fragments(tiny, tau=math.inf)
    (first, second) = policy.generate(
        [Request(problems[0], sampling=Sampling(temperature=0.0, top_k=k, max_tokens=5)) for k in (1, 2)]
    )
    (read,) = tiny.next_tokens([Request(problems[0])], [[0]], 2)
    for answer, token in zip((first, second), read.likeliest[0]):
        assert answer.token_ids[0] == token.id
        assert answer.logprobs[0] == pytest.approx(token.logprob, abs=1e-4)
    rest = Request(problems[0], second.text[: second.token_ends[0]], second.token_ids[:1])
    (greedy,) = tiny.generate(
        [Request(rest.problem, rest.prefix, rest.prefix_ids, sampling=Sampling(0.0, max_tokens=4))]
    )
    assert second.token_ids[1:] == greedy.token_ids


def test_policies_without_distributions_are_refused_by_name():
    for wrapper in (Entropies, Fragments):
        with pytest.raises(InputError, match="ScriptedPolicy"):
            wrapper(ScriptedPolicy())
