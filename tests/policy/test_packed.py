"""Many rows in one packed pass: the numbers of one row at a time, at the cost of the distinct tokens.

Run: python -m pytest tests/policy/test_packed.py
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from preceptor.errors import InputError
from preceptor.policy import packed_attention, packed_together
from preceptor.policy.packed import PackedForward
from preceptor.policy.packed_plan import lay_out

SHARED: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.2,
}
GROUPED: dict[str, Any] = {**SHARED, "num_key_value_heads": 2, "max_position_embeddings": 128}
CONFIGS: dict[str, Any] = {
    "gpt2": GPT2Config(
        vocab_size=200, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.2, bos_token_id=0
    ),
    "llama": LlamaConfig(**GROUPED),
    "qwen2": Qwen2Config(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=8),
    "gemma2": Gemma2Config(**GROUPED, head_dim=8, sliding_window=8),
    "bloom": BloomConfig(vocab_size=200, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
    "bert": BertConfig(**SHARED, max_position_embeddings=128),
}
PACKED = ("gpt2", "llama", "qwen2", "mistral")
NOT_PACKED = ("gemma2", "bloom", "bert")


def body_of(name: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return AutoModel.from_config(CONFIGS[name], dtype=dtype).eval()


def draw(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(200) for _ in range(count)]


def tree_of_rows(seed: int = 0) -> list[list[int]]:
    """Rows that share a prompt, a branch of a branch, beginnings of others, one repeated, some alone."""
    rng = random.Random(seed)
    prompt = draw(rng, 20)
    rows = [prompt + draw(rng, n) for n in (3, 17, 40)]
    rows += [rows[1][:30] + draw(rng, n) for n in (1, 12)]
    rows += [rows[2][:7], rows[2][:33], rows[0], *(draw(rng, n) for n in (1, 9, 50))]
    rng.shuffle(rows)
    return rows


ROWS = tree_of_rows()
POSITIONS = [random.Random(k).sample(range(len(r)), max(1, len(r) // 3)) for k, r in enumerate(ROWS)]


@torch.inference_mode()
def one_at_a_time(body: Any, rows: list[list[int]], positions: list[list[int]]) -> list[torch.Tensor]:
    return [body(torch.tensor([r])).last_hidden_state[0, at] for r, at in zip(rows, positions, strict=True)]


def worst(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Largest difference, in units of the reference's standard deviation."""
    scale = torch.cat(b).float().std()
    return max(((x.float() - y.float()).abs().max() / scale).item() for x, y in zip(a, b, strict=True))


def distinct_tokens(rows: list[list[int]]) -> int:
    return len({tuple(r[: k + 1]) for r in rows for k in range(len(r))})


@pytest.mark.parametrize("max_tokens", [8192, 45, 7])
@pytest.mark.parametrize("name", PACKED)
def test_hidden_states_are_those_of_one_row_at_a_time(name: str, max_tokens: int):
    """Windows shorter than the rows, grouped heads, learned positions, a past in another pass, cut rows."""
    body = body_of(name)
    forward = PackedForward(body, max_tokens=max_tokens)
    hidden, _ = forward.hidden(ROWS, POSITIONS)
    assert forward.packs
    assert worst(hidden, one_at_a_time(body, ROWS, POSITIONS)) < 1e-5


@pytest.mark.parametrize("max_tokens", [8192, 60])
@pytest.mark.parametrize("name", PACKED)
def test_many_short_ends_are_read_in_few_calls_with_the_same_numbers(
    name: str, max_tokens: int, monkeypatch: pytest.MonkeyPatch
):
    """Of different lengths, behind pasts of different lengths, of this pass and of an earlier call."""
    rng = random.Random(3)
    stems = [draw(rng, n) for n in (5, 9, 14, 23)]
    first = [stem + draw(rng, 1 + k % 9) for stem in stems for k in range(12)]
    second = [row + draw(rng, 1 + k % 5) for k, row in enumerate(first)]
    calls = []
    for module in (packed_attention, packed_together):
        kernel = module.sdpa
        monkeypatch.setattr(module, "sdpa", lambda *a, f=kernel, **k: calls.append(a[0].shape) or f(*a, **k))
    body = body_of(name)
    forward = PackedForward(body, max_tokens=max_tokens, cache_tokens=4096)
    forward.probe()
    for rows in (first, second):
        calls.clear()
        everywhere = [list(range(len(row))) for row in rows]
        hidden, _ = forward.hidden(rows, everywhere)
        assert worst(hidden, one_at_a_time(body, rows, everywhere)) < 1e-5
        segments = 2 * len(rows)  # in two layers, at least: stems are cut from the first rows
        assert len(calls) < 0.9 * segments, "a call for each segment and layer"
        assert max(shape[0] for shape in calls) >= 4


def test_what_padding_could_make_large_is_read_alone():
    """A long segment behind a past, and short ones that are too few."""
    rng = random.Random(4)
    stem = draw(rng, 30)
    rows = [stem + [k, *draw(rng, n)] for k, n in enumerate((90, 95, 91, 92, 93, 94, 2, 2, 2))]
    segments = lay_out([tuple(row) for row in rows]).fresh
    assert packed_together.groups(segments) == []
    fourth = lay_out([tuple(row) for row in (*rows, [*stem, 9, 1, 1])]).fresh
    (group,) = packed_together.groups(fourth)
    assert sorted(len(s.ids) for s in group) == [3, 3, 3, 3]


@pytest.mark.parametrize("name", PACKED)
def test_bfloat16_drifts_no_more_than_the_models_own_rounding(name: str):
    body = body_of(name, torch.bfloat16)
    forward = PackedForward(body)
    hidden, _ = forward.hidden(ROWS, POSITIONS)
    assert forward.packs
    assert hidden[0].dtype is torch.bfloat16
    plain, exact = (
        torch.cat(one_at_a_time(b, ROWS, POSITIONS)).float()
        for b in (body, body_of(name, torch.bfloat16).float())
    )
    ours = torch.cat(hidden).float()
    assert (ours - plain).square().mean().sqrt() < 2e-2 * plain.std()
    assert (ours - exact).square().mean() < 1.5 * (plain - exact).square().mean()


@pytest.mark.parametrize("name", NOT_PACKED)
def test_a_body_that_cannot_be_packed_is_found_out_and_read_in_padded_batches(name: str):
    """BERT looks to the right, Bloom brings its own attention, Gemma 2 caps attention scores."""
    body = body_of(name)
    forward = PackedForward(body, max_tokens=120)
    hidden, cost = forward.hidden(ROWS, POSITIONS)
    assert forward.packs is False
    assert forward.causal is (name != "bert")
    assert worst(hidden, one_at_a_time(body, ROWS, POSITIONS)) < 1e-5
    if name == "bert":
        assert sum(cost.computed) == sum(len(r) for r in {tuple(r) for r in ROWS})


@pytest.mark.parametrize("max_tokens", [8192, 9])
def test_every_distinct_beginning_is_computed_once_and_paid_by_its_first_row(max_tokens: int):
    forward = PackedForward(body_of("llama"), max_tokens=max_tokens)
    last = [[len(r) - 1] for r in ROWS]
    _, cost = forward.hidden(ROWS, last)
    assert sum(cost.computed) == distinct_tokens(ROWS)
    for k, row in enumerate(ROWS):
        assert cost.computed[k] + cost.reused[k] == len(row)
        assert cost.computed[k] == distinct_tokens(ROWS[: k + 1]) - distinct_tokens(ROWS[:k])


def test_no_pass_holds_more_than_max_tokens():
    body, seen = body_of("llama"), list[int]()
    forward = PackedForward(body, max_tokens=25)
    forward.probe()
    body.register_forward_pre_hook(
        lambda module, args, given: seen.append(given["input_ids"].numel()), with_kwargs=True
    )
    forward.hidden(ROWS, POSITIONS)
    assert max(seen) <= 25
    assert sum(seen) == distinct_tokens([r[: max(at) + 1] for r, at in zip(ROWS, POSITIONS, strict=True)])


def test_tokens_behind_the_last_asked_position_are_not_computed():
    forward = PackedForward(body_of("llama"))
    hidden, cost = forward.hidden([ROWS[0] + [1] * 50, [5, 6], []], [[3, 0], [], []])
    assert cost.computed == (4, 0, 0)
    assert [tuple(h.shape) for h in hidden] == [(2, 32), (0, 32), (0, 32)]
    nothing, _ = forward.hidden([[1]], [[]])
    assert tuple(nothing[0].shape) == (0, 32)


def beam_rounds() -> list[list[list[int]]]:
    """Three prompts, two beams each, four rounds; in each round one beam is dropped and the other branches."""
    rng = random.Random(3)
    live = [[draw(rng, 15)] * 2 for _ in range(3)]
    rounds = []
    for _ in range(4):
        live = [[b + draw(rng, rng.randrange(1, 9)) for b in beams] for beams in live]
        rounds.append([b for beams in live for b in beams])
        live = [[beams[rng.randrange(2)]] * 2 for beams in live]
    return rounds


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt2"])
def test_with_a_cache_a_round_of_beams_costs_its_new_tokens(name: str):
    body = body_of(name)
    plain, cached = PackedForward(body), PackedForward(body, cache_tokens=4000)
    before: list[list[int]] = []
    for rows in beam_rounds():
        asked = [list(range(len(r))) for r in rows]
        hidden, cost = cached.hidden(rows, asked)
        assert worst(hidden, plain.hidden(rows, asked)[0]) < 1e-5
        assert sum(cost.computed) == distinct_tokens(before + rows) - distinct_tokens(before)
        before += rows


@pytest.mark.parametrize("limit", [1, 30, 60, 100])
def test_the_cache_stays_within_its_limit_and_right(limit: int):
    body = body_of("llama")
    plain, cached = PackedForward(body), PackedForward(body, cache_tokens=limit, max_tokens=20)
    for rows in [*beam_rounds(), *beam_rounds()[:1]]:
        asked = [list(range(len(r))) for r in rows]
        assert worst(cached.hidden(rows, asked)[0], plain.hidden(rows, asked)[0]) < 1e-5
        assert cached.held_tokens <= limit


def test_the_least_recently_used_row_leaves_the_cache_first():
    a, b, c = (draw(random.Random(k), 10) for k in (11, 12, 13))
    forward = PackedForward(body_of("llama"), cache_tokens=25)
    for row in (a, b, a, c):
        forward.hidden([row], [[9]])
    assert forward.hidden([a], [[9]])[1].computed == (0,)
    assert forward.hidden([b], [[9]])[1].computed == (10,)


def test_the_cache_does_not_outlive_an_optimizer_step():
    body = body_of("llama")
    forward = PackedForward(body, cache_tokens=1000)
    forward.hidden(ROWS, POSITIONS)
    with torch.no_grad():
        body.layers[0].mlp.up_proj.weight.mul_(1.5)
    hidden, cost = forward.hidden(ROWS, POSITIONS)
    assert sum(cost.computed) > 0
    assert worst(hidden, one_at_a_time(body, ROWS, POSITIONS)) < 1e-5


def test_the_body_is_left_as_it_was_also_when_a_pass_fails(monkeypatch: pytest.MonkeyPatch):
    body = body_of("llama").train()
    forward = PackedForward(body, cache_tokens=1000)
    forward.hidden(ROWS, POSITIONS)
    assert body.training
    assert body.config._attn_implementation == "sdpa"
    monkeypatch.setattr(packed_attention.Pass, "attend", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forward.hidden([[7, 7, 7]], [[2]])
    monkeypatch.undo()
    assert body.training
    assert body.config._attn_implementation == "sdpa"
    # what was not computed has not been kept
    assert forward.hidden([[7, 7, 7]], [[2]])[1].computed == (3,)


def test_a_failure_halfway_leaves_the_cache_right(monkeypatch: pytest.MonkeyPatch):
    """A row that the failed call would have put out of the cache, and has read already, is still whole."""
    rng = random.Random(5)
    old, first, last = ([start, *draw(rng, 19)] for start in (100, 0, 199))
    body = body_of("llama")
    forward = PackedForward(body, max_tokens=20, cache_tokens=22)
    forward.hidden([old], [[19]])
    whole, calls = packed_attention.Pass.attend, []

    def fails_in_the_third_pass(self: Any, *given: Any) -> torch.Tensor:
        calls.append(1)
        return whole(self, *given) if len(calls) < 5 else 1 / 0

    monkeypatch.setattr(packed_attention.Pass, "attend", fails_in_the_third_pass)
    with pytest.raises(ZeroDivisionError):
        forward.hidden([first, [*old, 1, 2, 3], last], [[19], [22], [19]])
    monkeypatch.undo()
    longer = [[*old, 4, 5]]
    assert worst(forward.hidden(longer, [[21]])[0], one_at_a_time(body, longer, [[21]])) < 1e-5


def test_what_the_probe_could_not_see_is_read_in_padded_batches():
    body = body_of("llama")
    forward = PackedForward(body)
    forward.probe()
    assert forward.packs
    body.register_forward_pre_hook(
        lambda module, args, given: (args, {**given, "softcap": 1.0} if "position_ids" in given else given),
        with_kwargs=True,
    )
    hidden, _ = forward.hidden(ROWS, POSITIONS)
    assert forward.packs is False
    body._forward_pre_hooks.clear()
    assert worst(hidden, one_at_a_time(body, ROWS, POSITIONS)) < 1e-5


def test_a_body_that_ignores_position_ids_is_not_packed():
    body = body_of("llama")
    rotary = body.rotary_emb.forward
    body.rotary_emb.forward = lambda x, position_ids: rotary(
        x, torch.arange(x.shape[1])[None].expand_as(position_ids)
    )
    forward = PackedForward(body)
    hidden, _ = forward.hidden(ROWS, POSITIONS)
    assert forward.packs is False
    assert worst(hidden, one_at_a_time(body, ROWS, POSITIONS)) < 1e-5


@pytest.mark.parametrize("positions", [[[10]], [[-1]], [[0], [0]]])
def test_positions_outside_a_row_are_refused(positions: list[list[int]]):
    with pytest.raises(InputError, match="positions"):
        PackedForward(body_of("llama")).hidden([[1, 2, 3]], positions)


def test_the_first_row_of_a_family_is_one_segment_and_a_beginning_none():
    """So the rows of unrelated texts, and the beginnings of one text, run without any past."""
    layout = lay_out([(1, 2, 3, 4), (1, 2), (1, 2, 3), (1, 2, 9), (5,)])
    assert [(s.ids, s.start) for s in layout.fresh] == [((1, 2, 3, 4), 0), ((9,), 2), ((5,), 0)]
    assert [(s.segment.ids, s.size) for s in layout.paths[(1, 2, 9)]] == [((1, 2, 3, 4), 2), ((9,), 1)]
