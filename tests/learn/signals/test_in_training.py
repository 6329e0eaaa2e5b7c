"""Producers inside the trainer: the advantages of a batch are those of the method on what the producer gives."""

from __future__ import annotations

import pytest

from preceptor.credit import METHODS, compute
from preceptor.learn.signals import producer
from tests.learn.toys import trainer

pytest.importorskip("trl")


@pytest.mark.parametrize("method", ["igpo", "rlpr", "rlfr", "siop_mass"])
def test_a_batch_is_credited_by_what_is_produced(method, tiny_policy_dir):
    made, inputs = trainer(tiny_policy_dir, method)
    made.scorer = producer(method, made.source.policy)
    found = made._generate_and_score_completions([dict(x) for x in inputs])["advantages"]
    expected = compute(made.last_rollouts, made.last_signals, METHODS[method])
    for row, own in zip(found, expected.advantages, strict=True):
        assert row[: len(own)].tolist() == pytest.approx(own.tolist(), abs=1e-6)
    assert made.scored.scored > 0


def test_a_flow_model_learns_from_the_right_rollouts_of_each_batch(tiny_policy_dir):
    made, inputs = trainer(tiny_policy_dir, "rlfr", generations=8)
    made.scorer = producer("rlfr", made.source.policy)
    made._generate_and_score_completions([dict(x) for x in inputs])
    right = sum(r.outcome == 1.0 for r in made.last_rollouts)
    assert right
    assert made.last_update["learned_from"] == right
    before = made.scored.scored
    made._generate_and_score_completions([dict(x) for x in inputs])
    read = sum(len(t.token_ids) for t in made.last_traces)
    assert made.scored.scored - before > read  # the update's passes are paid for too
