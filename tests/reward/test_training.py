"""Training: it learns a rule that a misplaced readout cannot see, and serving repeats the trained scores."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from preceptor.errors import CheckFailed, InputError, ItemError, ModelError
from preceptor.judgement import Judgement, Question
from preceptor.reward import PRM, parity, train
from preceptor.reward.examples import Labelled, split
from preceptor.reward.metrics import auroc, first_error_f1, step_metrics
from preceptor.reward.model import build
from preceptor.reward.render import Rendered, Renderer, Row
from preceptor.trace import Problem
from tests.reward.toy import SOURCE, ToyLabels, backbone, judged, toy_labels, trace_of
from tests.tiny import tiny_tokenizer

FAST = {"epochs": 6, "lr": 3e-3, "batch_rows": 16, "held_out": 0.2}


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return backbone(tmp_path_factory.mktemp("lm"), hidden=64)


@pytest.fixture(scope="module")
def trained(lm, tmp_path_factory):
    """(reward model, its directory, its report)"""
    out = tmp_path_factory.mktemp("out")
    prm = train(toy_labels(100), backbone=lm, out=out, **FAST)
    return prm, out, json.loads((out / "training.json").read_text())


class Shifted(Renderer):
    """Reads one token too early: the classic off-by-one."""

    def __call__(self, trace):
        rendered = super().__call__(trace)
        rows = tuple(Row(r.token_ids, tuple(p - 1 for p in r.positions), r.steps) for r in rendered.rows)
        return Rendered(rows, rendered.flags, rendered.error)


class AtPreviousSeparator(Renderer):
    """Reads step t where step t - 1 ends."""

    def __call__(self, trace):
        rows = []
        for r in super().__call__(trace).rows:
            rows.append(Row(r.token_ids, (r.positions[0] - 5, *r.positions[:-1]), r.steps))
        return Rendered(tuple(rows))


def test_a_rule_on_the_last_token_is_learned_and_holds_on_new_problems(trained):
    prm, _, report = trained
    assert report["held_out"]["auroc"] > 0.95
    assert report["held_out"]["accuracy"] > 0.9
    assert report["held_out"]["first_error_f1"] > 0.8
    fresh = toy_labels(20, seed=99)
    scores = prm.score(fresh.traces)
    figures = step_metrics([j.scores for j in scores], [j.scores for j in fresh.judgements])
    assert figures["auroc"] > 0.95


def test_a_readout_at_the_previous_separator_cannot_learn_the_rule(lm, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.reward.training.Renderer", AtPreviousSeparator)
    monkeypatch.setattr("preceptor.reward.render.Renderer", AtPreviousSeparator)
    train(toy_labels(60), backbone=lm, out=tmp_path, **{**FAST, "epochs": 3})
    assert json.loads((tmp_path / "training.json").read_text())["held_out"]["auroc"] < 0.7


def test_the_report_says_what_was_done(trained):
    _, _, report = trained
    assert report["parity"]["max_difference"] <= 1e-5
    assert report["problems"] == {"train": 80, "held_out": 20}
    assert report["rows"] == 320
    assert report["loss"][0][1] > report["loss"][-1][1]
    assert report["config"]["lr"] == 3e-3
    assert report["question"] == "validity"
    assert report["seconds"] > 0


def test_the_directory_is_an_ordinary_token_classification_model(trained):
    prm, out, _ = trained
    model = AutoModelForTokenClassification.from_pretrained(out)
    assert model.config.num_labels == 2
    assert model.config.id2label[1] == "good"
    step = AutoTokenizer.from_pretrained(out).convert_tokens_to_ids("<|step|>")
    assert model.config.preceptor["layout"]["ids"] == [step]
    row = prm.render(trace_of(Problem("p"), ["1+1=2\n"])).rows[0]
    with torch.inference_mode():
        theirs = model(torch.tensor([row.token_ids])).logits[0, row.positions[0]].softmax(-1)[1].item()
    assert prm.score_rows([row])[0][0] == pytest.approx(theirs, abs=1e-6)
    assert not [p.name for p in out.iterdir() if p.name.startswith(("checkpoint", "training_args", "runs"))]
    assert PRM.load(out).source == prm.source


def test_a_shifted_readout_on_the_serving_side_fails_the_run(lm, tmp_path, monkeypatch):
    monkeypatch.setattr("preceptor.reward.render.Renderer", Shifted)
    with pytest.raises(CheckFailed, match="parity"):
        train(toy_labels(20), backbone=lm, out=tmp_path, **{**FAST, "epochs": 2})
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["parity"]["max_difference"] > parity.TOLERANCE


def test_weights_that_were_not_saved_fail_the_parity_check(trained):
    prm, out, _ = trained
    other = PRM.load(out)
    with torch.no_grad():
        other.model.head.weight.mul_(0.9)
    traces = toy_labels(5).traces
    assert parity.max_difference(traces, prm.render, prm.score_rows, prm.score(traces)) == 0
    with pytest.raises(CheckFailed):
        parity.check(parity.max_difference(traces, prm.render, prm.score_rows, other.score(traces)))


def test_a_score_that_only_one_side_has_is_an_infinite_difference(trained):
    prm, out, _ = trained
    short = PRM.load(out)
    short.render.max_length = 12
    traces = [trace_of(Problem("p"), ["1+1=2\n", "1234567890123456789\n"])]
    assert parity.max_difference(traces, prm.render, prm.score_rows, short.score(traces)) == math.inf


def test_the_same_seed_gives_the_same_model_and_another_seed_another(lm, tmp_path):
    labels, quick = toy_labels(10), {**FAST, "epochs": 1}
    first = train(labels, backbone=lm, out=tmp_path / "a", **quick)
    again = train(labels, backbone=lm, out=tmp_path / "b", **quick)
    other = train(labels, backbone=lm, out=tmp_path / "c", seed=7, **quick)
    assert first.source == again.source != other.source


def test_a_live_policy_is_copied_and_not_changed(lm, tmp_path):
    @dataclass
    class Live:
        model: object
        tokenizer: object

    live = Live(AutoModelForCausalLM.from_pretrained(lm), AutoTokenizer.from_pretrained(lm))
    before = {k: v.clone() for k, v in live.model.state_dict().items()}
    train(toy_labels(10), backbone=live, out=tmp_path, **{**FAST, "epochs": 1})
    assert all(torch.equal(v, before[k]) for k, v in live.model.state_dict().items())
    copied, _, _ = build(live, question=Question.VALIDITY, separator="<|new|>")
    opened, _, _ = build(lm, question=Question.VALIDITY)
    body = copied.body.state_dict()
    assert len(live.tokenizer) == len(tiny_tokenizer()) == len(body["embed_tokens.weight"]) - 1
    for name, weights in opened.body.state_dict().items():
        assert torch.equal(weights, body[name][: len(weights)])


@pytest.mark.parametrize("objective", ["hard-bce", "soft-bce"])
def test_other_links_and_labels_learn_too(lm, tmp_path, objective):
    train(toy_labels(60), backbone=lm, out=tmp_path, objective=objective, **FAST)
    assert json.loads((tmp_path / "training.json").read_text())["held_out"]["auroc"] > 0.8


def test_mixed_precision_training_serves_what_it_trained(lm, tmp_path):
    """Autocast rounds the scores in memory to three digits; what is compared is the model, not the rounding."""
    train(toy_labels(40), backbone=lm, out=tmp_path, bf16=True, **{**FAST, "epochs": 3})
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["parity"]["max_difference"] <= 1e-5
    assert report["loss"][0][1] > report["loss"][-1][1]


def test_the_shipped_policy_is_a_backbone_by_its_name(tmp_path):
    prm = train(toy_labels(4), backbone="world:arithmetic", out=tmp_path, epochs=1, lr=1e-3)
    assert prm.model.body.config.num_hidden_layers == 4


def test_soft_labels_are_fitted_as_probabilities(lm, tmp_path):
    labels = toy_labels(100)
    soft = [
        judged(t, tuple(0.3 + 0.4 * s for s in j.scores)) for t, j in zip(labels.traces, labels.judgements)
    ]
    prm = train(ToyLabels(labels.traces, soft), backbone=lm, out=tmp_path, **FAST)
    scores = [s for j in prm.score(labels.traces) for s in j.scores]
    for target in (0.3, 0.7):
        mine = [s for s, y in zip(scores, [y for j in soft for y in j.scores]) if y == target]
        assert sum(mine) / len(mine) == pytest.approx(target, abs=0.1)
    assert max(scores) < 0.9


def test_a_missing_separator_is_added_and_the_embeddings_grow(lm, tmp_path):
    prm = train(toy_labels(10), backbone=lm, out=tmp_path, separator="<|judge|>", **{**FAST, "epochs": 1})
    old = len(tiny_tokenizer())
    assert prm.format.layout.ids == (old,)
    assert prm.model.body.get_input_embeddings().num_embeddings == old + 1
    assert "<|step|>" in prm.tokenizer.all_special_tokens
    assert PRM.load(tmp_path).score(toy_labels(2).traces)[0].error is None


def test_an_ordinary_separator_trains_and_serves_alike(lm, tmp_path):
    prm = train(toy_labels(10), backbone=lm, out=tmp_path, separator="\n", **{**FAST, "epochs": 1})
    assert prm.tokenizer.convert_ids_to_tokens(prm.format.layout.ids[0]) == "Ċ"


def test_unusable_labels_are_counted_by_reason(lm, tmp_path):
    labels = toy_labels(10)
    first, second, third, fourth, *rest = labels.judgements
    spoiled = [
        judged(labels.traces[0], (None,) * len(first.scores)),
        Judgement(second.trace, Question.VALIDITY, SOURCE, None, error=ItemError("timeout", "late")),
        judged(labels.traces[2], (*third.scores, 1.0)),
        judged(labels.traces[3], tuple(7.0 for _ in fourth.scores)),
        judged(trace_of(Problem("elsewhere"), ["1+1=2\n"]), (1.0,)),
    ]
    train(ToyLabels(labels.traces, [*spoiled, *rest]), backbone=lm, out=tmp_path, **{**FAST, "epochs": 1})
    report = json.loads((tmp_path / "training.json").read_text())
    assert report["dropped"] == {
        "no-labelled-step": 1,
        "no-trace": 1,
        "target-not-a-probability": 1,
        "timeout": 1,
        "wrong-number-of-scores": 1,
    }


def test_labels_of_two_questions_are_refused(lm, tmp_path):
    labels = toy_labels(4)
    mixed = [judged(labels.traces[0], labels.judgements[0].scores, question=Question.VALUE)]
    with pytest.raises(InputError, match="one question"):
        train(ToyLabels(labels.traces, labels.judgements[1:] + mixed), backbone=lm, out=tmp_path)


def test_nothing_to_learn_from_is_an_input_error_with_the_counts(lm, tmp_path):
    trace = trace_of(Problem("p"), ["1+1=2\n"])
    with pytest.raises(InputError, match="no-labelled-step"):
        train(ToyLabels([trace], [judged(trace, (None,))]), backbone=lm, out=tmp_path)


def test_a_backbone_without_tokenizer_or_weights_is_a_model_error(lm, tmp_path):
    bare = tmp_path / "bare"
    AutoModelForCausalLM.from_pretrained(lm).save_pretrained(bare)
    with pytest.raises(ModelError, match="tokenizer"):
        train(toy_labels(4), backbone=bare, out=tmp_path / "out")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).write_bytes((lm / name).read_bytes())
    (bare / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        train(toy_labels(4), backbone=bare, out=tmp_path / "out")


def test_no_problem_stands_on_both_sides_of_the_split():
    labels = toy_labels(50)
    twin = trace_of(Problem(labels.traces[0].problem.prompt, id="another id"), ["1+1=2\n"])
    items = [
        Labelled(t, (1.0,) * len(t.steps), judged(t, (1.0,) * len(t.steps))) for t in [*labels.traces, twin]
    ]
    train_side, held_out = split(items, 0.3, seed=3)
    assert len(train_side) + len(held_out) == len(items)
    prompts = [{i.trace.problem.prompt for i in side} for side in (train_side, held_out)]
    assert not prompts[0] & prompts[1]
    assert len(prompts[1]) == 15
    assert split(items[::-1], 0.3, seed=3)[1] == held_out[::-1]
    assert split(items, 0.0, seed=3)[1] == []


TWO_PROCESSES = """
import json, os, sys
from preceptor.reward import train
from tests.reward.toy import toy_labels

prm = train(toy_labels(30), backbone=sys.argv[1], out=sys.argv[2], epochs=2, lr=3e-3)
weights = float(sum(p.double().sum() for p in prm.model.parameters()))
with open(f"{sys.argv[2]}/rank{os.environ['RANK']}.json", "w") as file:
    json.dump([weights, str(prm.source)], file)
"""


def test_two_processes_train_one_model(lm, tmp_path):
    """What `accelerate launch` and `torchrun` set up: the batches are shared out, the model is one."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    (tmp_path / "run.py").write_text(TWO_PROCESSES)
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
        + ["--rdzv_backend", "c10d", "--rdzv_endpoint", "localhost:0"]
        + [str(tmp_path / "run.py"), str(lm), str(tmp_path / "out")],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    report = json.loads((tmp_path / "out" / "training.json").read_text())
    assert report["parity"]["max_difference"] <= 1e-5
    ranks = [json.loads((tmp_path / "out" / f"rank{r}.json").read_text()) for r in range(2)]
    assert ranks[0] == ranks[1]
    alone = train(toy_labels(30), backbone=lm, out=tmp_path / "alone", epochs=2, lr=3e-3)
    assert str(alone.source) != ranks[0][1]  # half as many updates, each of twice the rows


def test_progress_is_told_to_the_end(lm, tmp_path):
    seen = []
    train(
        toy_labels(20),
        backbone=lm,
        out=tmp_path,
        progress=lambda done, total, note="": seen.append((done, total)),
        **{**FAST, "epochs": 1},
    )
    assert [d for d, _ in seen] == list(range(1, seen[-1][1] + 1))


def test_auroc_and_first_error_f1_in_closed_form():
    import numpy as np

    scores, good = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    pairs = [(a, b) for a in scores[good] for b in scores[~good]]
    assert auroc(scores, good) == sum((a > b) + 0.5 * (a == b) for a, b in pairs) / 4
    assert auroc(scores, np.ones(4, dtype=bool)) is None
    assert first_error_f1([1, 0, -1, 2, None], [1, 1, -1, -1, None]) == pytest.approx(0.5)
    assert first_error_f1([-1], [-1]) is None
