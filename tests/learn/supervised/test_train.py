"""Specifies supervised training: what has a loss, what it is divided by, and that a killed run ends like a whole one.

Run: python -m pytest tests/learn/supervised/test_train.py
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from preceptor.annotate.tools import WorldOracle
from preceptor.errors import InputError
from preceptor.generation import Request, Sampling
from preceptor.judgement import Question
from preceptor.learn.data import Piece, Row, alphamath, mcts_nll, token_row, whole_row
from preceptor.learn.data.alphamath import AlphaMathTraining
from preceptor.learn.supervised import ValueScorer, reading, rounds, train_supervised, uni_opd
from preceptor.learn.supervised.encode import encode
from preceptor.learn.supervised.trainer import orders, token_logps
from preceptor.policy import TransformersPolicy, prompt_ids, sample
from preceptor.search.trees.rest_mcts import RestMcts
from preceptor.worlds import WORLDS, arithmetic
from tests.learn.data.test_dagger import best
from tests.learn.data.toys import PROBLEM, RIGHT, WRONG, Says, trace

FAST = {"lr": 1e-2, "batch": 4, "schedule": "constant"}


def rows(n: int = 8) -> list[Row]:
    return [
        Row(p, tuple(Piece(line) for line in p.reference)) for p in arithmetic("train", n, operations=(2, 3))
    ]


def logged(result) -> list[dict]:
    return [json.loads(line) for line in result.metrics.read_text().splitlines()]


def weights(policy) -> torch.Tensor:
    model = policy.model if hasattr(policy, "model") and not isinstance(policy.model, Path) else None
    model = model or TransformersPolicy.load(policy.model).model
    return torch.cat([p.flatten() for p in model.parameters()]).detach()


def test_training_makes_the_rows_likelier_and_leaves_a_model_that_loads(tiny_policy_dir, tmp_path) -> None:
    result = train_supervised(tiny_policy_dir, rows(), out=tmp_path, steps=30, **FAST)
    losses = [r["loss"] for r in logged(result)]
    assert losses[-1] < losses[0] / 3
    assert result.rows == 8
    assert result.tokens["nll"] == sum(r["tokens"]["nll"] for r in logged(result))
    TransformersPolicy.load(result.model)


def test_prompt_and_context_tokens_have_no_loss_and_the_end_of_text_has_one(tiny_policy_dir) -> None:
    tokenizer = TransformersPolicy.load(tiny_policy_dir).tokenizer
    made = encode(Row(PROBLEM, (Piece(RIGHT[0], False, 0.0), Piece(RIGHT[1]))), tokenizer)
    before = len(prompt_ids(tokenizer, PROBLEM)) + len(tokenizer.encode(RIGHT[0]))
    assert made.trained == (False,) * before + (True,) * (len(made.ids) - before)
    assert made.ids[-1] == tokenizer.eos_token_id
    open_ = encode(Row(PROBLEM, (Piece(RIGHT[0]),), end=False), tokenizer)
    assert open_.ids[-1] != tokenizer.eos_token_id
    sampled = encode(Row(PROBLEM, (Piece("x", token_ids=(5, tokenizer.eos_token_id)),)), tokenizer)
    assert sampled.ids[-2:] == (5, tokenizer.eos_token_id)


def test_the_sampled_ids_are_trained_on_even_where_the_text_would_be_encoded_otherwise(
    tiny_policy_dir,
) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir)
    (made,) = sample(policy, [PROBLEM], 1, sampling=Sampling(max_tokens=20))
    found = encode(whole_row(made), policy.tokenizer)
    assert found.ids[len(prompt_ids(policy.tokenizer, PROBLEM)) :] == made.token_ids
    assert tuple(policy.tokenizer.encode(made.text)) != made.token_ids


def test_the_loss_is_the_weighted_mean_over_trained_tokens_of_each_stream(tiny_policy_dir, tmp_path) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    made = [
        Row(PROBLEM, (Piece(RIGHT[0], weights=0.5), Piece(RIGHT[1])), end=False, stream="a"),
        Row(PROBLEM, (Piece(WRONG[2], weights=2.0),), stream="b"),
    ]
    made.append(Row(PROBLEM, (Piece(WRONG[1] * 3),), stream="a"))
    sums, counts = {"a": 0.0, "b": 0.0}, {"a": 0, "b": 0}
    for row in made:
        found = encode(row, policy.tokenizer)
        ids = torch.tensor([found.ids])
        with torch.no_grad():
            logps = token_logps(policy.model(ids).logits, ids)[0]
        scaled = [w * lp for w, lp, t in zip(found.weights, logps.tolist(), found.trained, strict=True) if t]
        sums[row.stream] -= sum(scaled)
        counts[row.stream] += len(scaled)
    expected = sums["a"] / counts["a"] + 0.25 * sums["b"] / counts["b"]
    result = train_supervised(policy, made, out=tmp_path, steps=1, batch=3, stream_weights={"b": 0.25})
    (row,) = logged(result)
    assert row["loss"] == pytest.approx(expected, rel=1e-4)
    assert set(row["nll"]) == {"a", "b"}


def test_small_backward_passes_make_the_same_step_as_one_large(tiny_policy_dir, tmp_path) -> None:
    runs = [
        train_supervised(
            tiny_policy_dir, rows(), out=tmp_path / str(m), steps=3, lr=1e-3, batch=6, micro_batch=m
        )
        for m in (6, 4)
    ]
    assert len({len(logged(r)) for r in runs}) == 1
    for other in runs[1:]:
        for a, b in zip(logged(runs[0]), logged(other), strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-3)
    start = weights(TransformersPolicy.load(tiny_policy_dir))
    moved = [weights(r) - start for r in runs]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.99


def test_every_epoch_uses_every_row_once_and_the_seed_decides_the_order() -> None:
    order = orders(7, 3, None, 2.0, 0)
    flat = [i for step in order for i in step]
    assert sorted(flat[:7]) == sorted(flat[7:]) == list(range(7))
    assert [len(s) for s in order] == [3, 3, 3, 3, 2]
    assert order == orders(7, 3, None, 2.0, 0) != orders(7, 3, None, 2.0, 1)
    assert [len(s) for s in orders(2, 4, 3, 1.0, 0)] == [4, 4, 4]


def test_a_weight_of_0_trains_nothing_and_a_negative_one_makes_less_likely(tiny_policy_dir, tmp_path) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    start = weights(policy)
    train_supervised(policy, [whole_row(trace(RIGHT, ids=False), 0.0)], out=tmp_path / "0", steps=2)
    assert torch.equal(weights(policy), start)
    before = policy.likelihood([Request(PROBLEM)], ["".join(WRONG)])[0].logprobs
    train_supervised(
        policy,
        [whole_row(trace(WRONG, ids=False), -1.0)],
        out=tmp_path / "1",
        steps=3,
        lr=1e-3,
        schedule="constant",
    )
    after = policy.likelihood([Request(PROBLEM)], ["".join(WRONG)])[0].logprobs
    assert sum(after) < sum(before) - 1


def test_a_run_killed_at_any_moment_ends_with_the_same_weights_and_metrics(tiny_policy_dir, tmp_path) -> None:
    asked = {"steps": 25, "save_every": 5, "seed": 3, **FAST}
    whole = train_supervised(tiny_policy_dir, rows(), out=tmp_path / "whole", **asked)
    out = tmp_path / "killed"
    child = os.fork()
    if child == 0:
        try:
            train_supervised(tiny_policy_dir, rows(), out=out, **asked)
        finally:
            os._exit(0)
    metrics, began = out / "metrics.jsonl", time.monotonic()
    while time.monotonic() - began < 60:
        if metrics.exists() and metrics.read_text().count("\n") >= 13:
            break
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not (out / "result.json").exists()
    assert list((out / "checkpoints").glob("checkpoint-*/complete"))
    again = train_supervised(tiny_policy_dir, rows(), out=out, **asked)
    assert logged(again) == logged(whole)
    assert torch.equal(weights(again), weights(whole))
    assert not (out / "checkpoints").exists()


def test_a_finished_run_is_returned_and_another_one_in_its_place_refused(tiny_policy_dir, tmp_path) -> None:
    first = train_supervised(tiny_policy_dir, rows(), out=tmp_path, steps=2, **FAST)
    stamp = first.metrics.stat().st_mtime_ns
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    assert train_supervised(policy, rows(), out=tmp_path, steps=2, **FAST) == first
    assert first.metrics.stat().st_mtime_ns == stamp
    assert torch.equal(weights(policy), weights(first))
    with pytest.raises(InputError, match="other settings"):
        train_supervised(tiny_policy_dir, rows(), out=tmp_path, steps=3, **FAST)
    with pytest.raises(InputError, match="records"):
        train_supervised(tiny_policy_dir, rows(4), out=tmp_path, steps=2, **FAST)
    train_supervised(tiny_policy_dir, rows(4), out=tmp_path, steps=2, resume=False, **FAST)


def test_rows_that_cannot_be_trained_on_are_counted_and_none_at_all_refused(
    tiny_policy_dir, tmp_path
) -> None:
    long = Row(PROBLEM, (Piece("9" * 600),))
    none = Row(PROBLEM, (Piece("9", False),))
    result = train_supervised(tiny_policy_dir, [*rows(2), long, none], out=tmp_path / "a", steps=1)
    assert result.dropped == {"too-long": 1, "nothing-to-train": 1}
    with pytest.raises(InputError, match="none that can be trained"):
        train_supervised(tiny_policy_dir, [none], out=tmp_path / "b")
    with pytest.raises(InputError, match="batch=0"):
        train_supervised(tiny_policy_dir, rows(2), out=tmp_path / "c", batch=0)


# value heads and rounds


def test_a_value_head_learns_its_targets_and_serves_what_it_was_trained_on(tiny_policy_dir, tmp_path) -> None:
    right = Row(
        PROBLEM, tuple(Piece(s, value=v) for s, v in zip(RIGHT, (0.3, 0.8, 1.0), strict=True)), end=False
    )
    wrong = Row(
        PROBLEM,
        tuple(Piece(s, False, 0.0, value=v) for s, v in zip(WRONG, (0.3, -0.8, -1.0), strict=True)),
        end=False,
    )
    result = train_supervised(
        tiny_policy_dir,
        [right, wrong],
        out=tmp_path,
        steps=120,
        batch=2,
        lr=5e-3,
        value_weight=1.0,
        schedule="constant",
    )
    assert logged(result)[-1]["value_error"] < 0.02
    scorer = ValueScorer.of_run(tmp_path)
    good, bad = scorer.score([trace(RIGHT, ids=False), trace(WRONG, ids=False)])
    assert [2 * s - 1 for s in good.scores] == pytest.approx([0.3, 0.8, 1.0], abs=0.25)
    assert [2 * s - 1 for s in bad.scores] == pytest.approx([0.3, -0.8, -1.0], abs=0.25)
    names = {k for k, _ in TransformersPolicy.load(result.model).model.named_parameters()}
    assert not any("value" in k for k in names)


def test_rows_with_values_only_move_no_likelihood_loss(tiny_policy_dir, tmp_path) -> None:
    row = Row(PROBLEM, tuple(Piece(s, False, 0.0, value=-1.0) for s in WRONG), end=False)
    result = train_supervised(tiny_policy_dir, [row], out=tmp_path, steps=1, value_weight=0.1)
    (logs,) = logged(result)
    assert logs["loss"] == pytest.approx(0.1 * logs["value_error"])
    assert logs["tokens"] == {}


def test_a_round_searches_trains_and_hands_on_its_value_model(tmp_path) -> None:
    problems = arithmetic("train", 6, operations=(2, 3))
    small = AlphaMathTraining(iterations=8, width=3, sampling=Sampling(temperature=1.0))
    first = rounds.search_round(
        "world:arithmetic", problems, out=tmp_path / "a", strategy=small, rows=mcts_nll.tree_rows, steps=1
    )
    assert first.scorer is None
    valued = {"strategy": small, "rows": alphamath.tree_rows, "value_weight": 0.1, "steps": 2}
    second = rounds.search_round(first.policy.model, problems, out=tmp_path / "b", **valued)
    assert isinstance(second.scorer, ValueScorer)
    third = rounds.search_round(
        second.policy.model, problems, out=tmp_path / "c", scorer=second.scorer, **valued
    )
    assert third.search.ledger.scorer.scored > second.search.ledger.scorer.scored == 0


def test_a_round_of_rest_mcts_trains_a_policy_and_a_reward_model(tmp_path) -> None:
    made = rounds.rest_mcts_round(
        "world:arithmetic",
        arithmetic("train", 3, operations=(2, 2)),
        WorldOracle(Question.VALUE),
        out=tmp_path,
        strategy=RestMcts(iterations=3, width=2, forward=1),
        reward_settings={"max_steps": 1},
        steps=1,
    )
    (judged,) = made.scorer.score([trace(RIGHT, ids=False)])
    assert judged.question is Question.VALUE
    TransformersPolicy.load(made.policy.model)


def test_rounds_stop_when_nothing_is_gained() -> None:
    values = {"start": 0.1, Path("m0"): 0.3, Path("m1"): 0.3, Path("m2"): 0.9}
    made = rounds.until_no_gain(lambda policy, k: Path(f"m{k}"), values.__getitem__, "start", most=9)
    assert made == [(Path("m0"), 0.3), (Path("m1"), 0.3)]


def test_dagger_makes_the_teachers_play_likelier_from_iteration_to_iteration(
    tiny_policy_dir, tmp_path
) -> None:
    problems = WORLDS["tictactoe"].problems("train", 2, played=(6, 6))
    results = rounds.dagger(
        tiny_policy_dir,
        Says(best, name="oracle"),
        problems,
        out=tmp_path,
        iterations=2,
        steps=20,
        lr=1e-2,
        batch=8,
        schedule="constant",
        most_turns=6,
    )
    assert results[1].rows > results[0].rows
    asked, told = [Request(p) for p in problems], ["".join(p.reference) for p in problems]
    before, after = (
        sum(sum(x.logprobs) for x in TransformersPolicy.load(path).likelihood(asked, told))
        for path in (tiny_policy_dir, results[1].model)
    )
    assert after > before / 4


# distillation


def test_tokens_are_read_as_they_were_sampled_and_the_writer_reads_its_own_log_probabilities(
    tiny_policy_dir,
) -> None:
    policy = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    traces = sample(policy, [PROBLEM], 3, sampling=Sampling(max_tokens=12))
    read = reading.read_logprobs(policy, [*traces, trace(RIGHT, ids=False)])
    assert read[3] is None
    for t, found in zip(traces, read, strict=False):
        assert found == pytest.approx(t.logprobs, abs=1e-4)
    reading.same_vocabulary(policy, policy)


def test_distillation_on_own_samples_moves_the_student_towards_the_teacher(tiny_policy_dir, tmp_path) -> None:
    from tests.tiny import save_tiny_policy

    student = TransformersPolicy.load(tiny_policy_dir, dtype="float32")
    teacher = TransformersPolicy.load(save_tiny_policy(tmp_path / "teacher", seed=1), dtype="float32")

    def gap(k: int) -> tuple[float, list[Row]]:
        traces = sample(student, [PROBLEM], 64, seed=k, sampling=Sampling(max_tokens=8))
        own, other = (reading.read_logprobs(p, traces) for p in (student, teacher))
        values, masks = uni_opd.token_advantages(other, own)
        return -sum(float(v.mean()) for v in values) / len(values), uni_opd.uni_rows(traces, values, masks)

    before, made = gap(0)
    for k in range(3):
        train_supervised(
            student, made, out=tmp_path / str(k), steps=1, batch=64, lr=1e-2, schedule="constant"
        )
        after, made = gap(k + 1)
    assert after < before * 0.95
    assert token_row(trace(("a\n",)), [0.0, 0.0, 0.0]).stream == "nll"
