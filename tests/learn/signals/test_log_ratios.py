"""Token log-ratios: of the sampled ids, one a token, or none at all."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from preceptor.credit import METHODS, compute, rollout_of
from preceptor.errors import InputError
from preceptor.learn.online import OnlineImplicitPRM
from preceptor.learn.signals import LogRatios
from preceptor.policy import prompt_ids
from tests.learn.signals.toys import Counting, failed, problem, slow_ids, trace

STEPS = ("12*7=84\n", "Answer: 84\n")


def expected(model, t):
    return slow_ids(model, prompt_ids(model.tokenizer, t.problem), t.token_ids)


def test_a_teachers_ratio_is_its_log_probability_less_the_one_the_student_sampled_with(policy, other):
    t = trace(*STEPS, tokenizer=policy.tokenizer)
    t = replace(t, logprobs=tuple(expected(policy, t)))
    found = LogRatios(other).signals([t])
    wanted = [a - b for a, b in zip(expected(other, t), expected(policy, t), strict=True)]
    assert found.tokens[0] == pytest.approx(wanted, abs=1e-4)
    spans = rollout_of(t).spans
    assert found.scores[0] == pytest.approx([sum(wanted[a:b]) for a, b in spans], abs=1e-4)


def test_an_implicit_reward_is_over_its_reference_and_equal_models_say_nothing(policy, other):
    t = trace(*STEPS, tokenizer=policy.tokenizer)
    ratios = LogRatios(other, policy)
    wanted = [a - b for a, b in zip(expected(other, t), expected(policy, t), strict=True)]
    assert ratios.signals([t]).tokens[0] == pytest.approx(wanted, abs=1e-4)
    assert ratios.spent.calls == 2
    assert LogRatios(policy, policy).signals([t]).tokens[0] == pytest.approx([0.0] * len(t.token_ids))


@pytest.mark.parametrize("loss", ["bce", "pairwise"])
def test_a_reward_model_that_learns_along_is_asked_about_the_policys_tokens_alone(policy, other, loss):
    made = OnlineImplicitPRM(other.model, other.tokenizer, loss=loss, beta=1.0, max_grad_norm=1e9)
    made.reference = policy.model
    asked = made.model  # a step is taken, but after the figures
    right, wrong = (trace(*s, tokenizer=policy.tokenizer) for s in (STEPS, ("12*7=74\n", "Answer: 74\n")))
    own = torch.arange(len(right.token_ids)) < 4  # an environment wrote the rest
    right = replace(right, sampled=tuple(own.tolist()))
    gaps = []
    for t in (right, wrong):
        ids = torch.tensor([[*prompt_ids(policy.tokenizer, t.problem), *t.token_ids]])
        at = ids[0, -len(t.token_ids) :, None]
        logps = [
            m(ids).logits[0, -len(at) - 1 : -1].log_softmax(-1).gather(1, at)[:, 0]
            for m in (asked, policy.model)
        ]
        gaps.append(logps[0] - logps[1].detach())
    a, b = gaps[0][own].sum(), gaps[1].sum()
    wanted = (F.softplus(-a) + F.softplus(b)) / 2 if loss == "bce" else F.softplus((b - a) / 2)
    slopes = torch.autograd.grad(wanted, list(asked.parameters()), allow_unused=True)
    figures = made.update([right, wrong], [1.0, 0.0])
    assert figures["loss"] == pytest.approx(wanted.item(), rel=1e-4)
    size = math.sqrt(sum(float(g.square().sum()) for g in slopes if g is not None))
    assert figures["grad_norm"] == pytest.approx(size, rel=1e-3)


def test_ids_are_read_as_sampled_not_as_a_tokenizer_would_write_them(policy, other):
    t = trace("hens\n", tokenizer=policy.tokenizer)
    letters = tuple(policy.tokenizer.convert_tokens_to_ids(list("hens")))
    odd = replace(t, token_ids=(*letters, t.token_ids[-2], t.token_ids[-1]), token_ends=(1, 2, 3, 4, 5, 5))
    odd = replace(odd, logprobs=(0.0,) * 6)
    assert odd.token_ids != t.token_ids
    assert LogRatios(other).signals([odd]).tokens[0] == pytest.approx(expected(other, odd), abs=1e-4)


def test_a_reader_of_texts_must_have_the_traces_tokens_and_knows_no_end_of_text(policy, other):
    t = replace(trace(*STEPS, tokenizer=policy.tokenizer), logprobs=None)
    t = replace(t, logprobs=(0.0,) * len(t.token_ids))
    odd = replace(t, token_ids=(5, *t.token_ids[1:]))
    short = replace(t, token_ids=t.token_ids[:-2], token_ends=t.token_ends[:-2], logprobs=t.logprobs[:-2])
    reader = Counting(other)
    ratios = LogRatios(reader)
    found = ratios.signals([t, odd, short, failed()])
    assert reader.calls == 1
    assert found.tokens[0][:-1] == pytest.approx(expected(other, t)[:-1], abs=1e-4)
    assert math.isnan(found.tokens[0][-1])
    assert found.tokens[1:] == (None, None, None)
    assert found.scores[1:] == (None, None, None)
    assert ratios.failed == {"tokens-differ": 2, "timeout": 1}
    compute([rollout_of(x) for x in (t, t)], LogRatios(reader).signals([t, t]), METHODS["oprl"])


def test_without_a_reference_a_trace_must_carry_log_probabilities(policy):
    t = replace(trace(*STEPS, tokenizer=policy.tokenizer), logprobs=None)
    ratios = LogRatios(policy)
    assert ratios.signals([t]).tokens == (None,)
    assert ratios.failed == {"no-logprobs": 1}


def test_a_trace_beyond_the_models_context_has_no_ratios(policy):
    t = trace(*["12*7=84\n"] * 90, tokenizer=policy.tokenizer)
    ratios = LogRatios(policy)
    found = ratios.signals([t, trace(*STEPS, of=problem("Hens?"), tokenizer=policy.tokenizer)])
    assert found.tokens[0] is None
    assert found.tokens[1] is not None
    assert ratios.failed == {"too-long": 1}


def test_two_vocabularies_are_refused(policy):
    class Foreign:
        fingerprint = "foreign"

        class tokenizer:
            @staticmethod
            def get_vocab():
                return {"a": 0}

    with pytest.raises(InputError, match="vocabularies"):
        LogRatios(policy, Foreign())
