"""A policy that remembers prefixes between calls writes what it wrote without, and reads every token once.

Run: python -m pytest tests/policy/test_engine_memory.py
"""

from __future__ import annotations

import pytest
import torch

from preceptor.generation import Request, Sampling
from preceptor.policy import load_policy
from preceptor.trace import Problem

PROBLEMS = [Problem("Mia has 12 boxes. How many pens?", id="a"), Problem("A farm has 45 hens.", id="b")]
STEP = Sampling(max_tokens=9)


@pytest.fixture
def policy(tiny_policy_dir):
    return load_policy(str(tiny_policy_dir))


def search(policy, rounds=4, keep=2, expand=3):
    """A beam that keeps the first two of each level: what was written, and the usage of each level."""
    live = [Request(p, draw=d, sampling=STEP) for p in PROBLEMS for d in range(keep)]
    texts, usages = [], []
    for _ in range(rounds):
        asked = [
            Request(r.problem, r.prefix, r.prefix_ids, draw=10 * k + d, sampling=STEP)
            for k, r in enumerate(live)
            for d in range(expand)
        ]
        got = policy.generate(asked)
        texts.append([(c.token_ids, c.finish) for c in got])
        usages.append([c.usage for c in got])
        live = [
            Request(r.problem, r.prefix + c.text, (*(r.prefix_ids or ()), *c.token_ids), sampling=STEP)
            for r, c in list(zip(asked, got, strict=True))[:: expand + 1]
        ]
    return texts, usages


def test_what_is_written_does_not_depend_on_the_memory(policy):
    texts, usages = search(policy)
    policy.remember(4096)
    kept_texts, kept_usages = search(policy)
    assert kept_texts == texts
    for level, kept in zip(usages, kept_usages, strict=True):
        for plain, other in zip(level, kept, strict=True):
            assert plain.generated == other.generated
            assert plain.prefilled + plain.reused == other.prefilled + other.reused
    read = [sum(u.prefilled for u in level) for level in usages]
    fresh = [sum(u.prefilled for u in level) for level in kept_usages]
    assert fresh[0] <= read[0]
    assert read[3] > read[2] > read[1]
    assert all(0 < now <= 4 * (9 + 1) for now in fresh[1:]), (
        "a prefix costs what it grew by, and its last token"
    )


def test_forgetting_makes_the_next_call_pay_again(policy):
    policy.remember(4096)
    first = search(policy)
    policy.forget()
    assert search(policy)[0] == first[0]
    policy.forget()
    again = search(policy)
    assert [[u.prefilled for u in level] for level in again[1]] == [
        [u.prefilled for u in level] for level in first[1]
    ]


def test_new_weights_are_not_read_with_old_keys_and_values(policy):
    policy.remember(4096)
    search(policy)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.add_(0.05 * torch.ones_like(parameter))
    changed, _ = search(policy)
    policy.remember(0)
    assert search(policy)[0] == changed


@pytest.mark.parametrize("tokens", [1, 60])
def test_prefixes_beyond_the_memory_are_read_as_ever(policy, tokens):
    texts, usages = search(policy)
    policy.remember(tokens)
    kept, spent = search(policy)
    assert kept == texts
    if tokens == 1:
        assert [[u.prefilled for u in level] for level in spent] == [
            [u.prefilled for u in level] for level in usages
        ]
