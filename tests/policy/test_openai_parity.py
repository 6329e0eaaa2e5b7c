"""A real tiny model behind a real server gives the same numbers as the model itself.

Run: python -m pytest tests/policy/test_openai_parity.py
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from preceptor.annotate.judges import Asking, StepJudge
from preceptor.generation import Message, Request
from preceptor.policy import TransformersPolicy
from preceptor.policy.openai import OpenAIPolicy
from preceptor.policy.render import prompt_ids, text_ids
from preceptor.trace import Problem, Trace, steps_from_ends
from tests.policy.http_server import Call, serving

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ':\n' + m['content'] + '\n' }}{% endfor %}{{ 'assistant:\n' }}"
)
MIA = Problem("Mia has 12 boxes with 7 pens each. How many pens?", "84")


class Backend:
    """Answers as vLLM does: echoes with log-probabilities, and lists the likeliest next tokens."""

    def __init__(self, path: Path):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(path).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.tokenizer.chat_template = TEMPLATE

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        with torch.inference_mode():
            return self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)

    def __call__(self, call: Call) -> None:
        body = call.body
        if "messages" in body:
            text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False)
            if body.get("continue_final_message"):
                *before, last = body["messages"]
                text = self.tokenizer.apply_chat_template(before, tokenize=False) + last["content"]
            rows = [{"token": t, "logprob": lp} for t, lp in self.top(text, body["top_logprobs"])]
            listed = {"content": [{"token": rows[0]["token"], "logprob": 0.0, "top_logprobs": rows}]}
            choice = {"message": {"content": rows[0]["token"]}, "logprobs": listed}
        elif body.get("echo"):
            ids = text_ids(self.tokenizer, body["prompt"])
            table = self.logprobs(ids)
            tokens = [self.tokenizer.decode([i]) for i in [*ids, int(table[-1].argmax())]]
            given = [None, *(float(table[k, i]) for k, i in enumerate(ids[1:])), float(table[-1].max())]
            choice = {"text": "".join(tokens), "logprobs": {"tokens": tokens, "token_logprobs": given}}
        else:
            top = self.top(body["prompt"], body["logprobs"])
            choice = {"text": top[0][0], "logprobs": {"top_logprobs": [dict(top)]}}
        call.answer({"choices": [{**choice, "finish_reason": "length"}]})

    def top(self, text: str, n: int) -> list[tuple[str, float]]:
        values, ids = self.logprobs(text_ids(self.tokenizer, text))[-1].topk(min(n, len(self.tokenizer)))
        return [(self.tokenizer.decode([i]), v) for i, v in zip(ids.tolist(), values.tolist())]


@pytest.fixture(scope="module")
def backend(tiny_policy_dir: Path) -> Backend:
    return Backend(tiny_policy_dir)


def test_a_given_text_has_the_models_own_likelihood(backend: Backend):
    text = "12*7=84\nAnswer: 84\n"
    request = Request(MIA, prefix="So:\n")
    with serving(backend) as server:
        (got,) = OpenAIPolicy(server.url, "tiny").likelihood([request], [text])
    before = [*prompt_ids_of(backend), *text_ids(backend.tokenizer, "So:\n")]
    own = text_ids(backend.tokenizer, text)
    table = backend.logprobs([*before, *own])
    wanted = [float(table[len(before) - 1 + k, i]) for k, i in enumerate(own)]
    assert got.error is None
    assert got.logprobs == pytest.approx(wanted, abs=1e-5)
    ends = [len(backend.tokenizer.decode(own[: k + 1])) for k in range(len(own))]
    assert list(got.token_ends) == ends
    assert got.token_ends[-1] == len(text)


def prompt_ids_of(backend: Backend) -> list[int]:
    template, backend.tokenizer.chat_template = backend.tokenizer.chat_template, None
    try:
        return prompt_ids(backend.tokenizer, MIA)
    finally:
        backend.tokenizer.chat_template = template


@pytest.mark.parametrize("messages", [(), (Message("user", "Is 12*7=84?"),)])
@pytest.mark.parametrize("prefix", ["", "12*7="])
def test_two_words_are_weighed_as_the_model_weighs_them(backend: Backend, messages, prefix):
    request = Request(MIA, prefix=prefix, messages=messages)
    text = f"{MIA.prompt}\n{prefix}" if not messages else f"user:\nIs 12*7=84?\nassistant:\n{prefix}"
    table = backend.logprobs(text_ids(backend.tokenizer, text))[-1].exp()
    shown = [(backend.tokenizer.decode([i]), float(p)) for i, p in enumerate(table)]
    # Random weights: take words among the likeliest, which a list of 20 shows.
    best = sorted((pair for pair in shown if pair[0].strip().isalnum()), key=lambda pair: -pair[1])
    words = list(dict.fromkeys(token.strip() for token, _ in best))[:2]
    with serving(backend) as server:
        policy = OpenAIPolicy(server.url, "tiny", top_logprobs=len(table))
        (got,) = policy.choose([request], words)
        (listed,) = OpenAIPolicy(server.url, "tiny").choose([request], words)
    mass = [sum(p for token, p in shown if token.lstrip(" ") == word) for word in words]
    assert got.error is None
    assert got.probs == pytest.approx([m / sum(mass) for m in mass], abs=1e-5)
    assert got.mass == pytest.approx(sum(mass), abs=1e-5)
    assert listed.probs is not None


@pytest.fixture(scope="module")
def local(backend: Backend) -> TransformersPolicy:
    return TransformersPolicy(backend.model, backend.tokenizer)


def test_a_local_and_a_served_model_read_the_same_likelihood(backend: Backend, tiny_policy_dir: Path):
    texts = ["12*7=84\nAnswer: 84\n", "8", "Answer: 85\n"]
    requests = [Request(MIA, prefix=p) for p in ("", "12*7=", "So:\n")]
    with serving(backend) as server:
        served = OpenAIPolicy(server.url, "tiny").likelihood(requests, texts)
    own = TransformersPolicy.load(tiny_policy_dir, device="cpu").likelihood(requests, texts)
    for a, b in zip(served, own, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
        assert a.token_ends == b.token_ends


def test_judges_score_alike_over_a_local_and_a_served_model(backend: Backend, local: TransformersPolicy):
    steps = ["12*7=84\n", "Answer: 84\n"]
    trace = Trace(MIA, "".join(steps), steps_from_ends([8, 19]))
    with serving(backend) as server:
        served = OpenAIPolicy(server.url, "tiny", top_logprobs=400)
        for lead in ("", "Verdict:\n"):
            asking = Asking(lead=lead)
            settings = {"options": ("a", "b"), "template": "{problem}\n{previous}\n{step}", "asking": asking}
            (by_server,) = StepJudge(served, **settings).score([trace])
            (by_model,) = StepJudge(local, **settings).score([trace])
            assert by_model.error is None
            assert len(set(by_model.scores)) == 2
            # The server counts " a" beside "a", the model the one token that stands there.
            for t, score in enumerate(by_server.scores):
                assert score == pytest.approx(self_weighed(backend, trace, t, settings), abs=1e-4)
            for t, score in enumerate(by_model.scores):
                assert score == pytest.approx(self_weighed(backend, trace, t, settings, plain=True), abs=1e-4)
            assert by_model.usage.scorer.scored > 0


def self_weighed(backend: Backend, trace: Trace, t: int, settings, plain: bool = False) -> float:
    """P("a") against P("b") straight from the model; unless `plain`, those with a space in front count too."""
    before = trace.prefix(t).strip() or "(none)"
    prompt = f"{MIA.prompt}\n{before}\n{trace.step_texts[t].strip()}"
    text = f"user:\n{prompt}\nassistant:\n{settings['asking'].lead}"
    table = backend.logprobs(text_ids(backend.tokenizer, text))[-1]
    a, b = (
        sum(math.exp(float(table[i])) for i in range(len(table)) if spells(backend, i, word, plain))
        for word in settings["options"]
    )
    return a / (a + b)


def spells(backend: Backend, token: int, word: str, plain: bool) -> bool:
    text = backend.tokenizer.decode([token])
    return (text if plain else text.lstrip(" ")) == word
