"""A model directory as a policy: stops, ends, limits, costs, and a fingerprint that follows the weights."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preceptor.errors import ModelError
from preceptor.generation import Policy, Request, Sampling
from preceptor.policy.transformers_policy import TransformersPolicy
from preceptor.trace import Finish, Problem
from tests.tiny import save_tiny_policy

PROBLEMS = [Problem(f"Mia has {n} boxes with 7 pens each. How many pens?") for n in range(6)]


@pytest.fixture(scope="module")
def policy(tiny_policy_dir: Path) -> TransformersPolicy:
    return TransformersPolicy.load(tiny_policy_dir, device="cpu")


def requests(n: int = 48, **sampling: Any) -> list[Request]:
    settings = Sampling(**{"max_tokens": 24, **sampling})
    return [Request(PROBLEMS[k % 6], "12*7=84\n" * (k % 3), draw=k, sampling=settings) for k in range(n)]


def test_it_is_a_policy(policy: TransformersPolicy):
    assert isinstance(policy, Policy)
    assert policy.generate([]) == []


def test_text_ids_and_offsets_agree(policy: TransformersPolicy):
    for answer in policy.generate(requests()):
        assert answer.token_ids
        assert answer.token_ends
        assert answer.logprobs
        written = [i for i in answer.token_ids if i not in policy.eos_ids]
        assert answer.text == policy.tokenizer.decode(written, clean_up_tokenization_spaces=False)
        assert list(answer.token_ends) == sorted(answer.token_ends)
        assert answer.token_ends[-1] == len(answer.text)
        assert len(answer.token_ids) == len(answer.logprobs) == len(answer.token_ends)


def test_a_stop_string_ends_the_text_with_the_token_that_completes_it(policy: TransformersPolicy):
    """Against stopping the unstopped text by hand, for stops inside, at the end of, and across tokens."""
    stops = ("e", "s ", "1", "pe", "Ġ", "ss")
    free = policy.generate(requests())
    cut = policy.generate(requests(stop=stops))
    reasons = set()
    for whole, answer in zip(free, cut, strict=True):
        assert whole.token_ids
        assert whole.token_ends
        assert answer.token_ids
        at = min((whole.text.find(s) + len(s) for s in stops if s in whole.text), default=None)
        n = next((k + 1 for k, e in enumerate(whole.token_ends) if at is not None and e >= at), None)
        reasons.add(answer.finish)
        if n is None:
            assert answer.token_ids == whole.token_ids
            assert answer.finish is whole.finish
        else:
            assert answer.token_ids == whole.token_ids[:n]
            assert answer.finish is Finish.BOUNDARY
            assert any(s in answer.text for s in stops)
    assert {Finish.BOUNDARY, Finish.LENGTH} <= reasons


def test_a_stop_string_across_two_tokens_is_found(policy: TransformersPolicy):
    free = policy.generate(requests())
    seen = 0
    for request, whole in zip(requests(), free, strict=True):
        assert whole.token_ids
        assert whole.token_ends
        a, b, c = whole.token_ends[:3]
        stop = whole.text[b - 1 : b + 1]
        if a == b or b == c or not whole.text[:c].isascii() or stop in whole.text[:b]:
            continue
        seen += 1
        settings = Sampling(max_tokens=24, stop=(stop,))
        (answer,) = policy.generate(
            [Request(request.problem, request.prefix, None, request.draw, 0, settings)]
        )
        assert answer.token_ids == whole.token_ids[:3]
        assert (answer.finish, answer.text) == (Finish.BOUNDARY, whole.text[:c])
    assert seen


def test_end_of_text_is_a_stop_and_no_text(tiny_policy_dir: Path):
    policy = TransformersPolicy.load(tiny_policy_dir, device="cpu")
    end = policy.tokenizer.eos_token_id
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[end] *= 3
    answers = policy.generate(requests(120))
    ended = [a for a in answers if a.finish is Finish.STOP]
    assert ended
    for a in ended:
        assert a.token_ids
        assert a.token_ids[-1] == end
        assert end not in a.token_ids[:-1]
        assert "<|end|>" not in a.text
        assert a.usage.generated == len(a.token_ids)
    again = policy.generate(
        [Request(PROBLEMS[0], "x", tuple(policy.tokenizer.encode("x")) + tail) for tail in ((), (end,))]
    )
    assert again[0].token_ids == again[1].token_ids


def test_given_ids_win_over_the_prefix_text(policy: TransformersPolicy):
    spelled = tuple(i for c in "84" for i in policy.tokenizer.encode(c))
    given = Request(PROBLEMS[0], "12*7=84\n", spelled)
    assert policy.prefix(given)[-len(spelled) :] == spelled
    assert policy.prefix(Request(PROBLEMS[0], "12*7=84\n"))[-1] == policy.tokenizer.encode("\n")[0]


def test_a_special_token_in_a_problem_is_text(policy: TransformersPolicy):
    ids = policy.prefix(Request(Problem("Stop <|end|> now <|step|>"), "a<|pad|>b"))
    assert not set(ids) & set(policy.tokenizer.all_special_ids)


def test_the_context_ends_a_continuation_and_a_prefix_that_fills_it_fails_alone(policy: TransformersPolicy):
    context = policy.model.config.max_position_embeddings
    room = 5
    head = len(policy.prefix(Request(PROBLEMS[0])))
    digit = policy.tokenizer.encode("7")
    almost = Request(PROBLEMS[0], "", tuple(digit * (context - head - room)))
    full = Request(PROBLEMS[0], "", tuple(digit * (context - head)))
    short, too_long, normal = policy.generate([almost, full, requests(1)[0]])
    assert (len(short.token_ids or ()), short.finish) == (room, Finish.LENGTH)
    assert too_long.finish is Finish.ERROR
    assert too_long.error is not None
    assert too_long.error.kind == "too-long"
    assert normal.token_ids == policy.generate(requests(1))[0].token_ids


def test_usage_counts_every_prefix_once(policy: TransformersPolicy):
    asked = [Request(p, draw=d, sampling=Sampling(max_tokens=7)) for p in PROBLEMS[:3] for d in range(4)]
    answers = policy.generate(asked)
    lengths = [len(policy.prefix(r)) for r in asked]
    for k, (answer, length) in enumerate(zip(answers, lengths, strict=True)):
        usage = answer.usage
        assert (usage.prefilled, usage.reused) == ((length, 0) if k % 4 == 0 else (0, length))
        assert (usage.generated, usage.calls) == (len(answer.token_ids or ()), 1)
        body = sum(p.numel() for n, p in policy.model.named_parameters() if "embed" not in n)
        assert usage.flops == 2 * body * (usage.generated + usage.prefilled)
    assert len({a.usage.seconds for a in answers}) == 1


def test_order_and_splitting_of_requests_do_not_matter(policy: TransformersPolicy, tiny_policy_dir: Path):
    asked = requests(40, stop=("s",)) + requests(20, temperature=0.0) + requests(20, top_p=0.7)
    reference = policy.generate(asked)
    order = random.Random(0).sample(range(len(asked)), len(asked))
    narrow = TransformersPolicy.load(tiny_policy_dir, device="cpu", slots=3)
    shuffled = narrow.generate([asked[k] for k in order])
    for k, answer in zip(order, shuffled, strict=True):
        assert (answer.token_ids, answer.finish) == (reference[k].token_ids, reference[k].finish)
        np.testing.assert_allclose(answer.logprobs or (), reference[k].logprobs or (), atol=1e-5)


def test_the_fingerprint_follows_weights_template_and_directory(tmp_path: Path, tiny_policy_dir: Path):
    first = TransformersPolicy.load(tiny_policy_dir, device="cpu")
    before = first.fingerprint
    assert before == TransformersPolicy.load(tiny_policy_dir, device="cpu").fingerprint
    first.generate(requests(3))
    assert first.fingerprint == before
    moved = shutil.copytree(tiny_policy_dir, tmp_path / "elsewhere")
    assert TransformersPolicy.load(moved, device="cpu").fingerprint == before
    assert (
        TransformersPolicy.load(save_tiny_policy(tmp_path / "b", seed=1), device="cpu").fingerprint != before
    )
    optimizer = torch.optim.SGD(first.model.parameters(), lr=1e-3)
    first.model(input_ids=torch.tensor([[5, 6, 7]])).logits.sum().backward()
    optimizer.step()
    stepped = first.fingerprint
    assert stepped != before
    first.model.lm_head.weight.data += 1
    first.refresh()
    assert first.fingerprint != stepped
    second = TransformersPolicy.load(tiny_policy_dir, device="cpu")
    second.tokenizer.chat_template = "{{ messages[0]['content'] }}"
    assert second.fingerprint != before


def test_a_directory_that_is_no_usable_model_says_what_is_missing(tmp_path: Path, tiny_policy_dir: Path):
    with pytest.raises(ModelError, match=r"config\.json"):
        TransformersPolicy.load(tmp_path)
    bare = shutil.copytree(tiny_policy_dir, tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    with pytest.raises(ModelError, match=r"looked for tokenizer\.json"):
        TransformersPolicy.load(bare)
    pickled = shutil.copytree(tiny_policy_dir, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        TransformersPolicy.load(pickled)


def test_weights_that_the_files_lack_are_not_made_up(tmp_path: Path, tiny_policy_dir: Path):
    copy = shutil.copytree(tiny_policy_dir, tmp_path / "deeper")
    config = json.loads((copy / "config.json").read_text())
    config["num_hidden_layers"] += 1
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="lack"):
        TransformersPolicy.load(copy)
