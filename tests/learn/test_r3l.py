"""Specifies R^3L in the loop: who takes which place of a batch, and the loss without ratios.

Run with `python -m pytest tests/learn/test_r3l.py`.
"""

from __future__ import annotations

import json

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation import Continuation, Sampling
from preceptor.learn import learn
from preceptor.learn.data import R3L, opmd_advantages
from preceptor.learn.data.r3l import is_free
from preceptor.learn.first_attempts import FirstAttempts
from preceptor.learn.parts import parts
from preceptor.learn.supervised.losses import opmd
from preceptor.policy import TransformersPolicy
from preceptor.policy.engine_text import text_of
from preceptor.trace import Finish
from preceptor.usage import Usage
from tests.learn.toys import problems, trainer

BAD = '{"perfect": false, "why": "5", "retry_from_step": 2}'
ATTEMPT = "1+1=2\n3+3=5\nAnswer: 5\n"


class Scripted(TransformersPolicy):
    """A real model that writes what it is told; the trainer's part of it is untouched."""

    retry = "3+4=7\nAnswer: 7\n"
    said = BAD
    asked: tuple = ()

    def generate(self, requests):
        self.asked = (*self.asked, *requests)
        return [self._written(r) for r in requests]

    def _written(self, request):
        prompt = request.problem.prompt
        reflects, retries = "Is this attempt perfect" in prompt, "An earlier attempt" in prompt
        text = self.said if reflects else self.retry if retries else ATTEMPT
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        _, ends = text_of(self.tokenizer).decode(ids, [])
        ids, ends = [*ids, self.tokenizer.eos_token_id], [*ends, len(text)]
        return Continuation(
            text, Finish.STOP, tuple(ids), tuple(ends), usage=Usage(generated=len(ids), calls=1)
        )


def looped(directory, *, retry=Scripted.retry, said=BAD, generations=8, **more):
    made, rows = trainer(
        directory, "r3l", generations=generations, amend=R3L().amend, ratio_free=True, **more
    )
    policy = Scripted.load(directory)
    policy.model, policy.retry, policy.said = made.model, retry, said
    made.source = FirstAttempts(policy, Sampling(max_tokens=24), 0)
    return made, rows


def gradient(made, loss) -> torch.Tensor:
    made.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])


def now(made, batch) -> torch.Tensor:
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return made._get_per_token_logps_and_entropies(made.model, ids, mask, batch["completion_ids"].shape[1])[0]


def test_a_first_attempt_takes_four_places_and_nothing_that_was_sampled_is_lost(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir)
    made._generate_and_score_completions(rows)
    items = made.last_items
    assert len(items) == len(rows) == 24
    notes = [x.note for x in items]
    assert {n: notes.count(n) for n in notes} == {
        "retried": 6,
        "retry": 6,
        "reflection": 6,
        "guided-retry": 6,
    }
    assert [x.note == "retried" for x in items] == [k % 4 == 0 for k in range(24)], (
        "every fourth draw was sampled"
    )
    asked = made.source.policy.asked
    assert len(asked) == 18, "six attempts, six reflections, six retries"
    assert made.source.usage.calls == 18
    by_problem = [x for x in items if x.group == items[0].trace.problem.id]
    assert [x.outcome for x in by_problem] == [0.0, 1.0, 1.0, 0.0]
    assert len({x.group for x in items}) == 3 + 12


def test_each_sequence_stands_behind_the_question_that_was_asked(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir)
    batch = made._generate_and_score_completions(rows)
    for k, item in enumerate(made.last_items):
        prompt = batch["prompt_ids"][k][batch["prompt_mask"][k].bool()].tolist()
        text = made.source.policy.tokenizer.decode(prompt)
        assert prompt == made.source.prompt_ids(item.trace.problem)
        assert ("Is this attempt perfect" in text) == (item.note == "reflection")
        assert ("An earlier attempt was looked at" in text) == (item.note == "guided-retry")
        assert (item.trace.text == BAD) == (item.note == "reflection")


def test_advantages_are_those_of_opmd_and_the_shared_prefix_has_none(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir)
    batch = made._generate_and_score_completions(rows)
    items = made.last_items
    expected = opmd_advantages([x.outcome for x in items], [x.group for x in items])
    assert set(expected.tolist()) == {-0.5, 1.0}
    kept = len(made.source.policy.tokenizer.encode("1+1=2\n", add_special_tokens=False))
    for k, (item, advantage) in enumerate(zip(items, expected, strict=True)):
        start = 0 if item.note == "reflection" else kept
        end = len(item.trace.token_ids)
        assert not batch["tool_mask"][k, :start].any()
        assert not batch["advantages"][k, :start].any()
        assert batch["advantages"][k, start:end].tolist() == pytest.approx([advantage / 2] * (end - start))


@pytest.mark.parametrize("moved", [False, True])
def test_the_gradient_is_that_of_the_loss_written_out_whatever_wrote_the_text(tiny_policy_dir, moved) -> None:
    made, rows = looped(tiny_policy_dir)
    batch = made._generate_and_score_completions(rows)
    items = made.last_items
    assert all(x.trace.logprobs is None for x in items), "none are stored"
    logps = now(made, batch)
    if moved:  # a later update with the same batch: ratios would be clipped, and far from 1
        batch["old_per_token_logps"] = logps.detach() - 2.0
        batch["importance_sampling_ratio"] = torch.full_like(logps, 3.0).detach()
        made.use_vllm, made.vllm_importance_sampling_correction = True, True
    advantages = torch.tensor(opmd_advantages([x.outcome for x in items], [x.group for x in items]))
    trained = batch["completion_mask"] * batch["tool_mask"]
    expected = gradient(made, opmd(logps, advantages[:, None].float(), trained, tau=1.0))
    made.current_gradient_accumulation_steps = 1
    found = gradient(made, made._compute_loss(made.model, batch))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    made.ratio_free = False
    clipped = gradient(made, made._compute_loss(made.model, batch))
    assert torch.allclose(clipped, expected, atol=1e-6) is not moved


def test_a_group_of_all_failures_has_only_signals_that_are_not_positive(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir, retry="3+3=5\nAnswer: 5\n")
    batch = made._generate_and_score_completions(rows)
    notes = [x.note for x in made.last_items]
    assert (notes.count("retried"), notes.count("retry")) == (6, 6)
    assert not any(x.outcome for x in made.last_items)
    assert batch["advantages"].max() <= 0
    free = [is_free(x.trace) for x in made.last_items]
    assert sum(free) == 12
    assert not batch["tool_mask"][torch.tensor(free)].any()


def test_places_that_nothing_took_are_in_no_statistic(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir, said="no idea")
    made._generate_and_score_completions(rows)
    assert [is_free(x.trace) for x in made.last_items] == [k % 4 != 0 for k in range(24)]
    assert made.last_batch.stats["undecided"] == 18
    assert made.last_batch.stats["outcome_mean"] == 0.0
    assert len(made.source.policy.asked) == 12


def test_samples_of_reward_1_are_dropped_before_retries_where_there_is_no_place(tiny_policy_dir) -> None:
    made, rows = looped(tiny_policy_dir, generations=2)
    made._generate_and_score_completions(rows)
    assert [x.note for x in made.last_items] == ["retried", "retry"] * 3


def test_other_purposes_are_sampled_as_usual_and_other_engines_refused(tiny_policy_dir) -> None:
    source = FirstAttempts(TransformersPolicy.load(tiny_policy_dir), Sampling(max_tokens=8), 0)
    assert all(t.error is None for t in source.traces(problems(1) * 4, range(4), "held-out", 0))
    with pytest.raises(InputError, match="another engine"):
        source.traces(problems(1), [0], "train", 0, engine=lambda prompts: [])


@pytest.mark.parametrize("iterations", [1, 2])
def test_the_method_trains_by_its_name(iterations, tiny_policy_dir, tmp_path) -> None:
    policy = Scripted.load(tiny_policy_dir)
    own = parts("r3l", policy)
    result = learn(policy, problems(6), out=tmp_path, method="r3l", steps=2 * iterations, prompts_per_step=3,
                   generations=8, max_tokens=16, lr=1e-2, num_iterations=iterations, micro_batch=6, **own)  # fmt: skip
    rows = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    assert result.steps == len(rows) == 2 * iterations
    assert all(r["grad_norm"] > 0 for r in rows)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert (settings["ratio_free"], settings["sampler"]) == (True, "FirstAttempts")
    assert settings["amend"] == "R3L.amend"


def test_retries_become_likelier_and_failed_attempts_do_not(tiny_policy_dir, tmp_path) -> None:
    from preceptor.generation import Request

    policy = Scripted.load(tiny_policy_dir)
    asked = [Request(p, "1+1=2\n") for p in problems(3)]

    def margin():
        right = policy.likelihood(asked, [policy.retry] * 3)
        wrong = policy.likelihood(asked, [ATTEMPT.removeprefix("1+1=2\n")] * 3)
        return sum(sum(a.logprobs) - sum(b.logprobs) for a, b in zip(right, wrong, strict=True))

    before = margin()
    learn(policy, problems(3), out=tmp_path, method="r3l", steps=5, prompts_per_step=3, generations=8, max_tokens=16,
          lr=1e-3, **parts("r3l", policy))  # fmt: skip
    assert margin() > before + 5
