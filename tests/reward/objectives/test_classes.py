"""Ratings -1, 0, 1: three classes, what neutral means, and nothing behind the first negative step.

Run: python -m pytest tests/reward/objectives/test_classes.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import InputError
from preceptor.judgement import Source
from preceptor.reward import train
from preceptor.reward.examples import Dropped, Labelled
from preceptor.reward.objectives import OBJECTIVES, lightman, rated
from preceptor.reward.objectives.classes import REDUNDANCY, VALIDITY
from preceptor.reward.scorer import PRM
from preceptor.reward.trainer import collate_batch
from preceptor.trace import Problem
from tests.reward.objectives.cases import FAST
from tests.reward.toy import ToyLabels, judged, toy_labels, trace_of

RATED = (1.0, 0.0, -1.0, 1.0, None)


def item(scores=RATED) -> Labelled:
    trace = trace_of(Problem("Sums?"), [f"1+1={k}\n" for k in range(len(scores))])
    return Labelled(trace, (1.0,) * len(scores), judged(trace, scores))


def rating(step: str) -> float:
    """Odd: wrong; 0 and 2: neutral; 4, 6, 8: right."""
    digit = int(step.strip()[-1])
    return -1.0 if digit % 2 else 0.0 if digit < 3 else 1.0


def targets(objective, rendering, scores=RATED):
    ((example,),) = objective.rows([item(scores)], rendering(objective), Dropped())
    return [y for (y,) in example.targets]


def test_classes_are_ratings_and_nothing_behind_the_first_negative_step_has_a_gradient(rendering):
    objective = OBJECTIVES["lightman"]
    assert targets(objective, rendering) == [2.0, 1.0, 0.0, None, None]
    batch = collate_batch([objective.rows([item()], rendering(objective), Dropped())])
    outputs = torch.randn(1, 5, 3, requires_grad=True)
    objective.loss(outputs, batch).backward()
    assert outputs.grad[0, 3:].abs().max() == 0
    assert (outputs.grad[0, :3].abs().sum(-1) > 0).all()


@pytest.mark.parametrize(("neutral", "expected"), [("positive", 1.0), ("negative", 0.0), ("ignored", None)])
def test_what_neutral_means_is_said_and_changes_the_labels(neutral, expected, rendering):
    assert targets(rated(neutral), rendering) == [1.0, expected, 0.0, None, None]


def test_labels_that_are_no_ratings_are_counted_and_an_unknown_option_is_refused(rendering):
    objective, dropped = OBJECTIVES["lightman"], Dropped()
    assert objective.rows([item((1.0, 0.5, 0.0))], rendering(objective), dropped) == []
    assert dropped.reasons == {"not-a-rating": 1}
    with pytest.raises(InputError, match="neutral"):
        rated("good")


def test_one_model_says_validity_and_redundancy(lm, tmp_path):
    plain = toy_labels(80)
    scores = [tuple(rating(s) for s in t.step_texts) for t in plain.traces]
    data = ToyLabels(plain.traces, [judged(t, s) for t, s in zip(plain.traces, scores)])
    prm = train(data, backbone=lm, out=tmp_path, objective="lightman", **FAST)
    fresh = toy_labels(20, seed=5).traces
    redundant = PRM(
        prm.model,
        prm.tokenizer,
        replace(prm.format, link=lightman(REDUNDANCY).link),
        Source.of("redundancy"),
    )
    truth = np.array([rating(s) for t in fresh for s in t.step_texts])
    valid, neutral = (
        np.array([x for j in scorer.score(fresh) for x in j.scores]) for scorer in (prm, redundant)
    )
    assert prm.format.link.weights == VALIDITY
    assert (neutral < valid).all()
    assert valid[truth >= 0].mean() - valid[truth < 0].mean() > 0.2
    assert neutral[truth == 0].mean() > neutral[truth != 0].mean() + 0.05
