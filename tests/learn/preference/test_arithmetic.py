"""Specifies the whole way on the arithmetic world with the shipped policy: sample, judge, build, train."""

from __future__ import annotations

from preceptor.annotate import MonteCarlo, WorldOracle
from preceptor.generation import Sampling
from preceptor.learn.preference import step_dpo_pairs, step_kto_attempts, train_preference, traj_dpo_pairs
from preceptor.policy import load_policy, sample
from preceptor.worlds import WORLDS


def test_step_pairs_of_the_oracles_first_errors_train_the_shipped_policy(tmp_path) -> None:
    policy = load_policy("world:arithmetic", dtype="float32")
    problems = WORLDS["arithmetic"].problems("train", 14)
    traces = sample(policy, problems, 4, 0, Sampling(max_tokens=128))
    judgements = WorldOracle().score(traces)
    built = step_dpo_pairs(traces, judgements, MonteCarlo(policy, 4, Sampling(max_tokens=128)), per_state=1)
    end = policy.tokenizer.eos_token_id
    assert len(built) >= 5
    for pair in built.records:
        assert pair.prefix.ids is not None
        assert pair.chosen.text.endswith("\n")
        partial = [side for side in (pair.chosen, pair.rejected) if not side.text.startswith("Answer")]
        assert all(end not in side.ids for side in partial)
    result = train_preference(policy, built.records, out=tmp_path, beta=0.4, lr=1e-4, batch=8, steps=3)
    assert result.encoded == 0
    assert result.steps == 3
    assert len(traj_dpo_pairs(traces, judgements)) > 0
    assert len(step_kto_attempts(traces, judgements)) == len(traces)
