"""Specifies how a local policy says what its draws were drawn from, and power sampling with a real model."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.policy import TransformersPolicy
from preceptor.search import Status, solve
from preceptor.search.sampling import PowerSampling
from preceptor.search.sampling.tempered import Tempered
from preceptor.trace import Problem
from tests.search.toy import TreePolicy

PROBLEMS = [Problem(f"Mia has {n} boxes with 7 pens each.", gold="54", grader="exact") for n in (12, 3, 45)]


@pytest.fixture(scope="module")
def tiny(tiny_policy_dir) -> TransformersPolicy:  # type: ignore[no-untyped-def]
    return TransformersPolicy.load(tiny_policy_dir)


def test_texts_are_the_policys_and_each_token_has_the_log_probability_of_its_draw(tiny) -> None:  # type: ignore[no-untyped-def]
    heats = (0.25, 1.0, 1.7)
    requests = [Request(p, sampling=Sampling(h, max_tokens=9), seed=4) for p in PROBLEMS for h in heats]
    plain, noted = tiny.generate(requests), Tempered(tiny).generate(requests)
    for request, a, b in zip(requests, plain, noted, strict=True):
        assert (a.text, a.token_ids) == (b.text, b.token_ids)
        assert a.logprobs == pytest.approx(b.logprobs)
        prefix = tiny.prefix(request)
        with torch.no_grad():
            logits = tiny.model(torch.tensor([[*prefix, *b.token_ids]])).logits[0, len(prefix) - 1 : -1]
        scaled = torch.log_softmax(logits.float() / request.sampling.temperature, -1)
        expected = scaled.gather(1, torch.tensor(b.token_ids)[:, None])[:, 0]
        assert b.extra["proposal_logprobs"] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_policy_that_cannot_be_looked_into_is_refused() -> None:
    with pytest.raises(InputError, match="local model"):
        Tempered(TreePolicy())  # type: ignore[arg-type]


def test_power_sampling_searches_with_a_model(tiny) -> None:  # type: ignore[no-untyped-def]
    strategy = PowerSampling(4.0, 3, 4, sampling=Sampling(max_tokens=18))
    result = solve(tiny, PROBLEMS, strategy)
    for s in result.solutions:
        assert s.ledger == s.tree.ledger
        moves = [n for n in s.tree.nodes if n.role == "move"]
        assert moves
        assert Counter(n.data.get("taken") for n in moves)[True] >= 1
        for node in s.tree.nodes[1:]:
            path = s.tree.path(node)
            assert path.token_ids is not None
            assert len(path.token_ids) <= 18
            assert len(node.data["policy"]["proposal_logprobs"]) == len(node.token_ids or ())
        assert sum(n.status in (Status.DONE, Status.CUT) for n in s.tree.nodes) == 1
    alone = solve(tiny, PROBLEMS[1:2], strategy).solutions[0]
    assert [n.text for n in alone.tree.nodes] == [n.text for n in result.solutions[1].tree.nodes]
    base = solve(tiny, PROBLEMS, PowerSampling(1.0, 3, 4, sampling=Sampling(max_tokens=18)))
    ratios = {n.data["log_ratio"] for s in base.solutions for n in s.tree.nodes if n.role == "move"}
    assert 0.0 in ratios
