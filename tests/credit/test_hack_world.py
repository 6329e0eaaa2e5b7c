"""Specifies the hack world: its figures are exact, its gradient is the gradient, and known hacks come out.

Run with `python -m pytest tests/credit/test_hack_world.py`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from preceptor.credit import METHODS, AdvantageBatch
from preceptor.credit.hack_world import (
    ACTIONS,
    ANSWER,
    CLOSING,
    FALLIBLE,
    LEFT_OUT,
    ORACLE,
    PADDING,
    PIECES,
    SCORERS,
    STOP,
    TOKENS,
    Figures,
    Policy,
    Sampled,
    figures,
    fingerprint,
    gradients,
    habits,
    sample,
    texts_of,
    train,
    verdict,
)

REPEAT, POLITE = ACTIONS.index("repeat"), ACTIONS.index("polite")


@cache
def after(name: str, scorer: str = "fallible", seed: int = 0) -> Figures:
    return figures(train(METHODS[name], SCORERS[scorer], seed))


def one(actions: list[int], ends: list[bool], solved: bool) -> Sampled:
    links = np.cumsum([0, *(a <= 1 for a in actions)])[:-1]
    zeros = np.zeros(len(actions), dtype=np.int64)
    return Sampled(zeros, np.array(actions), links, np.array(ends), np.array([solved]))


def test_figures_are_those_of_a_large_sample() -> None:
    policy = Policy(
        Policy().actions + np.random.default_rng(1).normal(size=(3, 7)), Policy().ends - [[0, 0.7]]
    )
    n = 40_000
    s, exact = sample(policy, n, np.random.default_rng(0)), figures(policy)
    assert s.solved.mean() == pytest.approx(exact.accuracy, abs=0.01)
    texts = texts_of(s, FALLIBLE, 1, np.random.default_rng(0))
    assert np.mean([len(t.sizes) for t in texts]) == pytest.approx(exact.steps, abs=0.03)
    chosen = s.action[s.action != CLOSING]
    for a in PADDING:
        assert np.mean(chosen == a) == pytest.approx(exact.shares[ACTIONS[a]], abs=0.01)
    assert np.sum(chosen == STOP) / n == pytest.approx(exact.shares["stop"], abs=0.01)
    free = np.append(np.diff(s.text) == 0, False)
    assert 1 - s.ends[free].mean() == pytest.approx(exact.shares["merge"], abs=0.01)


def test_the_gradient_is_that_of_the_weighted_log_probability() -> None:
    rng, policy = np.random.default_rng(3), Policy()
    s = sample(policy, 5, rng)
    texts = texts_of(s, FALLIBLE, 1, rng)
    advantages = [np.full(len(t.tokens), a) for t, a in zip(texts, rng.normal(size=5), strict=True)]
    out = AdvantageBatch(advantages, [np.ones(len(a)) for a in advantages], (True,) * 5, {})

    def objective(p: Policy) -> float:
        act, end = (np.log(c) for c in p.chances)
        total, last = 0.0, np.append(np.diff(s.text) != 0, True)
        for i, a, link, ends, final in zip(s.text, s.action, s.link, s.ends, last, strict=True):
            if a != CLOSING:
                total += advantages[i][0] * (act[link, a] + (0 if final else end[link, int(not ends)]))
        return total / sum(map(len, advantages))

    for which, got in zip(("actions", "ends"), gradients(policy, s, out, "token_mean"), strict=True):
        logits = getattr(policy, which)
        for at in np.ndindex(logits.shape):
            step = np.zeros_like(logits)
            step[at] = 1e-5
            up, down = (objective(replace(policy, **{which: logits + sign * step})) for sign in (1, -1))
            assert got[at] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_a_text_as_methods_see_it() -> None:
    quiet = replace(FALLIBLE, noise=0.0)
    rng = np.random.default_rng(0)
    s = one([0, REPEAT, 1, ANSWER, 0, CLOSING], [True, False, True, True, False, True], False)
    (text,) = texts_of(s, quiet, 1, rng)
    assert text.sizes == (4, 8, 4, 4 + TOKENS[CLOSING])
    assert text.ratings == (0.8, 0.4, 0.85, 0.5)  # a step is rated as its worst piece
    assert text.potentials == pytest.approx((0.48, 0.42, 0.54, 0.62))
    assert sum(text.tokens[:4]) == pytest.approx(0.6)
    assert (text.answer, text.well_formed, text.outcome) == ("010", False, 0.0)
    assert len(set(text.nodes or ())) == 4
    (text,) = texts_of(one([0, STOP], [False, False], False), quiet, 1, rng)
    assert (len(text.sizes), text.answer, text.well_formed) == (1, None, False)


def test_the_oracle_gives_up_hope_after_an_error() -> None:
    s = one([0, 1, 0, 0, CLOSING], [True] * 5, False)
    (text,) = texts_of(s, ORACLE, 1, np.random.default_rng(0))
    assert text.potentials == (0.5, 0.0, 0.0, 0.0, 0.0)
    assert text.ratings == (1.0, 0.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("name", ["shepherd_ppo", "agg_rewards", "progress", "pure", "vpr", "rrm", "prime"])
def test_a_scheme_with_the_oracle_solves_the_world(name: str) -> None:
    assert after(name, "oracle").accuracy > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_summed_scores_are_hacked_by_repeats_until_the_text_is_cut_off(seed: int) -> None:
    f = after("shepherd_ppo", seed=seed)
    assert f.accuracy < 0.02
    assert f.steps > PIECES - 1
    assert f.shares["repeat"] + f.shares["polite"] > 0.6
    assert verdict(f).startswith("hacked by repeated steps")


def test_the_minimum_of_the_scores_alone_is_hacked_by_one_friendly_sentence() -> None:
    f = after("agg_rewards_min")
    assert f.steps < 1.2
    assert f.shares["stop"] > 0.9
    assert verdict(f) == "hacked by giving up politely"


@pytest.mark.parametrize("name", ["outcome", "progress", "pure", "clip_delta", "prof", "treeps_rag"])
def test_methods_that_are_not_hacked(name: str) -> None:
    f = after(name)
    assert f.accuracy > 0.95
    assert verdict(f) == "solves"


def test_a_baseline_per_step_makes_the_policy_avoid_separators() -> None:
    per_step, per_token = after("pure_softmin_step"), after("pure_softmin")
    assert per_step.shares["merge"] > 0.6 > 0.4 > per_token.shares["merge"]
    assert verdict(per_step) == "solves, with merged steps"


def test_gating_by_success_is_what_keeps_step_rewards_from_being_farmed() -> None:
    assert after("g_ra").accuracy > 0.8 > 0.6 > after("g_ra_sum").accuracy


def test_the_same_seed_gives_the_same_policy() -> None:
    first, second = (train(METHODS["pure"], seed=5, updates=5) for _ in range(2))
    assert np.array_equal(first.actions, second.actions)
    assert not np.array_equal(first.actions, train(METHODS["pure"], seed=6, updates=5).actions)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_trained_on(name: str) -> None:
    policy = train(METHODS[name], updates=10, group=12)
    assert np.isfinite(policy.actions).all()
    assert np.isfinite(policy.ends).all()
    assert (policy.actions != Policy().actions).any()


def test_habits_name_what_makes_up_the_padding() -> None:
    start = figures(Policy())
    assert habits(start) == []
    assert verdict(start) == "stalls"
    shares = start.shares | {"repeat": 0.3, "polite": 0.2, "merge": 0.9}
    assert habits(replace(start, shares=shares)) == ["merge", "repeat", "polite"]
    assert (
        verdict(Figures(0.9, 4.0, shares))
        == "solves, with merged steps and repeated steps and friendly words"
    )
    assert verdict(Figures(0.05, 4.0, start.shares)) == "collapses"


def test_a_stored_run_is_known_by_its_settings() -> None:
    a = fingerprint(METHODS["pure"], FALLIBLE, 200, 2, 6)
    assert a == fingerprint(METHODS["pure"], FALLIBLE, 200, 2, 6)
    others = [
        (METHODS["prime"], FALLIBLE, 200),
        (METHODS["pure"], ORACLE, 200),
        (METHODS["pure"], FALLIBLE, 100),
    ]
    assert a not in {fingerprint(c, s, n, 2, 6) for c, s, n in others}


def test_what_is_left_out_is_said_of_methods_of_the_table() -> None:
    assert set(LEFT_OUT) <= set(METHODS)
