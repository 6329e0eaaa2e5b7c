"""The likeliest next tokens of a local model against its own logits."""

from __future__ import annotations

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.policy import TransformersPolicy
from preceptor.policy.next_tokens import Brancher
from preceptor.trace import Problem


@pytest.fixture(scope="module")
def policy(tiny_policy_dir) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir)


def test_entropies_and_the_likeliest_tokens_are_those_of_the_models_own_logits(policy):
    assert isinstance(policy, Brancher)
    problem = Problem("Mia has 12 boxes.")
    requests = [Request(problem, "12*7=", sampling=Sampling(max_tokens=9)), Request(problem)]
    continuations = [policy.generate([r])[0].token_ids for r in requests]
    for request, ids, read in zip(requests, continuations, policy.next_tokens(requests, continuations, 3)):
        before = policy.prefix(request)
        logits = policy.model(torch.tensor([[*before, *ids]])).logits[0, len(before) - 1 : -1].float()
        logprobs = logits.log_softmax(-1).detach()
        assert read.entropies == pytest.approx((-(logprobs.exp() * logprobs).sum(-1)).tolist(), abs=1e-4)
        top = logprobs.topk(3)
        assert [[t.id for t in row] for row in read.likeliest] == top.indices.tolist()
        assert [[t.logprob for t in row] for row in read.likeliest] == [
            pytest.approx(row, abs=1e-4) for row in top.values.tolist()
        ]
        assert before[len(before) - len(read.prefix_ids) :] == read.prefix_ids


def test_tokens_are_spelled_only_where_the_entropy_is_above_the_asked_one(policy):
    request = Request(Problem("Mia has 12 boxes."))
    ids = policy.tokenizer.encode("84-30=54")
    (read,) = policy.next_tokens([request], [ids])
    middle = sorted(read.entropies)[len(ids) // 2]
    (part,) = policy.next_tokens([request], [ids], above=middle)
    assert [bool(row) for row in part.likeliest] == [h > middle for h in part.entropies]
    assert all(row == whole for row, whole in zip(part.likeliest, read.likeliest) if row)
    token = read.likeliest[0][0]
    assert token.ends or token.text == policy.tokenizer.decode([token.id])


def test_bad_items_are_errors_of_their_own_and_bad_arguments_are_refused(policy):
    request = Request(Problem("Mia has 12 boxes."))
    long, good = policy.next_tokens([request, request], [[5] * 600, [5]])
    assert long.error.kind == "too-long"
    assert good.error is None
    assert len(good.entropies) == 1
    with pytest.raises(InputError, match="k: got 0"):
        policy.next_tokens([request], [[5]], 0)
    with pytest.raises(InputError, match="continuations"):
        policy.next_tokens([request], [])
