"""Specifies `train_preference`: what is learned, what each loss reduces to, what is written, going on after a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import pytest
import torch

from preceptor.errors import InputError, MissingExtra, ModelError
from preceptor.generation import Request, Sampling
from preceptor.learn.preference import (
    LOSSES,
    METHODS,
    Attempt,
    Pair,
    Piece,
    PreferenceConfig,
    PreferenceResult,
    blend,
    conditioned,
    load_heads,
    train_preference,
    with_heads,
)
from preceptor.learn.preference.heads import attach, detach, head_logits
from preceptor.policy import ScriptedPolicy, TransformersPolicy
from tests.learn.preference.toys import attempts, pairs, problem

FAST = {"lr": 3e-3, "batch": 4, "steps": 3, "beta": 0.5}


def rows_of(result: PreferenceResult) -> list[dict]:
    return [json.loads(line) for line in result.metrics.read_text().splitlines()]


def weights(directory: Path) -> torch.Tensor:
    model = TransformersPolicy.load(directory, dtype="float32").model
    return torch.cat([p.flatten() for p in model.parameters()]).detach()


def records(loss: str) -> list:
    given = pairs() if LOSSES[loss].record is Pair else attempts()
    return with_heads({"a": given[:3], "b": given[3:]}) if loss == "mah_dpo" else given


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_loss_falls_and_leaves_a_model_that_loads(tiny_policy_dir, tmp_path, loss) -> None:
    heads = {"heads": 2} if loss == "mah_dpo" else {}
    result = train_preference(
        tiny_policy_dir, records(loss), out=tmp_path, loss=loss, **{**FAST, "steps": 8, "batch": 6}, **heads
    )
    rows = rows_of(result)
    assert [r["step"] for r in rows] == list(range(1, 9))
    assert rows[-1]["loss"] < rows[0]["loss"] - 0.005
    assert rows[0]["grad_norm"] > 0
    assert rows[-1]["trained_tokens"] == result.trained_tokens < result.processed_tokens
    assert rows[-1]["processed_tokens"] == result.processed_tokens
    saved = TransformersPolicy.load(result.model)
    assert saved.generate([Request(problem(), sampling=Sampling(max_tokens=4))])[0].error is None
    if LOSSES[loss].record is Pair:
        assert rows[-1]["margin"] > rows[0]["margin"]
        assert {"accuracy", "chosen_logp", "rejected_logp"} <= set(rows[0])
    kept = ["metrics.jsonl", "model", "result.json", "settings.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        kept + (["heads.safetensors"] if heads else [])
    )


def test_dpo_prefers_the_chosen_steps_and_does_not_learn_to_stop_after_them(
    tiny_policy_dir, tmp_path
) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    asked = [Request(p.problem, p.prefix.text) for p in pairs()]

    def gaps() -> list[float]:
        sides = [policy.likelihood(asked, [s.text for s in side]) for side in zip(*map(_sides, pairs()))]
        return [sum(a.logprobs) - sum(b.logprobs) for a, b in zip(*sides, strict=True)]

    def ends() -> float:
        full = [Request(p.problem, p.prefix.text + p.chosen.text) for p in pairs()]
        found = policy.generate([Request(r.problem, r.prefix, draw=d) for r in full for d in range(8)])
        return sum(len(a.token_ids) == 1 and a.finish.value == "stop" for a in found) / len(found)

    before, stopped = gaps(), ends()
    train_preference(policy, pairs(), out=tmp_path, **{**FAST, "steps": 15})
    assert all(after > first + 1 for first, after in zip(before, gaps(), strict=True))
    assert ends() <= stopped + 0.05


def _sides(pair: Pair) -> tuple[Piece, Piece]:
    return pair.chosen, pair.rejected


def test_with_weights_of_one_w_dpo_is_dpo_and_so_is_one_head(tiny_policy_dir, tmp_path) -> None:
    runs = {
        name: train_preference(tiny_policy_dir, pairs(), out=tmp_path / name, loss=name, **FAST)
        for name in ("dpo", "w_dpo", "mah_dpo")
    }
    start, dpo = weights(tiny_policy_dir), weights(runs["dpo"].model)
    assert not torch.equal(start, dpo)
    for name in ("w_dpo", "mah_dpo"):
        torch.testing.assert_close(weights(runs[name].model), dpo, atol=2e-4, rtol=0)
        for ours, theirs in zip(rows_of(runs[name]), rows_of(runs["dpo"]), strict=True):
            for figure in ("loss", "margin", "accuracy", "chosen_logp", "rejected_logp"):
                assert ours[figure] == pytest.approx(theirs[figure], abs=2e-3)
            assert ours["trained_tokens"] == theirs["trained_tokens"]
            assert ours["processed_tokens"] == theirs["processed_tokens"]


def test_a_pair_of_weight_zero_teaches_nothing(tiny_policy_dir, tmp_path) -> None:
    given = [Pair(p.problem, p.prefix, p.chosen, p.rejected, 0.0) for p in pairs()]
    result = train_preference(tiny_policy_dir, given, out=tmp_path, loss="w_dpo", **FAST)
    assert torch.equal(weights(result.model), weights(tiny_policy_dir))


def test_orpo_without_its_odds_is_sft_on_the_chosen_sides(tiny_policy_dir, tmp_path) -> None:
    given = [Pair(p.problem, Piece("", ()), p.chosen, p.rejected) for p in pairs()]
    sft = [Attempt(p.problem, p.chosen) for p in given]
    orpo = train_preference(tiny_policy_dir, given, out=tmp_path / "o", loss="orpo", lam=0.0, **FAST)
    nll = train_preference(tiny_policy_dir, sft, out=tmp_path / "s", loss="nll", **FAST)
    torch.testing.assert_close(weights(orpo.model), weights(nll.model), atol=1e-5, rtol=0)


def test_small_backward_passes_make_the_same_step_as_one_large(tiny_policy_dir, tmp_path) -> None:
    for loss in ("dpo", "w_dpo"):
        norms = [
            rows_of(
                train_preference(
                    tiny_policy_dir,
                    pairs(),
                    out=tmp_path / f"{loss}{m}",
                    loss=loss,
                    **{**FAST, "batch": 6, "steps": 1, "micro_batch": m},
                )
            )[0]["grad_norm"]
            for m in (6, 2)
        ]
        assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def test_at_the_start_any_mixture_of_heads_without_noise_is_the_model_itself(tiny_policy_dir) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    ids = torch.tensor([[5, 9, 17, 4]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "sequence_head": torch.tensor([2])}
    with torch.no_grad():
        expected = policy.model(input_ids=ids).logits
        attach(policy.model, 3, noise=0.0)
        torch.testing.assert_close(head_logits(policy.model, batch), expected)
        blend(policy.model, detach(policy.model), (0.2, 0.5, 0.3))
        torch.testing.assert_close(policy.model(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)


def test_a_blend_gives_the_weighted_sum_of_the_heads_logits_and_survives_saving(
    tiny_policy_dir, tmp_path
) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    given = with_heads({"a": pairs(), "b": [_turned(p) for p in pairs()]})
    result = train_preference(
        policy,
        given,
        out=tmp_path,
        loss="mah_dpo",
        heads=2,
        head_weights=(0.25, 0.75),
        **{**FAST, "steps": 6},
    )
    heads = load_heads(tmp_path / "heads.safetensors")
    ids = torch.tensor([[5, 9, 17, 4]])
    saved = TransformersPolicy.load(result.model, dtype="float32").model
    with torch.no_grad():
        hidden = policy.model.model(input_ids=ids).last_hidden_state
        mixed = 0.25 * hidden @ heads[0].T + 0.75 * hidden @ heads[1].T
        torch.testing.assert_close(saved(input_ids=ids).logits, mixed, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(policy.model(input_ids=ids).logits, mixed, atol=1e-4, rtol=1e-4)
    # each head follows its own pairs: what the first prefers the second does not
    gaps = []
    for weights_ in ((1.0, 0.0), (0.0, 1.0)):
        blend(policy.model, heads, weights_)
        policy.refresh()
        asked = [Request(p.problem, p.prefix.text) for p in pairs()]
        sides = [policy.likelihood(asked, [s.text for s in side]) for side in zip(*map(_sides, pairs()))]
        gaps.append(sum(sum(a.logprobs) - sum(b.logprobs) for a, b in zip(*sides, strict=True)))
    assert gaps[0] > gaps[1] + 1


def _turned(pair: Pair) -> Pair:
    return Pair(pair.problem, pair.prefix, pair.rejected, pair.chosen)


def test_feedback_conditions_what_is_written(tiny_policy_dir, tmp_path) -> None:
    """Right answers are learned under praise and wrong ones under blame; blame at test time brings wrong ones."""
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    told = [("Correct.", "7\n"), ("The sum is wrong.", "8\n")]
    given = [
        Attempt(conditioned(problem(f"q{i}"), said), Piece(text)) for i in range(4) for said, text in told
    ]
    train_preference(policy, given, out=tmp_path, loss="nll", lr=1e-2, batch=8, steps=30)
    asked = [Request(conditioned(problem("q9"), said)) for said, _ in told]
    liked = policy.likelihood([r for r in asked for _ in told], [text for _ in asked for _, text in told])
    praise, blame = ([sum(x.logprobs) for x in liked[k : k + 2]] for k in (0, 2))
    assert praise[0] > praise[1]
    assert blame[0] < blame[1]


def _until_killed(policy, given, out: Path, step: int, settings: dict) -> None:
    def die(done: int, total: int, note: str = "") -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    train_preference(policy, given, out=out, progress=die, **settings)


@pytest.mark.parametrize("loss", ["dpo", "step_kto", "mah_dpo"])
def test_a_killed_run_goes_on_and_ends_with_the_same_weights_and_rows(
    tiny_policy_dir, tmp_path, loss
) -> None:
    settings = {**FAST, "batch": 2, "steps": 7, "save_every": 2, "loss": loss, "schedule": "linear"}
    settings |= {"heads": 2} if loss == "mah_dpo" else {}
    whole = train_preference(tiny_policy_dir, records(loss), out=tmp_path / "whole", **settings)
    child = multiprocessing.get_context("fork").Process(
        target=_until_killed, args=(tiny_policy_dir, records(loss), tmp_path / "cut", 5, settings)
    )
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "result.json").exists()
    assert len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) == 5
    told: list[int] = []
    resumed = train_preference(
        tiny_policy_dir,
        records(loss),
        out=tmp_path / "cut",
        resume=True,
        progress=lambda done, total, note="": told.append(done),
        **settings,
    )
    assert told == [5, 6, 7]
    assert torch.equal(weights(resumed.model), weights(whole.model))
    logs = [rows_of(r) for r in (resumed, whole)]
    for row in logs[0] + logs[1]:
        row.pop("seconds")
    assert logs[0] == logs[1]
    assert (resumed.processed_tokens, resumed.trained_tokens) == (
        whole.processed_tokens,
        whole.trained_tokens,
    )
    again = train_preference(tiny_policy_dir, records(loss), out=tmp_path / "cut", resume=True, **settings)
    assert again == resumed


def test_another_run_is_not_resumed(tiny_policy_dir, tmp_path) -> None:
    train_preference(tiny_policy_dir, pairs(), out=tmp_path, **FAST)
    with pytest.raises(InputError, match="beta"):
        train_preference(tiny_policy_dir, pairs(), out=tmp_path, resume=True, **{**FAST, "beta": 0.3})
    with pytest.raises(InputError, match="records_id"):
        train_preference(tiny_policy_dir, pairs()[::-1], out=tmp_path, resume=True, **FAST)


def test_the_same_seed_gives_the_same_weights_and_another_seed_another_order(
    tiny_policy_dir, tmp_path
) -> None:
    runs = [
        weights(train_preference(tiny_policy_dir, pairs(), out=tmp_path / str(k), seed=s, **FAST).model)
        for k, s in enumerate((1, 1, 2))
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "magic"}, "expected one of"),
        ({"loss": "step_kto"}, "expected Attempts"),
        ({"micro_batch": 3}, "a divisor"),
        ({"steps": 0}, "at least 1"),
        ({"beta": 0.0}, "above 0"),
        ({"heads": 2}, "loss='mah_dpo'"),
        ({"loss": "mah_dpo", "heads": 2, "head_weights": (1.0,)}, "a weight each"),
        ({"save_every": -1}, "no checkpoints"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_loaded(change, message, tmp_path) -> None:
    with pytest.raises(InputError, match=message):
        train_preference("no-such-directory", pairs(), out=tmp_path / "out", **{**FAST, **change})
    assert not (tmp_path / "out").exists()


def test_records_that_a_loss_cannot_read_are_refused(tmp_path) -> None:
    weighted = [Pair(p.problem, p.prefix, p.chosen, p.rejected, 0.5) for p in pairs()]
    with pytest.raises(InputError, match="which it does not read"):
        train_preference("nowhere", weighted, out=tmp_path / "out")
    with pytest.raises(InputError, match="got none"):
        train_preference("nowhere", [], out=tmp_path / "out")
    with pytest.raises(InputError, match="of head 1"):
        train_preference("nowhere", with_heads({"a": [], "b": pairs()}), out=tmp_path / "out", loss="mah_dpo")


def test_a_diverging_run_stops_with_a_word_and_leaves_no_model(tiny_policy_dir, tmp_path) -> None:
    with pytest.raises(ModelError, match="Lower `lr`"):
        train_preference(
            tiny_policy_dir,
            attempts(),
            out=tmp_path,
            loss="nll",
            lr=1e30,
            batch=2,
            steps=20,
            max_grad_norm=1e30,
        )
    assert not (tmp_path / "model").exists()


def test_a_policy_without_weights_and_a_missing_extra_are_named(
    monkeypatch, tmp_path, tiny_policy_dir
) -> None:
    with pytest.raises(InputError, match="without weights"):
        train_preference(ScriptedPolicy(), pairs(), out=tmp_path / "out", **FAST)
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(MissingExtra, match="preference training needs the extra 'rl'"):
        train_preference(tiny_policy_dir, pairs(), out=tmp_path / "out", **FAST)


def test_the_published_settings_are_settings() -> None:
    for name, settings in METHODS.items():
        assert PreferenceConfig(**settings).loss in LOSSES, name
    assert METHODS["step_dpo"]["beta"] == 0.4
    assert METHODS["mah_dpo"]["optimizer"] == "rmsprop"
