"""Specifies episodes (turns of a policy, replies of an environment) and ECHO, the loss on those replies.

Run with `python -m pytest tests/learn/test_episodes.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from preceptor.credit import METHODS
from preceptor.errors import InputError
from preceptor.generation import Continuation, Sampling
from preceptor.learn import learn
from preceptor.learn.data.hooks import items_of
from preceptor.learn.episodes import EpisodeSource
from preceptor.learn.figures import written
from preceptor.policy import TransformersPolicy
from preceptor.policy.engine_text import text_of
from preceptor.policy.sample import trace_of
from preceptor.trace import Finish, Trace
from preceptor.usage import Usage
from preceptor.worlds import WORLDS
from tests.learn.toys import problems, trainer

STOPS = tuple("abcdefghijklmnopqrstuvwxyz0123456789")
"""A random model seldom writes a line end; its turns end at one of these."""
SMALL = {"steps": 2, "prompts_per_step": 3, "generations": 4, "max_tokens": 16, "lr": 1e-2}


class Counts:
    """Says how many turns there were, but for every third one."""

    def reply(self, problem, turns):
        return f"> turn {len(turns)} é\n" if len(turns) % 3 else ""


def episodes(policy, sampling, seed):
    return EpisodeSource(policy, replace(sampling, stop=STOPS), seed, environment=Counts(), most_turns=4)


def agent(directory, method="outcome", **more):
    """A trainer whose rollouts are episodes."""
    made, rows = trainer(directory, method, **more)
    made.source = episodes(made.source.policy, Sampling(max_tokens=24), 0)
    return made, rows


@pytest.fixture
def played(tiny_policy_dir) -> tuple[EpisodeSource, list[Trace], list[int]]:
    policy = TransformersPolicy.load(tiny_policy_dir)
    calls, plain = [], policy.generate
    policy.generate = lambda requests: (calls.append(len(requests)), plain(requests))[1]
    source = episodes(policy, Sampling(max_tokens=24), 0)
    return (
        source,
        source.traces([p for p in problems(4) for _ in range(4)], [0, 1, 2, 3] * 4, "train", 0),
        calls,
    )


def test_text_ids_and_ends_of_an_episode_agree_and_replies_are_marked(played) -> None:
    source, traces, _ = played
    replied = [t for t in traces if t.sampled is not None]
    assert len(replied) > 8
    for trace in traces:
        text, ends = text_of(source.policy.tokenizer).decode(
            [i for i in trace.token_ids if i not in source.policy.eos_ids], source.prompt_ids(trace.problem)
        )
        assert trace.text == text
        assert list(trace.token_ends[: len(ends)]) == ends
        assert len(trace.token_ids) == len(trace.logprobs) == len(trace.sampled or trace.token_ids)
    for trace in replied:
        own = source.policy.tokenizer.decode([i for i, s in zip(trace.token_ids, trace.sampled) if not s])
        expected = [f"\n> turn {k} é\n" for k in range(1, len(trace.steps) + 1) if k % 3]
        assert own in ("".join(expected), "".join(expected[:-1])), "none behind the last turn"
        assert all(p == 0.0 for p, s in zip(trace.logprobs, trace.sampled) if not s)
        assert all(p < 0.0 for p, s in zip(trace.logprobs, trace.sampled) if s)
    again = episodes(source.policy, Sampling(max_tokens=24), 0)
    assert again.traces([traces[5].problem], [1], "train", 0)[0].text == traces[5].text, "whatever the batch"
    record = json.loads(json.dumps(replied[0].to_record()))
    assert Trace.from_record(record, replied[0].problem) == replied[0]


def test_all_episodes_advance_together_and_replies_cost_nothing(played) -> None:
    source, traces, calls = played
    assert calls[0] == 16
    assert len(calls) == max(len(t.steps) for t in traces) <= 4
    sampled = [t.sampled or (True,) * len(t.token_ids) for t in traces]
    assert source.usage.generated == sum(map(sum, sampled)) < sum(map(len, sampled))
    assert all(sum(s) <= 24 for s in sampled)
    assert [written(t).tokens for t in traces] == [sum(s) for s in sampled]
    ended = [t.token_ids[-1] in source.policy.eos_ids for t in traces]
    assert [t.finish for t in traces] == [Finish.STOP if e else Finish.LENGTH for e in ended]


def test_spans_are_the_policys_turns_and_replies_are_masked(played) -> None:
    _, traces, _ = played
    for item in items_of(traces):
        trace, rollout = item.trace, item.rollout
        if trace.sampled is None:
            continue
        assert rollout.model_mask == trace.sampled
        assert len(rollout.spans) == len(trace.steps)
        inside = {k for a, b in rollout.spans for k in range(a, b)}
        assert inside == {k for k, own in enumerate(trace.sampled) if own}
        half = tuple(k % 2 == 0 for k in range(rollout.length))
        masked = replace(item, model_mask=half).rollout.model_mask
        assert masked == tuple(a and b for a, b in zip(half, trace.sampled))


def test_a_prefix_that_is_continued_keeps_its_marks(played) -> None:
    trace = next(t for t in played[1] if t.sampled is not None and len(t.steps) > 1)
    more = Continuation("77", Finish.STOP, (40, 41), (1, 2))
    again = trace_of(trace.problem, more, trace.prefix(1), earlier=trace)
    assert again.sampled[-2:] == (True, True)
    assert again.sampled[:-2] == trace.sampled[: len(again.sampled) - 2]
    assert not all(again.sampled)


class Plays:
    """Writes the reference of a problem, a line a call, in the tiny tokenizer's tokens."""

    def __init__(self, tokenizer, lines=None):
        self.tokenizer, self.lines, self.fingerprint = tokenizer, lines, "plays"

    def refresh(self) -> None: ...

    def generate(self, requests):
        out = []
        for r in requests:
            lines = self.lines or r.problem.reference
            done = sum(not line.startswith("> ") for line in r.prefix.splitlines())
            ids = self.tokenizer.encode(lines[done], add_special_tokens=False)
            _, ends = text_of(self.tokenizer).decode(ids, [])
            usage = Usage(generated=len(ids), calls=1)
            out.append(Continuation(lines[done], Finish.BOUNDARY, tuple(ids), tuple(ends), usage=usage))
        return out


def test_the_world_replies_and_judges_turns_with_their_replies_as_it_does_without(tiny_policy_dir) -> None:
    world = WORLDS["minesweeper"]
    (problem,) = world.problems("train", 1, size=4, mines=3)
    source = EpisodeSource(Plays(TransformersPolicy.load(tiny_policy_dir).tokenizer), Sampling(), 0)
    (trace,) = source.traces([problem], [0], "train", 0)
    opened = [line.strip().removeprefix("open ") for line in problem.reference if line.startswith("open")]
    assert [s.count("\n> ") for s in trace.step_texts] == [1] * len(opened) + [0]
    assert all(f"> {cell} shows " in s for cell, s in zip(opened, trace.step_texts, strict=False))
    assert world.turns(problem, trace.step_texts) == world.turns(problem, problem.reference)
    assert all(t.valid for t in world.judge(problem, trace.step_texts))
    assert trace.grade.correct
    assert "".join(line for line in trace.text.splitlines(True) if line[0] != ">") == "".join(
        problem.reference
    )
    # a policy that writes its own replies is told nothing
    faked = [f"open {opened[0]}\n", f"> {opened[0]} shows 8\n", "Answer: ?\n"]
    assert [t.truth.kind for t in world.turns(problem, faked)] == ["ok", "unparseable", "wrong answer"]


def test_an_answer_in_a_reply_is_nobodys_answer(tiny_policy_dir) -> None:
    class Tells:
        def reply(self, problem, turns):
            return f"> Answer: {problem.gold}\nAnswer: {problem.gold}\n"

    (problem,) = WORLDS["minesweeper"].problems("train", 1)
    policy = Plays(TransformersPolicy.load(tiny_policy_dir).tokenizer, ["open r1c1\n"] * 9)
    (trace,) = EpisodeSource(policy, Sampling(), 0, environment=Tells(), most_turns=2).traces(
        [problem], [0], "train", 0
    )
    assert problem.gold in trace.text
    assert not trace.grade.correct
    assert trace.grade.answer is None


def test_problems_that_nobody_answers_are_refused(tiny_policy_dir) -> None:
    source = EpisodeSource(TransformersPolicy.load(tiny_policy_dir), Sampling(), 0)
    with pytest.raises(InputError, match="expected one of minesweeper"):
        source.traces(problems(1), [0], "train", 0)
    with pytest.raises(InputError, match="another engine"):
        source.traces(problems(1), [0], "train", 0, engine=lambda prompts: [])
    with pytest.raises(InputError, match="most_turns=0"):
        EpisodeSource(source.policy, Sampling(), 0, most_turns=0)


# in the loop


def logps(made, batch):
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    return made._get_per_token_logps_and_entropies(made.model, ids, mask, batch["completion_ids"].shape[1])[0]


def gradient(made, loss) -> torch.Tensor:
    made.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None])


def of_loss(made, batch) -> torch.Tensor:
    made.current_gradient_accumulation_steps = 1
    return gradient(made, made._compute_loss(made.model, batch))


def replies(made, batch) -> torch.Tensor:
    """(B, C), written out from the traces."""
    out = torch.zeros(batch["completion_ids"].shape, dtype=torch.bool)
    for row, trace in zip(out, made.last_traces, strict=True):
        for k, own in enumerate(trace.sampled or ()):
            row[k] = not own
    return out


def test_the_trainer_reads_the_log_probabilities_that_the_turns_were_sampled_with(tiny_policy_dir) -> None:
    made, rows = agent(tiny_policy_dir)
    batch = made._generate_and_score_completions(rows)
    with torch.no_grad():
        found = logps(made, batch)
    for row, trace in zip(found, made.last_traces, strict=True):
        own = torch.tensor(trace.sampled or (True,) * len(trace.token_ids))
        torch.testing.assert_close(
            row[: len(own)][own], torch.tensor(trace.logprobs)[own], atol=1e-4, rtol=1e-4
        )


def test_the_policy_gradient_never_trains_a_reply(tiny_policy_dir) -> None:
    made, rows = agent(tiny_policy_dir)
    batch = made._generate_and_score_completions(rows)
    observed = replies(made, batch)
    assert observed.sum() > 20
    assert not batch["tool_mask"][observed].any()
    assert not batch["advantages"][observed].any()
    assert batch["num_items_in_batch"] == (batch["completion_mask"].bool() & ~observed).sum()
    advantages = torch.randn(observed.shape, generator=torch.Generator().manual_seed(0))
    one, other = (of_loss(made, {**batch, "advantages": a}) for a in (advantages, advantages * ~observed))
    assert torch.equal(one, other)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
def test_echo_adds_the_mean_cross_entropy_of_replies_and_leaves_the_policy_gradient(
    tiny_policy_dir, loss_type
) -> None:
    plain, rows = agent(tiny_policy_dir)
    made, _ = agent(tiny_policy_dir, echo=0.3)
    made.loss_type = plain.loss_type = loss_type
    without, batch = (x._generate_and_score_completions(rows) for x in (plain, made))
    assert "observed" not in without
    observed = replies(made, batch)
    assert torch.equal(batch["observed"], observed)
    assert batch["observed_in_batch"] == observed.sum()
    # one row in three is in no statistic: its replies count all the same
    batch["tool_mask"][::3] = 0
    without["tool_mask"][::3] = 0
    policy_part = of_loss(plain, without)
    entropy = gradient(made, -logps(made, batch)[observed].mean())
    torch.testing.assert_close(of_loss(made, batch), policy_part + 0.3 * entropy, atol=1e-6, rtol=1e-4)
    zero = {**batch, "advantages": torch.zeros_like(batch["advantages"])}
    torch.testing.assert_close(of_loss(made, zero), 0.3 * entropy, atol=1e-6, rtol=1e-4)
    made.echo = 0.0
    assert torch.equal(of_loss(made, batch), policy_part)


@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
def test_micro_batches_add_up_to_the_gradient_of_the_whole_batch(tiny_policy_dir, loss_type) -> None:
    found = []
    for size in (12, 3):
        made, rows = agent(tiny_policy_dir, echo=0.5, micro_batch=size)
        made.loss_type = loss_type
        made.current_gradient_accumulation_steps = 12 // size
        made.model.zero_grad()
        for _ in range(12 // size):
            part = made._prepare_inputs(rows)
            made._step += 1
            made._compute_loss(made.model, part).backward()
        found.append(torch.cat([p.grad.flatten() for p in made.model.parameters() if p.grad is not None]))
        logged = made._metrics["train"]["observation_loss"]
        found.append(torch.tensor(sum(logged) / len(logged)))
    torch.testing.assert_close(found[0], found[2], atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(found[1], found[3], atol=1e-5, rtol=1e-5)


def test_long_replies_count_up_to_a_limit(tiny_policy_dir) -> None:
    made, rows = agent(tiny_policy_dir, echo=0.3, echo_longest=2)
    batch = made._generate_and_score_completions(rows)
    every = replies(made, batch)
    for row, own in zip(batch["observed"].tolist(), every.tolist(), strict=True):
        assert row == [x and not (k > 1 and own[k - 1] and own[k - 2]) for k, x in enumerate(own)]
    assert not batch["advantages"][every].any()


def rows_of(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def weights(directory) -> torch.Tensor:
    return torch.cat([p.flatten() for p in TransformersPolicy.load(directory).model.parameters()]).detach()


def test_without_a_verdict_only_what_the_environment_says_is_learned_and_it_becomes_likelier(
    tiny_policy_dir, tmp_path
) -> None:
    asked = problems(4, gold=None)
    for echo in (0.0, 0.5):
        learn(
            tiny_policy_dir,
            asked,
            out=tmp_path / str(echo),
            sampler=episodes,
            echo=echo,
            **{**SMALL, "steps": 6},
        )
    assert torch.equal(weights(tmp_path / "0.0" / "model"), weights(tiny_policy_dir))
    losses = [r["observation_loss"] for r in rows_of(tmp_path / "0.5")]
    assert losses[-1] < losses[0] - 0.5
    assert all("observation_loss" not in r for r in rows_of(tmp_path / "0.0"))
    assert json.loads((tmp_path / "0.5" / "settings.json").read_text())["echo"] == 0.5


@pytest.mark.parametrize("method", ["outcome", "igpo"])
def test_training_on_episodes_runs_measures_and_counts_what_was_sampled(
    method, tiny_policy_dir, tmp_path
) -> None:
    from preceptor.learn.parts import parts

    policy = TransformersPolicy.load(tiny_policy_dir)
    own = parts(method, policy)
    result = learn(
        policy,
        problems(6),
        out=tmp_path,
        method=method,
        sampler=episodes,
        echo=0.1,
        held_out=problems(2),
        **own,
        **SMALL,
    )
    steps = [r for r in rows_of(tmp_path) if "credit" in r]
    assert [r["step"] for r in steps] == [1, 2]
    assert result.after.n == 2
    assert all(r["observation_loss"] > 0 for r in steps)
    assert steps[0]["length_mean"] <= 16
    before = rows_of(tmp_path)[0]["generated_tokens"]
    assert steps[1]["trained_tokens"] + before == steps[1]["generated_tokens"]
    assert not torch.equal(weights(result.model), weights(tiny_policy_dir))


def test_a_run_with_replies_is_resumed_with_the_same_settings_only(tiny_policy_dir, tmp_path) -> None:
    options = {**SMALL, "sampler": episodes, "out": tmp_path}
    learn(tiny_policy_dir, problems(6), echo=0.1, **options)
    learn(tiny_policy_dir, problems(6), echo=0.1, resume=True, **options)
    with pytest.raises(InputError, match=r"echo: got 0\.2, the run has 0\.1"):
        learn(tiny_policy_dir, problems(6), echo=0.2, resume=True, **options)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"echo": 0.1}, "expected an environment that answers"),
        ({"echo": -1.0}, "a weight of 0 or more"),
        ({"echo_longest": 0}, "at least 1 token"),
    ],
)
def test_a_loss_on_replies_that_cannot_be_is_refused(change, message, tiny_policy_dir, tmp_path) -> None:
    with pytest.raises(InputError, match=message):
        learn(tiny_policy_dir, problems(6), out=tmp_path / "out", **{**SMALL, **change})
    assert not (tmp_path / "out").exists()


def test_the_method_has_its_weight_by_name(tiny_policy_dir) -> None:
    from preceptor.learn.parts import parts

    assert parts("echo", TransformersPolicy.load(tiny_policy_dir)) == {"scorer": None, "echo": 0.1}
    assert METHODS["echo"].streams == METHODS["outcome"].streams
