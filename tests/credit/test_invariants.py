"""Specifies what every method of the table must keep, whatever the batch; what a method breaks by design is
in `BREAKS` with its reason, and a method that is listed must break it.

Run with `python -m pytest tests/credit/test_invariants.py`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from preceptor.credit import METHODS, Rollout, compute
from preceptor.judgement import Question
from tests.credit.batches import Pair, agreeing, batch, pick, shifted, signals_for

BATCH = "statistics of the whole batch"
RAW = "the process reward is used as it is, without a baseline"
SUM = "summed step scores grow with the number of steps"
BEND = "the score is bent, not shifted: a threshold, a product or a best of K"
ENDS = "the answer step has no score of its own, so a constant does not reach it"
FILTER = "the filter reads the mean outcome"
OWN = "a rollout's steps are compared with each other too"
TIE = "clusters of equal size tell nobody apart"
UNEVEN = "what is above the mean weighs more than what is below"
WHITE = "the batch is the baseline, not the group"
CHOSEN = "half of the rollouts are dropped"
COUNTS = "a constant on the counts is another history"
GATE = "a gate opens at a fixed value"
UNREAD = "what could not be read is 0, whatever the others get"

BREAKS: dict[str, dict[str, str]] = {
    "own group": {
        "agg_rewards_steps": BATCH,
        "easy_to_hard": BATCH,
        "easy_to_hard_prod": BATCH,
        "easy_to_hard_terminal": BATCH,
        "prime": BATCH,
        "prime_repo": BATCH,
        "prime_whole": BATCH,
        "pure_whitened": BATCH,
        "shepherd_orm": BATCH,
        "shepherd_ppo": BATCH,
        "vsrm": BATCH,
    },
    "one step": {
        "pav": RAW,
        "pspo_ff": "a text of one step gets 0",
        "pspo_wrs": "a text of one step gets 0",
        "r3l": UNEVEN,
        "siop_empo": TIE,
        "siop_mass": TIE,
        "siop_ttrl": TIE,
        "brpo": "wins are not compared with the group's mean",
        "outcome_explore_con": RAW,
        "ppr_renorm_sum": RAW,
        "prof": CHOSEN,
        "prof_correct_only": CHOSEN,
        "prof_incorrect_only": CHOSEN,
        "prof_together": CHOSEN,
        "rlpr_filtered": "the floor agrees with the outcome too, and drops whom it is high for",
    },
    "shift": {
        "agg_rewards_prod": BEND,
        "agg_rewards_steps": SUM,
        "clip_delta": BEND,
        "clip_delta_clip": BEND,
        "clip_delta_delta": ENDS,
        "easy_to_hard": BEND,
        "easy_to_hard_prod": BEND,
        "easy_to_hard_terminal": BEND,
        "pav": BEND,
        "pav_sum": BEND,
        "prime": FILTER,
        "prime_repo": FILTER,
        "prime_whole": FILTER,
        "pspo_ff": BEND,
        "pspo_wrs": BEND,
        "pure_softmin": "a rollout's constant sits at its worst step and is charged over all its tokens",
        "pure_softmin_step": "a rollout's constant sits at its worst step and is charged to every step",
        "pure_whitened": "a constant reaches the tokens up to the worst step only",
        "shepherd_orm": "a rollout without a score gets 0, and the batch is re-centered around it",
        "shepherd_ppo": SUM,
        "vsrm": "a rollout without a step has no place for its outcome and gets 0",
        "igpo_joint": "outcomes are pooled with gains, which a constant leaves as they are",
        "r3l": BEND,
        "scrl": "a missing answer is 0, whatever the others get",
        "siop": BEND,
        "siop_mass": BEND,
        "brpo": BEND,
        "fapo": BEND,
        "g_ra": GATE,
        "g_ra_nested": GATE,
        "g_ra_sum": SUM,
        "outcome_explore": COUNTS,
        "outcome_explore_con": COUNTS,
        "outcome_explore_mean": COUNTS,
        "p_grpo": GATE,
        "ppr_renorm_gate": BEND,
        "ppr_renorm_sum": RAW,
        "prof": "right and wrong are told apart at 0",
        "prof_correct_only": "right and wrong are told apart at 0",
        "prof_incorrect_only": "right and wrong are told apart at 0",
        "rlpr_filtered": "the floor is shifted too",
        "rrm": UNREAD,
        "rrm_outcome": BEND,
        "spark": GATE,
        "spark_selective": GATE,
        "spark_steps": GATE,
        "tp_grpo": BEND,
        "trust_grpo": GATE,
    },
    "lone rollout": {
        "agg_rewards_steps": WHITE,
        "easy_to_hard": WHITE,
        "easy_to_hard_prod": WHITE,
        "easy_to_hard_terminal": WHITE,
        "oprl": OWN,
        "pav": RAW,
        "shepherd_orm": WHITE,
        "shepherd_ppo": WHITE,
        "vsrm": WHITE,
        "grpo_vps": OWN,
        "igpo": OWN,
        "igpo_joint": OWN,
        "p2s": OWN,
        "r3l": "a solved rollout is imitated whatever its group",
        "rlfr": RAW,
        "siop": OWN,
        "siop_mass": OWN,
        "vpr_pooled": OWN,
        "capo": OWN,
        "capo_average": OWN,
        "capo_intersection": OWN,
        "capo_union": OWN,
        "outcome_explore_con": RAW,
        "ppr_renorm": OWN,
        "ppr_renorm_gate": OWN,
        "ppr_renorm_return": OWN,
        "ppr_renorm_sum": RAW,
        "tp_grpo": OWN,
    },
}

VALUE_ONLY = {"a2tgpo", "grpo_vps", "igpo", "igpo_joint", "pav", "pav_sum", "siop", "siop_mass"}
"""Methods that refuse scores that answer another question than value."""

SEEDS = range(8)
every_method = pytest.mark.parametrize("name", METHODS)


def test_every_exception_names_a_method() -> None:
    assert {name for listed in BREAKS.values() for name in listed} <= set(METHODS)


def must(holds: list[bool], invariant: str, name: str) -> None:
    """It holds in every case; for a listed method, in some case it does not."""
    if name in BREAKS[invariant]:
        assert not all(holds), f"{name} is listed under {invariant!r} but keeps it: take it off the list"
    else:
        assert all(holds), f"{name} breaks {invariant!r} in case {holds.index(False)}"


def made(name: str, seed: int) -> Pair:
    return batch(seed, Question.VALUE if name in VALUE_ONLY else None)


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.allclose(x, y, atol=1e-8) for x, y in zip(a, b, strict=True))


@every_method
def test_tokens_that_the_policy_did_not_sample_get_advantage_and_weight_zero(name: str) -> None:
    for seed in SEEDS:
        rollouts, signals = made(name, seed)
        out = compute(rollouts, signals, METHODS[name])
        for rollout, a, w in zip(rollouts, out.advantages, out.token_weights, strict=True):
            assert a.shape == w.shape == (rollout.length,)
            assert not a[~rollout.mask].any()
            assert not w[~rollout.mask].any()


@every_method
def test_a_group_depends_on_nothing_but_itself(name: str) -> None:
    def holds(pair: Pair) -> bool:
        whole = compute(*pair, METHODS[name]).advantages
        own = [i for i, r in enumerate(pair[0]) if r.prompt_id == "a"]
        alone = compute(*pick(pair, own), METHODS[name]).advantages
        return same([whole[i] for i in own], alone)

    must([holds(made(name, seed)) for seed in SEEDS], "own group", name)


@every_method
def test_reordering_the_rollouts_reorders_the_advantages(name: str) -> None:
    config = replace(
        METHODS[name], shared="every"
    )  # which copy of a shared step is trained is a matter of order
    for seed in SEEDS:
        pair = made(name, seed)
        order = np.random.default_rng(seed).permutation(len(pair[0])).tolist()
        straight, mixed = compute(*pair, config), compute(*pick(pair, order), config)
        assert same(mixed.advantages, [straight.advantages[i] for i in order])
        assert mixed.keep == tuple(straight.keep[i] for i in order)


@every_method
def test_one_step_whose_signals_are_the_outcome_gives_the_plain_outcome_method(name: str) -> None:
    def holds(outcomes: list[float]) -> bool:
        got = np.concatenate(compute(*agreeing(outcomes), METHODS[name]).advantages)
        plain = np.concatenate(compute(*agreeing(outcomes), METHODS["rloo"]).advantages)
        times = got @ plain / (plain @ plain)
        return bool(times > 0.05 and np.allclose(got, times * plain, atol=1e-6))

    must([holds([1.0, 0.0, 0.0, 1.0]), holds([1.0, 0.0, 1.0, 1.0, 0.0])], "one step", name)


@every_method
def test_a_constant_added_to_every_reward_and_every_potential_changes_nothing(name: str) -> None:
    def holds(seed: int) -> bool:
        pair = batch(seed, Question.VALUE)
        pair = pair[0], replace(pair[1], start=(0.25,) * len(pair[0]))
        before, after = (compute(*p, METHODS[name]).advantages for p in (pair, shifted(pair, 0.375)))
        return same(before, after)

    must([holds(seed) for seed in SEEDS], "shift", name)


@every_method
def test_no_batch_gives_nan_or_an_exploding_advantage(name: str) -> None:
    for seed in range(100, 125):
        out = compute(*made(name, seed), METHODS[name])
        for a in out.advantages:
            assert np.isfinite(a).all()
            assert np.abs(a).max(initial=0.0) < 20
        for row in (out.clip_low or []) + (out.clip_high or []):
            assert np.isfinite(row).all()
        assert all(np.isfinite(v) for v in out.stats.values())


@every_method
@pytest.mark.parametrize(
    "rollouts",
    [
        [],
        [Rollout("q", 3, 1.0, ((0, 3),))],
        [Rollout("q", 2, 1.0), Rollout("q", 2, 0.0)],
        [Rollout("q", 0, 1.0), Rollout("q", 0, 0.0)],
        [Rollout("q", 3, 1.0, ((0, 1), (1, 3)))] * 4,
        [Rollout("q", 2, float(i), ((0, 2),), (False, False)) for i in range(2)],
        [Rollout("q", 2, None, ((0, 2),))] * 3,
    ],
    ids=["empty", "group-of-one", "no-steps", "no-tokens", "all-equal", "all-masked", "all-undecided"],
)
def test_degenerate_groups_are_finite(name: str, rollouts: list[Rollout]) -> None:
    given = [replace(r, nodes=tuple(range(len(r.spans)))) for r in rollouts]
    out = compute(given, signals_for(given, np.random.default_rng(0)), METHODS[name])
    assert all(np.isfinite(a).all() for a in out.advantages)
    assert all(np.isfinite(v) for v in out.stats.values())
    if rollouts and rollouts[0].outcome is None and METHODS[name].keep != "judged":
        assert not any(a.any() for a in out.advantages)


@every_method
def test_a_rollout_with_nothing_to_be_compared_with_is_not_learned_from(name: str) -> None:
    def holds(seed: int) -> bool:
        pair = pick(made(name, seed), [0])
        return not any(a.any() for a in compute(*pair, METHODS[name]).advantages)

    must([holds(seed) for seed in range(20, 40)], "lone rollout", name)


@every_method
def test_an_undecided_rollout_changes_nobody_elses_advantage_and_is_not_trained_on(name: str) -> None:
    if METHODS[name].keep == "judged":
        return
    for seed in range(12):
        rollouts, signals = made(name, seed)
        out = compute(rollouts, signals, METHODS[name])
        decided = [i for i, r in enumerate(rollouts) if r.outcome is not None]
        without = compute(*pick((rollouts, signals), decided), METHODS[name]).advantages
        assert same([out.advantages[i] for i in decided], without)
        for i in set(range(len(rollouts))) - set(decided):
            assert not out.keep[i]
            assert not out.advantages[i].any()
            assert not out.token_weights[i].any()
        assert out.stats["undecided"] == len(rollouts) - len(decided)
