"""Specifies the shipped models: small, opened by name, as good and as fallible as their cards say.

Run: python -m pytest tests/policy/test_shipped.py
"""

from __future__ import annotations

import json

import pytest

from preceptor.annotate import StepConfidence
from preceptor.bench.discrimination import auroc
from preceptor.generation import Sampling
from preceptor.policy import load_policy, sample
from preceptor.policy.load import WORLD_POLICIES
from preceptor.reward.likelihood import Uncertainty
from preceptor.search import BestOfN, Majority, solve
from preceptor.worlds import WORLDS

LIMIT = {"arithmetic": 2, "game24": 2, "arithmetic-judge": 4, "arithmetic-solver": 2, "game24-judge": 4}
"""Megabytes."""


@pytest.mark.parametrize("name", sorted(WORLD_POLICIES))
def test_a_shipped_model_is_small_and_has_a_card_with_its_figures(name):
    home = WORLD_POLICIES[name]
    assert sum(p.stat().st_size for p in home.iterdir()) <= LIMIT[name] * 1e6
    card, figures = (home / "README.md").read_text(), json.loads((home / "figures.json").read_text())
    assert f"{figures['parameters']:,} parameters" in card
    assert f"{figures['training_steps']:,} steps" in card


@pytest.fixture(scope="module")
def played():
    problems = WORLDS["game24"].problems("test", 60)
    return sample(load_policy("world:game24", device="cpu"), problems, samples=4)


def test_the_player_of_24_is_right_about_as_often_as_its_card_says(played):
    figures = json.loads((WORLD_POLICIES["game24"] / "figures.json").read_text())
    stated = float(figures["mean_at_1"].split()[0])
    assert 0.25 < stated < 0.6
    assert sum(t.grade.correct for t in played) / len(played) == pytest.approx(stated, abs=0.15)


def test_its_sums_are_right_nearly_always_and_its_moves_are_not(played):
    truths = [WORLDS["game24"].judge(t.problem, t.step_texts) for t in played]
    moves = [truth for own in truths for truth in own if truth.kind != "wrong answer"]
    assert sum(t.kind == "ok" for t in moves) / len(moves) > 0.93
    assert 0.3 < sum(own[0].reachable for own in truths) / len(truths) < 0.95  # random play: 0.24


def test_its_confidence_tells_moves_that_keep_24_reachable(played):
    scores, good = [], []
    for trace, judged in zip(played, StepConfidence().score(played)):
        for truth, score in zip(WORLDS["game24"].judge(trace.problem, trace.step_texts), judged.scores):
            scores.append(score)
            good.append(truth.reachable)
            if not truth.reachable:
                break
    assert 0.6 < auroc(scores, good) < 0.97


def test_the_same_seed_writes_the_same_and_greedy_is_one_answer():
    problems, policy = WORLDS["game24"].problems("test", 3), load_policy("world:game24", device="cpu")
    first, again = (sample(policy, problems, samples=3, seed=5) for _ in range(2))
    assert [t.text for t in first] == [t.text for t in again]
    assert len({t.text for t in first[:3]}) > 1
    greedy = sample(policy, problems, samples=3, sampling=Sampling(temperature=0.0))
    assert len({t.text for t in greedy}) == 3


def test_the_solver_is_a_verifier_that_helps_the_policy():
    problems, policy = WORLDS["arithmetic"].problems("dev", 40), load_policy("world:arithmetic", device="cpu")
    verifier = Uncertainty(load_policy("world:arithmetic-solver", device="cpu"), "min_logprob")
    best = solve(policy, problems, BestOfN(12, aggregate="min"), verifier)
    votes = solve(policy, problems, Majority(12))
    assert best.correct >= votes.correct + 4
