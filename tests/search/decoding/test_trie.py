"""Growing texts have the hidden states of reading each alone, whatever the model's attention.

Run: python -m pytest tests/search/decoding/test_trie.py
"""

from __future__ import annotations

import random

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from preceptor.search.decoding.trie import Trie

SIZE = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def models():
    torch.manual_seed(0)
    yield "llama", LlamaForCausalLM(LlamaConfig(**SIZE, num_key_value_heads=1, initializer_range=0.3)).model
    yield (
        "mistral",
        MistralForCausalLM(
            MistralConfig(**SIZE, num_key_value_heads=1, sliding_window=6, initializer_range=0.3)
        ).model,
    )
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3)
    yield "gpt2", GPT2LMHeadModel(config).transformer


def alone(body, row):
    with torch.no_grad():
        return body(input_ids=torch.tensor([row])).last_hidden_state[0, -1]


@pytest.mark.parametrize("name, body", models(), ids=lambda x: x if isinstance(x, str) else "")
def test_states_are_those_of_each_text_alone_and_each_token_is_computed_once(name, body):
    body.eval()
    rng, trie = random.Random(3), Trie(body)
    texts = [tuple(rng.randrange(50) for _ in range(n)) for n in (9, 3, 14, 3)]
    prefixes, total = set(), 0
    for level in range(6):
        states, computed = trie.hidden(texts)
        total += sum(computed)
        prefixes |= {t[:k] for t in texts for k in range(1, len(t) + 1)}
        for text, state in zip(texts, states):
            torch.testing.assert_close(state, alone(body, text), atol=1e-4, rtol=1e-3)
        parents = rng.choices(texts, k=5) if level else [*texts, texts[2]]
        texts = [(*p, rng.randrange(50)) for p in parents]
    assert trie.fits
    assert total == len(prefixes)


def test_equal_texts_are_computed_once_and_texts_that_extend_nothing_start_anew():
    _, body = next(models())
    trie = Trie(body.eval())
    states, computed = trie.hidden([(1, 2, 3), (1, 2, 3), (4, 5)])
    assert computed == [3, 0, 2]
    assert torch.equal(states[0], states[1])
    _, computed = trie.hidden([(1, 2, 3, 9), (7, 7, 7, 7)])
    assert computed == [4, 4]
    trie.clear()
    assert trie.hidden([(7, 7, 7, 7, 1)])[1] == [5]


def test_a_model_that_cannot_be_grown_in_a_batch_is_read_otherwise_and_right():
    _, body = next(models())
    plain = body.forward

    def forgets(*args, **inputs):
        inputs.pop("position_ids", None)  # left padding then shifts every text
        inputs.pop("attention_mask", None)
        return plain(*args, **inputs)

    body.forward = forgets
    trie = Trie(body.eval())
    texts = [(1, 2, 3, 4), (5, 6)]
    states, _ = trie.hidden(texts)
    assert trie.fits is False
    for text, state in zip(texts, states):
        torch.testing.assert_close(state, alone(body, text), atol=1e-4, rtol=1e-3)


def test_training_mode_is_put_back():
    _, body = next(models())
    body.train()
    Trie(body).hidden([(1, 2)])
    assert body.training
