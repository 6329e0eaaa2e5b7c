"""Targets, links and losses: absent labels have no influence, two heads agree, closed forms hold."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from preceptor.judgement import Question
from preceptor.reward.link import LINKS
from preceptor.reward.losses import bce, ce
from preceptor.reward.readout import collate, token_batches
from preceptor.reward.render import Row
from preceptor.reward.targets import TargetConfig, step_targets
from preceptor.trace import Problem
from tests.reward.toy import judged, trace_of

TRACE = trace_of(Problem("p"), ["a\n", "b\n", "c\n", "d\n"])


@pytest.mark.parametrize(
    "config, scores, expected",
    [
        (TargetConfig(), (0.9, None, 0.2, 0.7), (0.9, None, 0.2, 0.7)),
        (TargetConfig("hard"), (0.9, None, 0.2, 0.7), (1.0, None, 0.0, 1.0)),
        (TargetConfig("hard", threshold=0.75), (0.9, 0.75, 0.7, 1.0), (1.0, 1.0, 0.0, 1.0)),
        (TargetConfig("soft", after_error="mask"), (0.9, None, 0.2, 0.7), (0.9, None, 0.2, None)),
        (TargetConfig("hard", after_error="wrong"), (0.9, 0.1, None, 0.7), (1.0, 0.0, 0.0, 0.0)),
        (TargetConfig("hard", after_error="mask"), (0.9, 0.8, 0.6, 0.7), (1.0, 1.0, 1.0, 1.0)),
    ],
)
def test_targets_of_a_judgement(config, scores, expected):
    assert step_targets(judged(TRACE, scores), config) == expected


def test_soft_targets_are_the_success_rates_behind_hard_labels():
    judgement = judged(TRACE, (1.0, 0.0, 1.0, None), counts=((3, 4), (0, 0), None, (1, 2)))
    assert step_targets(judgement, TargetConfig()) == (0.75, 0.0, 1.0, 0.5)


def test_a_soft_score_is_not_replaced_by_the_few_rollouts_behind_it():
    """A posterior of 0.9 after one unlucky rollout is 0.9, and progress is no success rate."""
    judgement = judged(TRACE, (0.9, 0.4, 0.2, 0.1), counts=((0, 1), (1, 1), None, None))
    assert step_targets(judgement, TargetConfig()) == (0.9, 0.4, 0.2, 0.1)
    progress = replace(judged(TRACE, (1.0, 0.0, 1.0, 0.0), counts=((3, 4),) * 4), question=Question.PROGRESS)
    assert step_targets(progress, TargetConfig()) == (1.0, 0.0, 1.0, 0.0)


def test_a_soft_target_outside_the_unit_interval_is_refused():
    with pytest.raises(ValueError, match="step 1"):
        step_targets(judged(TRACE, (0.5, -0.3, 0.5, 0.5)), TargetConfig())


def test_a_step_without_label_is_never_good_and_has_no_gradient():
    """The bug this guards against: -100 stored in a bool column reads as True, "correct"."""
    rows = [Row((1, 2, 3, 4), (1, 3), (0, 1)), Row((1, 2), (1,), (0,))]
    batch = collate(rows, [[(None,), (0.0,)], [(None,)]])
    assert batch["mask"].dtype == torch.bool
    assert batch["mask"].squeeze(-1).tolist() == [[False, True], [False, False]]
    assert batch["targets"].squeeze(-1).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    for width, loss in ((2, ce), (1, bce)):
        logits = torch.randn(2, 2, width, requires_grad=True)
        loss(logits, batch["targets"], batch["mask"]).backward()
        assert logits.grad is not None
        assert logits.grad[~batch["mask"].squeeze(-1)].abs().max() == 0
        assert logits.grad[0, 1].abs().max() > 0


def test_a_two_class_softmax_is_the_sigmoid_of_the_logit_difference():
    two = torch.randn(3, 5, 2)
    one = two[..., 1:] - two[..., :1]
    torch.testing.assert_close(LINKS["softmax"].score(two), LINKS["sigmoid"].score(one))
    targets, mask = torch.rand(3, 5, 1), torch.rand(3, 5, 1) < 0.7
    torch.testing.assert_close(ce(two, targets, mask), bce(one, targets, mask))


def test_scores_of_bfloat16_logits_are_computed_in_full_precision():
    logits = torch.tensor([[0.0, 8.0], [0.0, 8.5]], dtype=torch.bfloat16)
    scores = LINKS["softmax"].score(logits)
    assert scores.dtype == torch.float32
    assert scores[0] != scores[1]


def test_batches_hold_every_row_once_within_the_budget():
    lengths = [7, 3, 50, 3, 8, 1, 1, 1]
    batches = token_batches(lengths, max_tokens=20, max_rows=3)
    assert sorted(i for b in batches for i in b) == list(range(8))
    for batch in batches:
        assert len(batch) <= 3
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 20
