"""The embedded engine computes what the model computes: same tokens, same log-probabilities, for every
family of decoder, whatever is batched with what."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from preceptor.errors import ModelError
from preceptor.generation import Sampling
from preceptor.policy import engine_attention
from preceptor.policy.engine import Engine, Output, Task, layer_windows
from preceptor.policy.engine_check import check_engine

VOCABULARY = 97
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": 0,
}


def llama() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SHAPE))


def qwen2() -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE))


def gpt2() -> Any:
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.15}
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCABULARY, bos_token_id=None, eos_token_id=None, pad_token_id=0, **sizes)
    )


def mistral_window_of_9() -> Any:
    return MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=9))


def qwen2_mixed_windows() -> Any:
    return Qwen2ForCausalLM(
        Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=7, max_window_layers=1)
    )


def gemma2_mixed_windows() -> Any:
    return Gemma2ForCausalLM(Gemma2Config(**SHAPE, sliding_window=8, head_dim=8))


FAMILIES: list[Callable[[], Any]] = [
    llama,
    qwen2,
    gpt2,
    mistral_window_of_9,
    qwen2_mixed_windows,
    gemma2_mixed_windows,
]


def built(family: Callable[[], Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return family().eval()


def prefixes(lengths: list[int], seed: int = 0) -> list[tuple[int, ...]]:
    rng = random.Random(seed)
    return [tuple(rng.randrange(1, VOCABULARY) for _ in range(n)) for n in lengths]


def plain_logprobs(model: Any, prefix: tuple[int, ...], ids: list[int]) -> np.ndarray:
    with torch.inference_mode():
        logits = model(torch.tensor([[*prefix, *ids]]), use_cache=False).logits[0, len(prefix) - 1 : -1]
    return logits.log_softmax(-1)[range(len(ids)), ids].numpy()


def mixed_tasks(seed: int = 0) -> list[Task]:
    """40 draws from prefixes of 1-30 tokens, some of which begin others, with limits of 1-25."""
    rng = random.Random(seed)
    base = prefixes([1, 2, 30, 12, 5, 19], seed)
    base += [base[2][:11], base[2][:1], (*base[4], 7)]
    samplings = [Sampling(), Sampling(temperature=0.6), Sampling(top_p=0.8), Sampling(top_k=5), Sampling(0.0)]
    return [
        Task(rng.choice(base), rng.getrandbits(63), rng.randint(1, 25), rng.choice(samplings))
        for _ in range(40)
    ]


def same(first: list[Output], second: list[Output]) -> None:
    assert [o.ids for o in first] == [o.ids for o in second]
    assert [o.reason for o in first] == [o.reason for o in second]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_greedy_tokens_are_those_of_generate_with_rows_finishing_in_between(family: Callable[[], Any]):
    model = built(family)
    tasks = [
        Task(p, k, limit, Sampling(0.0))
        for k, (p, limit) in enumerate(zip(prefixes([3, 17, 1, 9, 26, 9, 2]), [30, 4, 12, 1, 20, 7, 25]))
    ]
    outputs = Engine(model, (), slots=3).run(tasks)
    for task, output in zip(tasks, outputs, strict=True):
        ids = torch.tensor([task.prefix])
        expected = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=task.limit,
            do_sample=False,
        )
        assert output.ids == expected[0, len(task.prefix) :].tolist()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_logprobs_are_those_of_a_plain_forward_at_temperature_1(family: Callable[[], Any]):
    model, tasks = built(family), mixed_tasks()
    for task, output in zip(tasks, Engine(model, (), slots=8).run(tasks), strict=True):
        assert len(output.ids) == task.limit
        np.testing.assert_allclose(output.logprobs, plain_logprobs(model, task.prefix, output.ids), atol=1e-5)


@pytest.mark.parametrize("family", [llama, gpt2, qwen2_mixed_windows], ids=lambda f: f.__name__)
def test_a_draw_does_not_depend_on_batch_order_or_slots(family: Callable[[], Any]):
    model, tasks = built(family), mixed_tasks(1)
    reference = Engine(model, (), slots=64).run(tasks)
    alone = [Engine(model, (), slots=1).run([t])[0] for t in tasks]
    same(reference, alone)
    order = random.Random(2).sample(range(len(tasks)), len(tasks))
    engine = Engine(model, (), slots=5)
    shuffled = engine.run([tasks[k] for k in order])
    same([reference[k] for k in order], shuffled)
    halves = engine.run(tasks[:13]) + engine.run(tasks[13:])  # the second call meets the first one's buffer
    same(reference, halves)


def test_many_refills_and_moves_to_the_left_change_nothing():
    model = built(llama)
    rng = random.Random(3)
    tasks = [
        Task(p, k, rng.randint(1, 40), Sampling())
        for k, p in enumerate(prefixes([rng.randint(1, 12) for _ in range(60)]))
    ]
    outputs = Engine(model, (), slots=4).run(tasks)  # about 300 steps in a buffer of 180 columns
    for task, output in list(zip(tasks, outputs, strict=True))[::7]:
        np.testing.assert_allclose(output.logprobs, plain_logprobs(model, task.prefix, output.ids), atol=1e-5)
    same(outputs, [Engine(model, (), slots=1).run([t])[0] for t in tasks])


@pytest.mark.parametrize("family", [llama, qwen2, gpt2], ids=lambda f: f.__name__)
def test_sharing_a_prefix_among_rows_and_copying_it_to_each_are_the_same(family: Callable[[], Any]):
    """Groups larger and smaller than a full one, prefixes that begin others, and one token alone."""
    model, rng = built(family), random.Random(5)
    base = prefixes([40, 7, 1, 23])
    counts = {base[0]: 37, base[0][:13]: 9, base[1]: 3, base[2]: 2, base[3]: 1}
    tasks = [
        Task(p, rng.getrandbits(63), rng.randint(1, 30), Sampling())
        for p, n in counts.items()
        for _ in range(n)
    ]
    rng.shuffle(tasks)
    sharing, copying = Engine(model, (), slots=24), Engine(model, (), slots=24)
    assert sharing.shares
    copying.may_share = False
    same(sharing.run(tasks), copying.run(tasks))
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_does_not_run_on_sdpa_copies_prefixes_and_gives_the_same():
    model, tasks = built(llama), mixed_tasks(6)
    reference = Engine(model, ()).run(tasks)
    model.set_attn_implementation("eager")
    engine = Engine(model, ())
    assert not engine.shares
    same(reference, engine.run(tasks))


def test_sampled_frequencies_are_the_models_distribution():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**SHAPE, "vocab_size": 6})).eval()
    prefix, draws = (1, 2, 3), 4000
    with torch.inference_mode():
        first = model(torch.tensor([prefix])).logits[0, -1].softmax(-1)
        after = model(torch.tensor([[*prefix, i] for i in range(6)])).logits[:, -1].softmax(-1)
    expected = (first[:, None] * after).double().numpy()
    outputs = Engine(model, (), slots=256).run([Task(prefix, 7919 * k, 2, Sampling()) for k in range(draws)])
    seen = Counter(tuple(o.ids) for o in outputs)
    observed = np.array([[seen[(i, j)] for j in range(6)] for i in range(6)])
    common = expected * draws >= 5
    parts = [*observed[common], observed[~common].sum()], [*expected[common], expected[~common].sum()]
    assert chisquare(parts[0], np.array(parts[1]) / expected.sum() * draws).pvalue > 1e-3


def test_each_distinct_prefix_is_computed_once_and_contained_ones_not_at_all():
    long = prefixes([20])[0]
    other = prefixes([6], seed=9)[0]
    tasks = [Task(p, k, 2, Sampling()) for k, p in enumerate([long[:8], other, long, other, long[:8]])]
    outputs = Engine(built(llama), (), slots=2).run(tasks)
    assert [o.prefilled for o in outputs] == [8, 6, 12, 0, 0]
    assert [o.reused for o in outputs] == [0, 0, 8, 6, 8]


def test_end_of_text_ends_a_row_and_is_among_its_tokens():
    model = built(llama)
    tasks = [Task(p, k, 40, Sampling()) for k, p in enumerate(prefixes([4] * 20))]
    free = Engine(model, ()).run(tasks)
    ended = Engine(model, (5, 17)).run(tasks)
    for a, b in zip(free, ended, strict=True):
        cut = next((k for k, i in enumerate(a.ids) if i in (5, 17)), None)
        assert b.ids == (a.ids if cut is None else a.ids[: cut + 1])
        assert b.reason == ("limit" if cut is None else "eos")
    assert {o.reason for o in ended} == {"limit", "eos"}


def test_nothing_to_do_gives_nothing_and_training_mode_is_kept():
    model = built(llama).train()
    engine = Engine(model, ())
    assert engine.run([]) == []
    engine.run([Task((1, 2), 0, 3, Sampling())])
    assert model.training


def test_a_row_of_nan_fails_alone_and_does_not_poison_its_slot():
    model = built(llama)
    with torch.no_grad():
        model.get_input_embeddings().weight[96] = float("nan")
        model.lm_head.weight.data = model.lm_head.weight.clone().nan_to_num(0.0)
    good = prefixes([9, 4, 15, 2, 7])
    tasks = [Task(p, k, 6, Sampling(top_k=20)) for k, p in enumerate(good)]
    bad = [Task((3, 96, 4), 100 + k, 6, Sampling()) for k in range(4)]
    mixed = [tasks[0], bad[0], bad[1], *tasks[1:], *bad[2:]]
    outputs = Engine(model, (), slots=3).run(mixed)
    assert [o.reason == "not-finite" for o in outputs] == [t in bad for t in mixed]
    alone = [Engine(model, ()).run([t])[0] for t in tasks]
    same([o for o, t in zip(outputs, mixed, strict=True) if t not in bad], alone)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_the_check_accepts_what_the_engine_computes_correctly(family: Callable[[], Any]):
    check_engine(Engine(built(family), ()))


def test_a_model_that_the_shared_reading_does_not_fit_copies_instead(monkeypatch: pytest.MonkeyPatch):
    engine = Engine(built(llama), ())
    assert engine.shares
    monkeypatch.setattr(
        engine_attention.Groups, "attend", lambda self, layer, query, scale: (query, query.sum(-1))
    )
    check_engine(engine)
    assert not engine.shares


def test_a_model_without_keys_and_values_is_refused_by_name():
    mamba = MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1))
    with pytest.raises(ModelError, match="mamba"):
        check_engine(Engine(mamba.eval(), ()))
    with pytest.raises(ModelError, match="linear_attention"):
        layer_windows(type("C", (), {"layer_types": ["linear_attention"], "model_type": "hybrid"}))


def test_a_model_that_ignores_given_positions_is_refused():
    """Bloom derives its positions from a two-dimensional mask, which the engine does not give."""
    torch.manual_seed(0)
    bloom = BloomForCausalLM(
        BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.3)
    )
    with pytest.raises(ModelError, match="bloom"):
        check_engine(Engine(bloom.eval(), ()))


def test_bfloat16_runs_and_stays_near_the_plain_forward():
    model = built(llama).to(torch.bfloat16)
    check_engine(Engine(model, ()))
    tasks = mixed_tasks(4)[:12]
    for task, output in zip(tasks, Engine(model, ()).run(tasks), strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([[*task.prefix, *output.ids]])).logits[0, len(task.prefix) - 1 : -1]
        plain = logits.float().log_softmax(-1)[range(len(output.ids)), output.ids].numpy()
        np.testing.assert_allclose(output.logprobs, plain, atol=0.3)
