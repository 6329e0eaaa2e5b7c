"""Specifies the loop's options: adapters, several updates a batch, hooks, clip ranges, other engines, reports.

Run with `python -m pytest tests/learn/test_options.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from preceptor.errors import InputError
from preceptor.learn import CreditGRPOTrainer, learn
from preceptor.learn.data.hooks import items_of
from preceptor.policy import TransformersPolicy
from preceptor.trace import Problem
from tests.learn.toys import HashValue, problems, trainer

SMALL = {"steps": 2, "prompts_per_step": 3, "generations": 4, "max_tokens": 16, "lr": 1e-2}


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def tensors(directory: Path) -> dict[str, torch.Tensor]:
    return {k: v.detach() for k, v in TransformersPolicy.load(directory).model.named_parameters()}


def gradient(made: CreditGRPOTrainer, batch: dict) -> tuple[float, torch.Tensor]:
    made.model.zero_grad()
    made.current_gradient_accumulation_steps = 1
    loss = made._compute_loss(made.model, batch)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])


def test_adapters_change_each_linear_layer_by_their_rank_and_come_out_merged(
    tiny_policy_dir, tmp_path
) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir)
    learn(policy, problems(6), out=tmp_path, lora=2, kl=0.1, **SMALL)
    before, after = tensors(tiny_policy_dir), tensors(tmp_path / "model")
    assert list(before) == list(after), "the saved model is a plain one"
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert changed == {k for k in before if "_proj" in k}
    assert all(torch.linalg.matrix_rank(after[k] - before[k], atol=1e-6) <= 2 for k in changed)
    assert not any("lora" in name for name, _ in policy.model.named_modules())
    assert {k for k, p in policy.model.named_parameters() if torch.equal(p, after[k])} == set(after)


def test_the_engine_samples_from_the_adapted_weights(tiny_policy_dir) -> None:
    from preceptor.learn.session import adapters

    made, inputs = trainer(tiny_policy_dir, "outcome", peft_config=adapters(4))
    with torch.no_grad():
        for name, parameter in made.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    batch = made._generate_and_score_completions(inputs)
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    width = batch["completion_ids"].shape[1]
    with torch.no_grad():
        adapted, _, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, width)
        with made.model.disable_adapter():
            bare, _, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, width)
    for row, other, trace in zip(adapted, bare, made.last_traces, strict=True):
        expected = torch.tensor(trace.logprobs)
        torch.testing.assert_close(row[: len(expected)], expected, atol=1e-4, rtol=1e-4)
        assert (other[: len(expected)] - expected).abs().max() > 0.1


def test_a_run_with_adapters_is_resumed_like_any_other(tiny_policy_dir, tmp_path) -> None:
    options = {**SMALL, "steps": 4, "lora": 2, "save_every": 2}
    learn(tiny_policy_dir, problems(6), out=tmp_path / "whole", **options)

    def stop(step: int, total: int, note: str = "") -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(tiny_policy_dir, problems(6), out=tmp_path / "cut", progress=stop, **options)
    learn(tiny_policy_dir, problems(6), out=tmp_path / "cut", resume=True, **options)
    a, b = tensors(tmp_path / "whole" / "model"), tensors(tmp_path / "cut" / "model")
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_several_updates_a_batch_sample_once_and_clip_from_the_second_on(tiny_policy_dir, tmp_path) -> None:
    result = learn(
        tiny_policy_dir, problems(6), out=tmp_path, num_iterations=3, **{**SMALL, "steps": 6, "lr": 3e-2}
    )
    found = rows(tmp_path)
    generated = [r["generated_tokens"] for r in found]
    assert generated[0] == generated[1] == generated[2] < generated[3] == generated[5]
    assert found[0]["trained_tokens"] == found[2]["trained_tokens"] < found[3]["trained_tokens"]
    assert ["watched" in r for r in found] == [True, False, False, True, False, False]
    assert result.usage.policy.generated == generated[-1]
    # the same batch with moved weights: another gradient, and a loss that is no longer that of ratios of 1
    assert len({r["grad_norm"] for r in found[:3]}) == 3


def test_a_checkpoint_in_the_middle_of_a_batch_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="expected a multiple of num_iterations=3"):
        learn("nowhere", problems(6), out=tmp_path, num_iterations=3, save_every=4, **SMALL)


def test_prepare_decides_what_is_sampled_and_amend_what_is_trained_on(tiny_policy_dir, tmp_path) -> None:
    asked: list[tuple[int, list[str]]] = []

    def harder(found: list[Problem], step: int) -> list[Problem]:
        asked.append((step, [p.id for p in found]))
        return [replace(p, prompt=f"Level {step}: {p.prompt}", id="") for p in found]

    seen = []

    def first_of_all(items, source):
        """Every completion of a group is replaced by one that is sampled here; what comes behind is dropped."""
        again = source.traces([x.trace.problem for x in items], [99] * len(items), "amend", 0)
        seen.extend(zip([x.trace for x in items], again, strict=True))
        return items_of([*again, again[0]])

    learn(
        tiny_policy_dir, problems(6), out=tmp_path, prepare=harder, amend=first_of_all, method="rloo", **SMALL
    )
    assert [step for step, _ in asked] == [0, 1]
    assert all(len(set(ids)) == 3 for _, ids in asked)
    assert all(a.problem.prompt.startswith("Level ") and a.problem == b.problem for a, b in seen)
    figures = rows(tmp_path)[0]
    texts = [b for _, b in seen[:12]]
    assert figures["length_mean"] == pytest.approx(np.mean([len(t.token_ids) for t in texts]))
    assert figures["credit"]["flat_groups"] == 1.0, "all of a group are one text now"
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["prepare"].endswith("harder")


@pytest.mark.parametrize(
    "hooks, message",
    [
        (
            {"prepare": lambda found, step: found[:1]},
            "prepare: got 1 problems with 1 different ids, expected 3",
        ),
        ({"prepare": lambda found, step: [found[0]] * 3}, "got 3 problems with 1 different ids"),
        ({"amend": lambda items, source: items[:2]}, "amend: got 2 items, expected at least the 12"),
    ],
)
def test_hooks_that_change_the_shape_of_a_batch_are_refused(tiny_policy_dir, hooks, message) -> None:
    made, inputs = trainer(tiny_policy_dir, "outcome", **hooks)
    with pytest.raises(InputError, match=message):
        made._generate_and_score_completions(inputs)


def test_reward_group_and_mask_of_an_item_are_what_credit_sees(tiny_policy_dir) -> None:
    def amend(items, source):
        half = len(items[0].trace.token_ids) // 2
        mask = tuple(k >= half for k in range(len(items[0].trace.token_ids)))
        return [
            replace(items[0], outcome=0.2, model_mask=mask),
            *(replace(x, group="one") for x in items[1:]),
        ]

    made, inputs = trainer(tiny_policy_dir, "rloo", amend=amend)
    batch = made._generate_and_score_completions(inputs)
    rollouts = made.last_rollouts
    assert (rollouts[0].outcome, {r.prompt_id for r in rollouts[1:]}) == (0.2, {"one"})
    half = rollouts[0].length // 2
    assert not batch["tool_mask"][0, :half].any()
    assert batch["tool_mask"][0, half : rollouts[0].length].all()


@pytest.mark.parametrize("iterations", [1, 2])
@pytest.mark.parametrize("drop", [False, True])
def test_tokens_of_another_writer_are_shaped_and_not_clipped(tiny_policy_dir, drop, iterations) -> None:
    """The gradient of the loss equals that of the losses written out: clipped ratio here, shaped there."""
    from preceptor.learn.supervised.losses import shaped

    class Marks:
        drop_negative = drop

        def amend(self, items, source):
            return [
                replace(x, off_policy=tuple(k % 2 == 0 for k in range(len(x.trace.token_ids))))
                if i % 2
                else x
                for i, x in enumerate(items)
            ]

    made, inputs = trainer(tiny_policy_dir, "outcome", amend=Marks().amend)
    made.num_iterations = iterations
    batch = made._generate_and_score_completions(inputs)
    assert batch["off_policy"].any()
    assert not batch["off_policy"][0].any()
    advantages = torch.randn(batch["completion_ids"].shape, generator=torch.Generator().manual_seed(0))
    batch = {**batch, "advantages": advantages}
    if iterations > 1:
        batch = ratios(made, batch, torch.full(advantages.shape, 0.1))
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    made.model.zero_grad()
    now, _, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, advantages.shape[1])
    rho = (now - batch.get("old_per_token_logps", now.detach())).exp()
    ours = -torch.minimum(rho * advantages, rho.clamp(0.8, 1.2) * advantages)
    token_loss = torch.where(batch["off_policy"], shaped(now, advantages, drop_negative=drop), ours)
    trained = batch["completion_mask"] * batch["tool_mask"]
    ((token_loss * trained).sum() / trained.sum()).backward()
    expected = torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])
    _, found = gradient(made, batch)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)


def test_a_hook_that_keeps_state_is_resumed_with_it(tiny_policy_dir, tmp_path) -> None:
    class Counting:
        def __init__(self):
            self.calls = 0

        def prepare(self, found, step):
            self.calls += 1
            return found

        def state_dict(self):
            return {"calls": self.calls}

        def load_state_dict(self, state):
            self.calls = state["calls"]

    options = {**SMALL, "steps": 4, "save_every": 2}

    def stop(step: int, total: int, note: str = "") -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(
            tiny_policy_dir, problems(6), out=tmp_path, prepare=Counting().prepare, progress=stop, **options
        )
    again = Counting()
    learn(tiny_policy_dir, problems(6), out=tmp_path, prepare=again.prepare, resume=True, **options)
    assert again.calls == 4


def ratios(made: CreditGRPOTrainer, batch: dict, shift: torch.Tensor) -> dict:
    """The batch as if it had been sampled by a policy whose log-probabilities were lower by `shift`."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    with torch.no_grad():
        now, _, _ = made._get_per_token_logps_and_entropies(made.model, ids, mask, shift.shape[1])
    return {**batch, "old_per_token_logps": now - shift}


def test_a_clip_range_a_token_cuts_each_ratio_at_its_own_bounds(tiny_policy_dir) -> None:
    made, inputs = trainer(tiny_policy_dir, "outcome")
    batch = made._generate_and_score_completions(inputs)
    shape = batch["completion_ids"].shape
    random = torch.Generator().manual_seed(0)
    shift, advantages = (torch.randn(shape, generator=random) * 0.3 for _ in range(2))
    batch = ratios(made, {**batch, "advantages": advantages}, shift)
    low, high = (torch.rand(shape, generator=random) * 0.5 for _ in range(2))
    found, _ = gradient(made, {**batch, "clip_low": low, "clip_high": high})
    rho = shift.exp()
    token_loss = -torch.minimum(rho * advantages, rho.clamp(1 - low, 1 + high) * advantages)
    trained = batch["completion_mask"] * batch["tool_mask"]
    assert found == pytest.approx(((token_loss * trained).sum() / trained.sum()).item(), rel=1e-4)
    assert (made.epsilon_low, made.epsilon_high) == (0.2, 0.2), "put back"
    everywhere = torch.full(shape, 0.2)
    as_tensors = gradient(made, {**batch, "clip_low": everywhere, "clip_high": everywhere})
    as_numbers = gradient(made, batch)
    assert as_tensors[0] == pytest.approx(as_numbers[0], rel=1e-6)
    torch.testing.assert_close(as_tensors[1], as_numbers[1])


def test_clip_ranges_of_a_method_travel_with_their_rows(tiny_policy_dir, monkeypatch) -> None:
    import preceptor.learn.grpo as grpo

    plain = grpo.compute

    def with_ranges(rollouts, signals, config):
        low = [np.arange(r.length) / 100 for r in rollouts]
        return replace(plain(rollouts, signals, config), clip_low=low, clip_high=[x + 1 for x in low])

    monkeypatch.setattr(grpo, "compute", with_ranges)
    made, inputs = trainer(tiny_policy_dir, "outcome", micro_batch=4)
    for _ in range(3):
        part = made._prepare_inputs(inputs)
        made._step += 1
        sizes = part["completion_mask"].sum(dim=1)
        for row, size in enumerate(sizes.tolist()):
            torch.testing.assert_close(part["clip_low"][row, :size], torch.arange(size) / 100)
            assert (part["clip_low"][row, size:] == 0.2).all()
            torch.testing.assert_close(part["clip_high"][row, :size], 1 + torch.arange(size) / 100)


class StandIn:
    """Answers where vLLM would: with given ids."""

    def __init__(self, end: int):
        self.end, self.asked = end, []

    def generate(self, prompts, images, num_generations, profiler=None):
        self.asked.append((prompts, num_generations))
        ids = [[30 + k % 5, 40, self.end] if k % 2 else [41, 42] for k in range(len(prompts))]
        return prompts, ids, [[[-0.5]] * len(i) for i in ids], None


def test_with_vllm_the_embedded_engine_does_not_sample(tiny_policy_dir, monkeypatch) -> None:
    made, inputs = trainer(tiny_policy_dir, "outcome")
    policy = made.source.policy
    made.use_vllm, made.vllm_generation = True, StandIn(policy.tokenizer.eos_token_id)
    monkeypatch.setattr(policy, "generate", lambda *_: pytest.fail("the embedded engine was asked"))
    made._asked = made._problems(inputs)
    sampled = made._sample([], made)
    prompts, group = made.vllm_generation.asked[0]
    assert group == 4
    assert prompts == sampled["prompt_ids"] == [made.source.prompt_ids(p) for p in made._asked]
    assert sampled["completion_ids"][1] == [31, 40, policy.tokenizer.eos_token_id]
    assert sampled["logprobs"][0] == [-0.5, -0.5]
    for trace, ids in zip(made.last_traces, sampled["completion_ids"], strict=True):
        stopped = ids[-1] == policy.tokenizer.eos_token_id
        assert trace.finish.value == ("stop" if stopped else "length")
        assert trace.text == policy.tokenizer.decode(ids[:2])
        assert trace.token_ends[-1] == len(trace.text)
        assert trace.grade is not None
    assert made.source.usage.generated == sum(map(len, sampled["completion_ids"]))


def test_an_attempt_without_log_probabilities_is_not_corrected_for_vllms(tiny_policy_dir) -> None:
    """A hook's text has none; 0 would stand for a certainty, and the ratio would silence the row."""
    made, inputs = trainer(tiny_policy_dir, "outcome")
    made.use_vllm, made.vllm_generation = True, StandIn(made.source.policy.tokenizer.eos_token_id)
    made.vllm_importance_sampling_correction, made._last_loaded_step = True, 0
    made.amend = lambda items, source: [
        replace(x, trace=replace(x.trace, logprobs=None) if k == 0 else x.trace, outcome=float(k % 2))
        for k, x in enumerate(items)
    ]
    ratio = made._generate_and_score_completions(inputs)["importance_sampling_ratio"]
    assert (ratio[0] == 1.0).all()
    assert (ratio[1] != 1.0).all()


def test_vllm_settings_are_handed_on_as_they_are() -> None:
    from preceptor.learn.session import grpo_config
    from preceptor.learn.settings import Settings

    plain = dict.fromkeys(("lr", "temperature", "kl"), 1.0) | {
        "max_tokens": 8,
        "eval_every": 0,
        "eval_samples": 0,
    }
    base = {
        "method": "rloo",
        "steps": 1,
        "prompts_per_step": 1,
        "generations": 2,
        "micro_batch": 2,
        "seed": 0,
    }
    server = {"vllm_mode": "server", "vllm_server_port": 8123}
    config = grpo_config(Settings(**base, **plain, vllm=server), Path("unused"))
    assert (config.use_vllm, config.vllm_mode, config.vllm_server_port) == (True, "server", 8123)
    assert not grpo_config(Settings(**base, **plain), Path("unused")).use_vllm
    with pytest.raises(InputError, match="got \\['port'\\], expected TRL's settings"):
        Settings(**base, **plain, vllm={"port": 1})


def test_reports_go_where_they_are_asked_to_go(tiny_policy_dir, tmp_path, monkeypatch) -> None:
    from transformers import TrainerCallback

    heard = []

    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            heard.append((args.report_to, state.global_step, "grad_norm" in logs))

    monkeypatch.setattr("transformers.trainer.get_reporting_integration_callbacks", lambda names: [Reporter])
    learn(tiny_policy_dir, problems(3), out=tmp_path, report_to=["tensorboard"], **SMALL)
    assert (["tensorboard"], 1, True) in heard


class Learner(HashValue):
    """A scorer that notes in which order it is asked and taught."""

    def __init__(self, order: str):
        super().__init__()
        self.order, self.calls = order, []

    def score(self, traces):
        self.calls.append(("score", len(traces)))
        return super().score(traces)

    def update(self, traces, outcomes):
        assert len(traces) == len(outcomes)
        self.calls.append(("update", len(traces)))
        return {"loss": 0.25}


@pytest.mark.parametrize("order", ["before", "after", "none"])
def test_a_scorer_that_learns_along_is_taught_when_it_wants(tiny_policy_dir, tmp_path, order) -> None:
    scorer = Learner(order)
    learn(tiny_policy_dir, problems(6), out=tmp_path, method="progress", scorer=scorer, **SMALL)
    once = {"before": ["update", "score"], "after": ["score", "update"], "none": ["score"]}[order]
    assert scorer.calls == [(name, 12) for name in once * 2]
    assert [r.get("scorer") for r in rows(tmp_path)] == [None if order == "none" else {"loss": 0.25}] * 2


def test_a_scorer_may_give_signals_of_its_own(tiny_policy_dir, monkeypatch) -> None:
    import preceptor.learn.grpo as grpo
    from preceptor.credit import Signals

    given = []
    plain = grpo.compute
    monkeypatch.setattr(grpo, "compute", lambda r, s, c: (given.append(s), plain(r, s, c))[1])

    class Own(HashValue):
        def signals(self, traces):
            tokens = tuple(tuple(0.5 for _ in t.token_ids) for t in traces)
            return Signals(scores=tuple(j.scores for j in self.score(traces)), tokens=tokens)

    made, inputs = trainer(tiny_policy_dir, "progress", Own())
    made.state.global_step = 7
    made._generate_and_score_completions(inputs)
    assert len(given[0].tokens) == 12
    assert given[0].step == 7


@pytest.mark.parametrize("name", ["outcome", "rloo", "dr_grpo", "progress", "pure"])
def test_a_method_runs_in_the_loop_by_its_name(tiny_policy_dir, name) -> None:
    made, inputs = trainer(tiny_policy_dir, name, HashValue())
    out = made._generate_and_score_completions(inputs)
    assert torch.isfinite(gradient(made, out)[1]).all()
