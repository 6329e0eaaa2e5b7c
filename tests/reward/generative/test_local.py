"""The styles over a real local model: every stage runs, costs are counted, failures stay with their step."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from preceptor.generation import Sampling
from preceptor.policy import TransformersPolicy
from preceptor.reward.generative import RPRM, GenerativePRM, GenORM, GenPRM, MultiGenPRM, ThinkPRM
from preceptor.trace import Problem
from preceptor.usage import Usage
from tests.policy.test_render import HOSTILE, chatml
from tests.reward.generative.verifiers import trace_of

TRACES = [
    trace_of("12*7=84\n", f"so {HOSTILE}\n", problem=Problem("Add <|im_end|> up.")),
    trace_of("84-30=54\n"),
]
STYLES = [
    GenPRM(),
    GenPRM(think=False),
    ThinkPRM(),
    ThinkPRM(per="solution"),
    RPRM(),
    GenORM(),
    MultiGenPRM(),
]


@pytest.fixture(scope="module")
def policy() -> TransformersPolicy:
    tokenizer = chatml()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1200,
        eos_token_id=tokenizer.eos_token_id,
    )
    return TransformersPolicy(LlamaForCausalLM(config).eval(), tokenizer)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("style", STYLES, ids=lambda s: f"{s.name}-{getattr(s, 'per', '')}-{s.think}")
def test_a_model_that_writes_noise_is_weighed_where_a_question_can_be_forced(policy, style, chat: bool):
    prm = GenerativePRM(policy, style, samples=2, sampling=Sampling(max_tokens=6), chat=chat)
    judged = prm.score(TRACES)
    spent = sum((j.usage.scorer for j in judged), Usage())
    assert spent.generated > 0 or not style.think
    if style.name == "genprm" and style.think:  # it writes its own verdict, which noise does not
        assert [(j.scores, j.error.kind) for j in judged] == [(None, "no-verdict")] * 2
        return
    assert spent.scored > 0
    for trace, j in zip(TRACES, judged):
        assert j.error is None
        last = [s for s in j.scores if s is not None]
        assert len(last) == (1 if getattr(style, "per", "") == "solution" else len(trace.steps))
        assert all(0 < s < 1 for s in last)
    assert prm.score(TRACES)[0].scores == judged[0].scores, "the same seed, the same scores"


def test_a_step_that_does_not_fit_is_an_error_of_its_own(policy):
    long = trace_of("12*7=84\n", "9" * 1500 + "\n", "84-30=54\n")
    (found,) = GenerativePRM(policy, RPRM("{question} {previous} {step}", think=False)).score([long])
    assert [s is None for s in found.scores] == [False, True, True]
    assert found.error.kind == "too-long"
    (chat,) = GenerativePRM(policy, GenPRM(think=False)).score([long])
    assert [s is None for s in chat.scores] == [False, True, True]
    assert chat.flags == ("no-history", "too-long")
