"""Specifies training: what is learned, what is written, what is refused, and that a seed is enough.

Run with `python -m pytest tests/learn/test_learn.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from preceptor.credit import Center, CreditConfig, StepScore, Stream
from preceptor.errors import InputError, MissingExtra
from preceptor.generation import Request, Sampling
from preceptor.judgement import Question
from preceptor.learn import LearnResult, learn
from preceptor.policy import ScriptedPolicy, TransformersPolicy
from preceptor.trace import Trace
from tests.learn.toys import HashValue, Sevens, problems, trainer

SMALL = {"steps": 2, "prompts_per_step": 3, "generations": 4, "max_tokens": 16, "lr": 1e-2}


def rows_of(result: LearnResult) -> list[dict]:
    return [json.loads(line) for line in result.metrics.read_text().splitlines()]


def weights(directory: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in TransformersPolicy.load(directory).model.parameters()]).detach()


def owner(trace: Trace, at: int) -> int:
    """The step with the last character of token `at`, or of the next token that adds a character."""
    before = trace.token_ends[at - 1] if at else 0
    end = next((e for e in trace.token_ends[at:] if e > before), None)
    found = [k for k, step in enumerate(trace.steps) if end is not None and step.start < end <= step.end]
    return found[0] if found else len(trace.steps) - 1


def by_hand(traces: list[Trace], scorer: HashValue, generations: int) -> list[list[float]]:
    """The `progress` method written out in plain loops over one batch of whole groups."""
    out = []
    for i, trace in enumerate(traces):
        group = range(i // generations * generations, (i // generations + 1) * generations)
        right = [float(traces[j].grade.correct) for j in group]
        start = sum(right) / generations
        others = [j for j in group if j != i]
        outcome = right[i - group[0]] - sum(right[j - group[0]] for j in others) / len(others)
        ends = {
            j: scorer.value(traces[j], len(traces[j].steps) - 1) if traces[j].steps else start for j in group
        }
        baseline = sum(ends[j] - start for j in others) / len(others)
        size, row, before = len(trace.token_ids), [], start
        for k in range(len(trace.steps)):
            value = scorer.value(trace, k)
            mine = [at for at in range(size) if owner(trace, at) == k]
            row += [outcome + (value - before) - baseline * len(mine) / size] * len(mine)
            before = value
        out.append(row)
    return out


def test_progress_advantages_of_a_sampled_batch_equal_those_computed_by_hand(tiny_policy_dir) -> None:
    scorer = HashValue()
    made, rows = trainer(tiny_policy_dir, "progress", scorer)
    batch = made._generate_and_score_completions(rows)
    traces = made.last_traces
    assert max(len(t.steps) for t in traces) > 1
    assert all(t.steps for t in traces)
    for i, expected in enumerate(by_hand(traces, scorer, 4)):
        torch.testing.assert_close(batch["advantages"][i, : len(expected)], torch.tensor(expected))


def test_training_on_outcomes_makes_the_rewarded_text_likelier(tiny_policy_dir, tmp_path) -> None:
    result = learn(
        tiny_policy_dir,
        problems(16),
        out=tmp_path,
        method="rloo",
        steps=25,
        prompts_per_step=8,
        generations=8,
        max_tokens=12,
        lr=1e-2,
        held_out=problems(20)[16:],
        eval_samples=16,
    )
    assert result.after.share > result.before.share + 0.3
    assert result.after.n == 64


def test_training_on_step_scores_alone_follows_the_scorer(tiny_policy_dir, tmp_path) -> None:
    config = CreditConfig((Stream(StepScore(), Center("token", "leave_one_out", "std")),))
    result = learn(
        tiny_policy_dir,
        problems(8),
        out=tmp_path,
        method=config,
        scorer=Sevens(Question.QUALITY),
        steps=20,
        prompts_per_step=4,
        generations=8,
        max_tokens=12,
        lr=1e-2,
    )
    rewards = [r["credit"]["process_mean"] for r in rows_of(result)]
    assert sum(rewards[-3:]) > 3 * sum(rewards[:3])


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tiny_policy_dir, tmp_path) -> None:
    runs = [
        learn(tiny_policy_dir, problems(6), out=tmp_path / str(i), seed=seed, held_out=problems(2), **SMALL)
        for i, seed in enumerate((3, 3, 4))
    ]
    for row in (logs := [rows_of(r) for r in runs])[0] + logs[1] + logs[2]:
        row.pop("seconds", None)
    assert logs[0] == logs[1] != logs[2]
    assert torch.equal(weights(runs[0].model), weights(runs[1].model))
    assert not torch.equal(weights(runs[0].model), weights(runs[2].model))


def test_small_backward_passes_make_the_same_step_as_one_large(tiny_policy_dir, tmp_path) -> None:
    whole, split = (
        learn(tiny_policy_dir, problems(6), out=tmp_path / str(m), micro_batch=m, **{**SMALL, "steps": 1})
        for m in (12, 3)
    )
    a, b = weights(whole.model), weights(split.model)
    start = weights(tiny_policy_dir)
    assert not torch.equal(a, start)
    assert rows_of(whole)[0]["grad_norm"] == pytest.approx(rows_of(split)[0]["grad_norm"], rel=1e-3)
    assert torch.nn.functional.cosine_similarity(a - start, b - start, dim=0) > 0.99


def test_undecided_completions_are_counted_and_change_nothing(tiny_policy_dir, tmp_path) -> None:
    result = learn(tiny_policy_dir, problems(4, gold=None), out=tmp_path, **SMALL)
    assert result.undecided == 2 * 3 * 4
    assert "accuracy" not in rows_of(result)[0] or rows_of(result)[0]["accuracy"] is None
    assert torch.equal(weights(result.model), weights(tiny_policy_dir))


def test_a_run_leaves_a_model_that_loads_metrics_and_settings(tiny_policy_dir, tmp_path) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir)
    before = policy.fingerprint
    told = []
    result = learn(
        policy,
        problems(6),
        out=tmp_path,
        held_out=problems(3),
        eval_every=1,
        method="progress",
        scorer=HashValue(),
        kl=0.1,
        progress=lambda done, total, note="": told.append((done, total, note)),
        **SMALL,
    )
    assert policy.fingerprint != before
    saved = TransformersPolicy.load(result.model)
    request = Request(problems(1)[0], sampling=Sampling(temperature=0, max_tokens=8))
    assert saved.generate([request])[0].token_ids == policy.generate([request])[0].token_ids
    rows = rows_of(result)
    steps = [r for r in rows if "accuracy" in r]
    held_out = [r for r in rows if "held_out_accuracy" in r]
    assert [r["step"] for r in steps] == [1, 2]
    assert [r["step"] for r in held_out] == [0, 1, 2]
    assert all(r["held_out_n"] == 3 for r in held_out)
    assert {"grad_norm", "kl", "loss", "length_mean", "cut", "credit", "seconds"} <= set(steps[0])
    assert {"process_mean", "steps_mean", "tokens_per_step", "step_rms"} <= set(steps[0]["credit"])
    assert set(steps[0]["seconds"]) == {"generation", "grading", "scoring", "credit", "update"}
    assert steps[1]["trained_tokens"] > steps[0]["trained_tokens"] > 0
    assert result.usage.policy.generated == rows[-1]["generated_tokens"] > steps[1]["generated_tokens"]
    assert json.loads((tmp_path / "settings.json").read_text())["start"] == before
    assert [t[:2] for t in told] == [(1, 2), (2, 2)]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "metrics.jsonl",
        "model",
        "result.json",
        "settings.json",
    ]


def test_the_scorer_is_not_asked_by_a_method_of_the_outcome_alone(tiny_policy_dir, tmp_path) -> None:
    asked = []

    class Counting(HashValue):
        def score(self, traces):
            asked.extend(traces)
            return super().score(traces)

    result = learn(tiny_policy_dir, problems(3), out=tmp_path, scorer=Counting(), **{**SMALL, "steps": 1})
    assert asked == []
    assert result.usage.policy.generated > 0, "nothing was trained on"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"method": "magic"}, "got 'magic', expected one of"),
        ({"method": "progress"}, "got no scorer"),
        ({"generations": 1}, "at least 2"),
        ({"steps": 0}, "at least 1"),
        ({"prompts_per_step": 7}, "got 6 different ones"),
        ({"micro_batch": 5}, "expected a divisor"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_loaded(change, message, tmp_path) -> None:
    with pytest.raises(InputError, match=message):
        learn("no-such-directory", problems(6), out=tmp_path / "out", **{**SMALL, **change})
    assert not (tmp_path / "out").exists()


def test_a_policy_without_weights_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="without weights"):
        learn(ScriptedPolicy(), problems(6), out=tmp_path, **SMALL)


def test_repeated_problems_count_once(tmp_path, tiny_policy_dir) -> None:
    """Two rows of one problem would draw the same completions and share a group."""
    with pytest.raises(InputError, match="got 2 different ones"):
        learn(tiny_policy_dir, problems(2) * 3, out=tmp_path, **SMALL)


def test_a_missing_extra_is_named_with_its_install_line(monkeypatch, tmp_path, tiny_policy_dir) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(
        MissingExtra, match=r"policy training needs the extra 'rl': pip install 'preceptor\[rl\]'"
    ):
        learn(tiny_policy_dir, problems(6), out=tmp_path, **SMALL)


def test_importing_the_room_loads_no_heavy_library() -> None:
    code = "import sys, preceptor.learn; assert not {'torch', 'trl', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
