"""DreamPRM: a domain of noise loses weight, weights average 1, frozen weights are uniform training.

Run: python -m pytest tests/reward/objectives/test_bilevel.py
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward import train
from preceptor.reward.bilevel import BilevelTrainer
from preceptor.reward.head import Linear
from preceptor.reward.model import build, load
from preceptor.reward.objectives import OBJECTIVES, dreamprm
from preceptor.trace import Problem
from tests.reward.objectives.cases import graded, labels
from tests.reward.toy import ToyLabels, judged, trace_of


def domains(n: int = 60, seed: int = 1) -> ToyLabels:
    """A third of the problems each: true labels, random labels, the meta set. A trace's steps are all good or
    all bad: only then does the mean of right step logits say the outcome, which the meta loss compares."""
    rng = random.Random(seed)
    traces, judgements = [], []
    for p in range(n):
        world = ("true", "random", "meta")[p % 3]
        problem = Problem(f"Sums {p}?", id=f"p{p}", world=world)
        for k in range(4):
            right = rng.random() < 0.5
            tens = [rng.randint(1, 9) for _ in range(rng.randint(1, 3))]
            lines = [
                f"{rng.randint(1, 9)}+{rng.randint(1, 9)}={t}{2 * rng.randint(0, 4) + (not right)}\n"
                for t in tens
            ]
            trace = graded(replace(trace_of(problem, lines), draw=k), right)
            scores = tuple(float(rng.random() < 0.5 if world == "random" else right) for _ in lines)
            traces.append(trace)
            judgements.append(judged(trace, scores))
    return ToyLabels(traces, judgements)


def is_meta(item) -> bool:
    return item.trace.problem.world == "meta"


FAST = {"epochs": 5, "lr": 3e-3, "batch_rows": 16, "held_out": 0.1}


def test_a_domain_with_random_labels_ends_below_one_and_weights_average_one(lm, tmp_path, monkeypatch):
    loops = []
    report = BilevelTrainer.report
    monkeypatch.setattr(BilevelTrainer, "report", lambda self: loops.append(self) or report(self))
    objective = dreamprm(meta=is_meta, weights_lr=0.1, unroll=2)
    train(domains(120), backbone=lm, out=tmp_path, objective=objective, **{**FAST, "epochs": 6})
    found = json.loads((tmp_path / "training.json").read_text())["domain_weights"]
    assert set(found) == {"true", "random"}
    assert found["random"] < 0.9 < 1.1 < found["true"]
    (loop,) = loops
    assert len(loop.history) > 15
    np.testing.assert_allclose(np.mean(loop.history, axis=1), 1.0, atol=1e-6)
    assert loop.history[0] == [1.0, 1.0]


def test_frozen_weights_reproduce_uniform_training(lm, tmp_path):
    """The same rows through the ordinary loop; and weights that move do change the model."""
    data = domains(15)
    quick = {**FAST, "epochs": 1.5}

    def final(name, objective):
        return train(data, backbone=lm, out=tmp_path / name, objective=objective, **quick).score(
            data.traces[:20]
        )

    frozen = dreamprm(meta=is_meta, weights_lr=0.0, head=Linear(1))
    lower = replace(
        frozen, trainer=None, rows=lambda *a: [g for g in frozen.rows(*a) if not g[0].extra["meta"]]
    )
    moving = dreamprm(meta=is_meta, weights_lr=0.5, unroll=1, head=Linear(1))
    for one, two, other in zip(final("a", frozen), final("b", lower), final("c", moving)):
        assert one.scores == pytest.approx(two.scores, abs=1e-6)
        assert one.scores != pytest.approx(other.scores, abs=1e-4)


def test_the_head_reads_all_logits_and_comes_back_from_disk(lm, tmp_path):
    from transformers import AutoModelForCausalLM

    objective = OBJECTIVES["dreamprm"]
    model, tokenizer, fmt = build(lm, question=Question.VALUE, head=objective.head, link=objective.link)
    model.save(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    opened, _ = load(tmp_path, fmt)
    ids = torch.tensor([[5, 9, 31, 40]])
    logits = AutoModelForCausalLM.from_pretrained(lm)(input_ids=ids).logits[0, -1]
    expected = model.head.linear(logits)
    found = opened(ids, torch.tensor([[3]]))[0, 0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_meta_set_is_problems_of_its_own_and_must_have_outcomes(lm, rendering, tmp_path):
    from preceptor.reward.examples import Dropped
    from tests.reward.objectives.cases import items

    objective = dreamprm(meta=0.3)
    some = items(labels(40))
    groups = objective.rows(some, rendering(objective), Dropped())
    sides: dict[tuple[int, ...], set[float]] = {}
    for (example,) in groups:
        sides.setdefault(example.row.token_ids[: example.row.begins[0]], set()).add(example.extra["meta"])
    assert {len(s) for s in sides.values()} == {1}
    share = sum(1.0 in s for s in sides.values()) / len(sides)
    assert 0.1 < share < 0.5
    plain = labels(6)
    ungraded = ToyLabels([replace(t, grade=None) for t in plain.traces], plain.judgements)
    with pytest.raises(InputError, match="meta"):
        train(ungraded, backbone=lm, out=tmp_path, objective="dreamprm", **FAST)
