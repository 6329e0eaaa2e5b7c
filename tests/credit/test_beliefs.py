"""Specifies the methods of credit per turn: beliefs (`igpo`, `a2tgpo`, `siop`, `grpo_vps`, `p2s`), oracles (`vpr`) and
subproblems (`scrl`), by hand-computed numbers.

Run with `python -m pytest tests/credit/test_beliefs.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from preceptor.credit import METHODS, Batch, CreditConfig, Rollout, Signals, Stream, compute
from preceptor.credit.ops.a2tgpo import RescaledReturn, TurnClip
from preceptor.credit.ops.beliefs import Gains
from preceptor.credit.ops.grpo_vps import WholeSegment
from preceptor.credit.ops.p2s import rest
from preceptor.credit.ops.siop import OutcomePotential, weights
from preceptor.credit.ops.vpr import OracleNoise
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import StepScore
from preceptor.errors import InputError
from preceptor.judgement import Question

NAN = np.nan


def rollout(outcome: float | None, sizes: list[int], answer: str | None = None, prompt: str = "q") -> Rollout:
    ends = np.cumsum([0, *sizes]).tolist()
    return Rollout(prompt, ends[-1], outcome, tuple(pairwise(ends)), answer=answer)


def turns(outcomes: list[float | None], n: int = 2) -> list[Rollout]:
    """Rollouts of n turns of one token each."""
    return [rollout(r, [1] * n) for r in outcomes]


def beliefs(*rows: tuple[float | None, ...]) -> Signals:
    """The first number of a row is the prompt's."""
    return Signals(tuple(row[1:] for row in rows), start=tuple(row[0] for row in rows))


def advantages(name: str, rollouts: list[Rollout], signals: Signals) -> list[list[float]]:
    return [a.tolist() for a in compute(rollouts, signals, METHODS[name]).advantages]


def near(got: object, want: object, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(got, want, atol=tolerance)  # type: ignore[arg-type]


# IGPO


def test_gains_telescope_to_the_last_belief_less_the_first() -> None:
    (gains,) = Gains(answer=False).of(Batch.of(turns([0.0], 4), beliefs((0.1, 0.3, 0.2, 0.6, 0.9))))
    near(gains, [0.2, -0.1, 0.4, NAN])
    assert np.nansum(gains) == pytest.approx(0.6 - 0.1)
    (gains,) = Gains().of(Batch.of(turns([0.0], 4), beliefs((0.1, 0.3, 0.2, 0.6, 0.9))))
    assert gains.sum() == pytest.approx(0.9 - 0.1)


def test_an_unmeasured_turn_passes_its_gain_on_and_an_unknown_prompt_leaves_the_first_gain_unknown() -> None:
    (gains,) = Gains().of(Batch.of(turns([0.0], 3), beliefs((0.1, None, 0.5, 0.4))))
    near(gains, [NAN, 0.4, -0.1])
    (gains,) = Gains().of(Batch.of(turns([0.0], 3), beliefs((None, 0.3, 0.5, 0.4))))
    near(gains, [NAN, 0.2, -0.1])
    (gains,) = Gains().of(Batch.of([rollout(0.0, [2, 0, 1])], beliefs((0.1, 0.3, 0.5, 0.4))))
    near(gains, [0.2, NAN, 0.1])  # a turn without a token of its own


def test_gains_are_of_the_chance_of_an_answer_and_of_nothing_else() -> None:
    with pytest.raises(InputError, match="expected value"):
        compute(
            turns([1.0, 0.0]),
            replace(beliefs((0, 0, 0), (0, 0, 0)), question=Question.VALIDITY),
            METHODS["igpo"],
        )


def test_a_wrong_trajectory_with_one_informative_search_has_a_turn_of_positive_advantage() -> None:
    got = advantages(
        "igpo", turns([1.0, 0.0, 0.0, 0.0]), beliefs((0, 0, 0), (0, 0.6, 0), (0, 0, 0), (0, 0, 0))
    )
    root = math.sqrt(3)  # one of four, population deviation: sqrt(3) and -1/sqrt(3)
    near(got[1], [root - 1 / root, -1 / root])
    near(got[0], [root - 1 / root, root])
    near(got[2], [-2 / root, -1 / root])


def test_a_turn_with_a_gain_of_exactly_0_counts_in_the_pool() -> None:
    got = advantages("igpo", turns([0.0, 0.0], 3), beliefs((0.1, 0.5, 0.5, 0), (0.1, 0.1, 0.1, 0)))
    root = math.sqrt(3)
    near(got, [[root - 1 / root, -1 / root, 0], [-2 / root, -1 / root, 0]])


def test_turns_are_spans_so_their_lengths_and_the_tools_text_change_nothing() -> None:
    signals = beliefs((0.1, 0.5, 0.4, 0), (0.1, 0.2, 0.3, 0))
    plain = advantages("igpo", turns([1.0, 0.0], 3), signals)
    long = rollout(1.0, [3, 1, 2])
    long = replace(long, model_mask=(True, True, False, True, True, True))
    mixed = advantages("igpo", [long, rollout(0.0, [1, 4, 1])], signals)
    near(mixed[0], [plain[0][0], plain[0][0], 0, plain[0][1], plain[0][2], plain[0][2]])
    near(mixed[1], [plain[1][0], *[plain[1][1]] * 4, plain[1][2]])


def test_joint_normalisation_pools_gains_and_outcomes() -> None:
    # pool: 1, 1 | 0, 0; the last belief is the answer turn's and is not read
    got = advantages("igpo_joint", turns([1.0, 0.0]), beliefs((0, 1.0, 0.3), (0, 0.0, 0.8)))
    near(got, [[2, 1], [-2, -1]])
    # two gains of 0.4 with a malformed answer: pool 0.4, 0.4 | -2, 0
    pool = np.array([0.4, 0.4, -2.0, 0.0])
    z = (pool - pool.mean()) / np.sqrt(pool.var() + 1e-8)
    got = advantages("igpo_joint", turns([-2.0, 0.0]), beliefs((0, 0.4, 0), (0, 0.4, 0)))
    near(got, [[z[0] + z[2], z[2]], [z[1] + z[3], z[3]]])


def test_separate_normalisation_keeps_large_outcomes_from_drowning_the_gains() -> None:
    got = advantages("igpo", turns([-2.0, 0.0]), beliefs((0, 0.04, 0), (0, 0.02, 0)))
    near(got, [[1 - 1, -1], [-1 + 1, 1]], 2e-2)  # deviations 0.01 and 1; 1e-8 under the root


def test_a_failed_probe_lets_later_gains_through() -> None:
    got = advantages("igpo", turns([0.0, 0.0], 3), beliefs((0, None, 0.8, 0), (0, 0.2, 0.2, 0)))
    pool = np.array([0.8, 0.2, 0.0])
    z = (pool - pool.mean()) / pool.std()
    near(got, [[z[0], z[0], 0], [z[1] + z[2], z[2], 0]])


def test_no_beliefs_at_all_leave_the_outcome_alone() -> None:
    silent = Signals((None,) * 4)
    near(advantages("igpo", turns([1.0, 0.0, 0.0, 1.0]), silent), [[1, 1], [-1, -1], [-1, -1], [1, 1]])


# A2TGPO


def test_a_gain_is_compared_with_the_same_turn_of_the_others_and_the_sum_is_rescaled() -> None:
    got = advantages("a2tgpo", turns([1.0, 0.0], 3), beliefs((0, 0.4, 0.7, 0), (0, 0.2, 0.3, 0)))
    half = math.sqrt(0.5)  # two values, sample deviation
    near(got, [[half + 1, half + half, half], [-half - 1, -half - half, -half]], 2e-4)


def test_a_turn_that_one_rollout_alone_reaches_gives_0_and_counts_as_a_term() -> None:
    rollouts = [rollout(0.0, [1, 1, 1]), rollout(0.0, [1, 1])]
    got = advantages("a2tgpo", rollouts, beliefs((0, 0.4, 0.9, 0), (0, 0.2, 0.3)))
    near(got[0], [math.sqrt(0.5) / math.sqrt(2), 0, 0])
    near(got[1], [-math.sqrt(0.5), 0])


def test_the_rescaled_sum_has_variance_1_at_every_turn_and_the_plain_one_has_not() -> None:
    gains = np.random.default_rng(0).normal(size=(40_000, 6))
    rescaled = np.array([RescaledReturn().row(x) for x in gains])
    plain = np.array([RewardToGo().row(x) for x in gains])
    near(rescaled.var(axis=0), np.ones(6), 0.03)
    near(plain.var(axis=0), [6, 5, 4, 3, 2, 1], 0.15)


def test_the_rescaled_sum_discounts_by_turn_and_counts_known_gains() -> None:
    near(RescaledReturn(0.5).row(np.array([1.0, 2.0, 4.0])), [3 / math.sqrt(3), 4 / math.sqrt(2), 4])
    near(RescaledReturn(0.5).row(np.array([1.0, NAN, 4.0, NAN])), [2 / math.sqrt(2), 2, 4, NAN])


def test_informative_turns_have_a_wider_clip_range() -> None:
    rollouts, signals = turns([1.0, 0.0], 3), beliefs((0, 0.4, 0.7, 0), (0, 0.2, 0.3, 0))
    out = compute(rollouts, signals, METHODS["a2tgpo"])
    wide, narrow = 0.2 * (1 + 0.25 * math.sqrt(0.5)), 0.2 * (1 - 0.25 * math.sqrt(0.5))
    near(out.clip_low, [[wide, wide, 0.2], [narrow, narrow, 0.2]], 1e-5)
    near(out.clip_high, out.clip_low)
    low, high = TurnClip(high=0.28, kappa=10.0, lower=False)(Batch.of(rollouts, signals))
    near(low, [[0.2] * 3] * 2)
    near(high, [[0.42, 0.42, 0.28], [0.14, 0.14, 0.28]])


def test_with_kappa_0_the_clip_range_is_ppos() -> None:
    config = replace(METHODS["a2tgpo"], clip=TurnClip(kappa=0.0))
    rollouts = [
        replace(rollout(1.0, [2, 1]), model_mask=(True, False, True)),
        rollout(0.0, [1, 2]),
        rollout(0.5, []),
    ]
    out = compute(rollouts, beliefs((0, 0.9, 0), (0, 0.1, 0), (0,)), config)
    for row in (*(out.clip_low or []), *(out.clip_high or [])):
        assert row.tolist() == [0.2] * len(row)


# SIOP


def potential(
    rows: list[tuple[float | None, ...]], answers: list[str | None], **settings: object
) -> list[list[float]]:
    rollouts = [rollout(None, [1] * (len(row) - 1), a) for row, a in zip(rows, answers, strict=True)]
    source = OutcomePotential(**{"reliability": None, **settings})  # type: ignore[arg-type]
    return [x.tolist() for x in source.of(Batch.of(rollouts, beliefs(*rows), undecided=True))]


def test_a_turn_earns_the_change_of_log_support_and_the_last_one_the_clusters_weight_too() -> None:
    got = potential([(0.1, 0.4, 0.2), (0.1, 0.1, 0.1)], ["x", "y"])
    near(got[0], [0.693, -0.347 + 0.25], 5e-4)
    near(got[1], [0, 0.25])


def test_with_one_cluster_and_lambda_1_it_is_information_gain_in_logs() -> None:
    rows = [(0.1, 0.4, 0.2), (0.1, 0.3, 0.9)]
    got = potential(rows, ["gold", "gold"], lam=1.0)
    near(got, [np.diff(np.log(row)) for row in rows])


def test_the_names_of_clusters_do_not_matter_and_outcomes_are_not_looked_at() -> None:
    rng = np.random.default_rng(0)
    names = ["a", "b", "a", "c", "b", "a", None]
    rollouts = [rollout(None, [1, 2, 1], n) for n in names]
    signals = replace(
        beliefs(*(tuple(x) for x in rng.random((7, 4)))),
        scalars={"reliability": tuple(rng.random(7).tolist())},
    )
    renamed = [
        replace(r, answer=r.answer and {"a": "z", "b": "a", "c": "b"}[r.answer], outcome=float(i % 2))
        for i, r in enumerate(rollouts)
    ]
    got = advantages("siop", rollouts, signals)
    near(advantages("siop", renamed, signals), got, 1e-12)
    assert np.abs(np.concatenate(got)).min() > 0
    assert all(compute(rollouts, signals, METHODS["siop"]).keep)


def test_a_clusters_weight_is_the_softmax_of_its_log_mass_and_reliability() -> None:
    none = np.full(4, NAN)
    near(weights(["a", "a", "b", None], none), [2 / 3, 2 / 3, 1 / 3, 0])
    near(weights(["a", None, "", None], none), [1, 0, 0, 0])
    near(weights([None, None], none[:2]), [0, 0])
    known = np.array([1.0, 0.0, 1.5, 9.0])  # means 0.5 and 1.5; the one without an answer does not count
    total = 2 * math.exp(0.5) + math.exp(1.5)
    near(weights(["a", "a", "b", None], known), [*[2 * math.exp(0.5) / total] * 2, math.exp(1.5) / total, 0])
    near(weights(["a", "a", "b", None], known, eta=0.0), [2 / 3, 2 / 3, 1 / 3, 0])
    near(weights(["a", "a", "b", None], np.array([NAN, 1.0, 1.0, NAN])), [2 / 3, 2 / 3, 1 / 3, 0])


def test_a_rollout_of_one_turn_has_the_terminal_reward_alone_and_one_without_an_answer_rewards_of_0() -> None:
    got = potential([(0.1, 0.9), (0.1, 0.4, 0.2), (None, None, None)], ["x", "x", None])
    near(got[0], [0.5])
    near(got[1], [math.log(4), math.log(0.5) + 0.5])
    near(got[2], [0, 0])


def test_all_rewards_of_the_prompt_are_one_pool_in_which_zeros_count() -> None:
    rollouts = [rollout(None, [1, 1], "x"), rollout(None, [1, 1], "x"), rollout(None, [1, 1])]
    got = advantages("siop_mass", rollouts, beliefs((0.1, 0.1, 0.1), (0.1, 0.1, 0.1), (None, None, None)))
    pool = np.array([0, 0.5, 0, 0.5, 0, 0])
    z = (pool - pool.mean()) / pool.std(ddof=1)
    near(got, [[z[0] + z[1], z[1]], [z[2] + z[3], z[3]], [z[4] + z[5], z[5]]])


def test_equal_rewards_and_a_single_one_give_advantage_0() -> None:
    one = [rollout(None, [1], "x")]
    assert advantages("siop_mass", one, beliefs((0.1, 0.2))) == [[0]]
    assert advantages("siop_mass", one * 3, beliefs(*[(0.1, 0.2)] * 3)) == [[0]] * 3


def test_an_unmeasured_turn_has_no_reward_and_the_next_gets_the_whole_difference() -> None:
    near(potential([(0.1, None, 0.4, 0.4)], ["x"]), [[NAN, math.log(4), 0.5]])
    near(potential([(0.1, 0.4, None)], ["x"]), [[math.log(4), 0.5]])


def test_the_baselines_reward_the_majority_or_the_mass_of_the_cluster() -> None:
    rollouts = [rollout(None, [2], a) for a in ("x", "x", "y", None)]
    outcome = compute(
        [replace(r, outcome=x) for r, x in zip(rollouts, (1.0, 1.0, 0.0, 0.0))], None, METHODS["outcome"]
    )
    near(advantages("siop_ttrl", rollouts, Signals()), outcome.advantages)
    masses = (2 / 3, 2 / 3, 1 / 3, 0.0)
    mass = compute([replace(r, outcome=x) for r, x in zip(rollouts, masses)], None, METHODS["outcome"])
    near(advantages("siop_empo", rollouts, Signals()), mass.advantages)


# GRPO-VPS


def test_a_segment_after_the_belief_has_saturated_gets_less_than_the_mean() -> None:
    got = advantages("grpo_vps", turns([1.0, 1.0], 3), beliefs((0, 0.5, 1, 1), (0, 0.4, 0.9, 1)))
    pool = np.array([[0.5, 0.5, 0], [0.4, 0.5, 0.1]])
    near(got, 0.5 * (pool - pool.mean()) / pool.std(ddof=1))
    assert got[0][2] < 0 < got[0][0]


def test_with_weight_0_it_is_grpo() -> None:
    outcome, progress = METHODS["grpo_vps"].streams
    config = CreditConfig((outcome, Stream(progress.source, *progress.ops, weight=0.0)))
    rollouts, signals = turns([1.0, 0.0, 1.0], 3), beliefs((0, 0.5, 1, 1), (0, 0.4, 0.9, 1), (0, 0, 0, 0))
    near(
        compute(rollouts, signals, config).advantages,
        compute(rollouts, None, METHODS["outcome"]).advantages,
        1e-12,
    )


def test_steps_between_two_beliefs_are_one_segment_that_counts_once() -> None:
    near(WholeSegment().row(np.array([NAN, 1.0, NAN, NAN, 2.0, NAN])), [1, 1, 2, 2, 2, NAN])
    assert np.isnan(WholeSegment().row(np.full(3, NAN))).all()
    got = advantages(
        "grpo_vps", turns([1.0, 1.0], 4), beliefs((0, None, 0.5, None, 0.5), (0, None, 0.5, None, 0.5))
    )
    high = 0.5 * math.sqrt(3) / 2
    near(got, [[high, high, -high, -high]] * 2)


# P2S


def likelihood(gold: list[str], prefix: list[str], left: list[str]) -> float:
    """exp(mean logp) of what is left of a chain under a model that finds the chain's next step with probability 0.9
    where the one before it was just written, else with 0.1."""
    logps, before = [], prefix[-1] if prefix else None
    for step in left:
        at = gold.index(step)
        logps.append(math.log(0.9 if at and before == gold[at - 1] else 0.1))
        before = step
    return math.exp(sum(logps) / len(logps))


def faithfulness(gold: list[str], steps: list[str]) -> tuple[float | None, ...]:
    rows: list[float | None] = []
    for t in range(1, len(steps) + 1):
        left = gold[rest(t, len(steps), len(gold)) :]
        rows.append(likelihood(gold, steps[:t], left) - likelihood(gold, [], left) if left else None)
    return tuple(rows)


def test_on_the_gold_chain_the_reward_rises_along_the_steps_and_off_it_there_is_none() -> None:
    gold = ["a", "b", "c", "d"]
    on, off = faithfulness(gold, gold), faithfulness(gold, ["x", "y", "z", "w"])
    near(on[:3], [0.9 - (0.1 * 0.81) ** (1 / 3), 0.9 - 0.09**0.5, 0.8])
    assert on[0] < on[1] < on[2]  # type: ignore[operator]
    assert off[:3] == (0, 0, 0)
    assert on[3] is None
    got = advantages("p2s", turns([1.0, 1.0], 4), Signals((on, off)))
    assert got[0][0] < got[0][1] < got[0][2]
    assert max(got[1]) <= 0 == got[0][3]


def test_the_rest_begins_in_proportion_to_the_steps_made() -> None:
    assert [rest(t, 4, 6) for t in (0, 1, 2, 3, 4)] == [0, 1, 3, 4, 6]


def test_faithfulness_is_added_to_the_outcome_with_weight_one_half() -> None:
    signals = Signals(((0.3, 0.1), (0.2, 0.0)))
    both, plain = (
        advantages("p2s", turns([1.0, 0.0]), signals),
        advantages("outcome", turns([1.0, 0.0]), signals),
    )
    pool = np.array([[0.3, 0.1], [0.2, 0.0]])
    near(np.array(both) - plain, 0.5 * (pool - pool.mean()) / (pool.std(ddof=1) + 1e-4))


# SCRL


def test_with_one_subproblem_it_is_grpo() -> None:
    rollouts, outcomes = turns([1.0, 0.0, 0.0, 1.0], 1), (1.0, 0.0, 0.0, 1.0)
    got = advantages("scrl", rollouts, Signals(tuple((x,) for x in outcomes)))
    near(got, compute(rollouts, None, METHODS["outcome"]).advantages, 1e-12)


def test_a_group_that_never_solves_the_problem_learns_its_earlier_parts() -> None:
    rollouts = [rollout(0.0, [2, 1, 1]) for _ in range(4)]
    got = advantages("scrl", rollouts, Signals(((1, 1, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0))))
    high, low = 0.5 / math.sqrt(1 / 3), 0.75 / 0.5
    near(got[0], [high, high, low, 0], 1e-3)
    near(got[1], [high, high, -low / 3, 0], 1e-3)
    assert advantages("outcome", rollouts, Signals()) == [[0] * 4] * 4


def test_a_missing_answer_counts_as_0_and_an_ungraded_one_not_at_all() -> None:
    rollouts = [rollout(0.0, [1, 1]), rollout(0.0, [1])]
    got = advantages("scrl", rollouts, Signals(((1, 1), (1,))))
    near(got[0], [0, math.sqrt(0.5)], 2e-4)
    near(got[1], [0])
    rollouts = [rollout(0.0, [1, 1]), rollout(0.0, [1, 1]), rollout(0.0, [])]
    near(advantages("scrl", rollouts, Signals(((1, 1), (1, None), None)))[0], [0, 0])
    near(
        advantages("scrl", rollouts, Signals(((1, 1), (1, None), ())))[0],
        [1 / math.sqrt(3), math.sqrt(0.5)],
        2e-4,
    )


# VPR


def test_a_failing_episode_still_has_turns_of_positive_advantage() -> None:
    bits = Signals(((1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1)))
    got = advantages("vpr", turns([0.0] * 4, 3), bits)
    near(got[0], [1.5, 0.5, -math.sqrt(0.75)], 1e-3)
    assert min(min(a) for a in got) < 0


def test_turns_are_compared_by_index_or_pooled_and_the_outcome_may_be_added() -> None:
    bits = Signals(((1, 0), (1, 0)))
    assert advantages("vpr", turns([1.0, 0.0]), bits) == [[0, 0], [0, 0]]
    half = 0.5 / math.sqrt(1 / 3)
    near(advantages("vpr_pooled", turns([1.0, 0.0]), bits), [[half, -half]] * 2, 1e-3)
    near(advantages("vpr_outcome", turns([1.0, 0.0]), bits), [[0.7071] * 2, [-0.7071] * 2], 2e-4)
    near(
        advantages("vpr_sum", turns([0.0, 0.0]), Signals(((1, 1), (0, 0)))),
        [[1.4142, 0.7071], [-1.4142, -0.7071]],
        3e-4,
    )


def test_an_oracle_that_flips_half_of_its_bits_teaches_nothing() -> None:
    rng = np.random.default_rng(0)
    rollouts = [rollout(0.0, [1] * 4, prompt=f"q{i // 8}") for i in range(2400)]
    bits = rng.random((2400, 4)) < 0.5
    signals = Signals(tuple(tuple(row) for row in bits.astype(float).tolist()))

    def accepted(rate: float) -> float:
        (stream,) = METHODS["vpr"].streams
        config = CreditConfig((Stream(stream.source, OracleNoise(rate), *stream.ops[1:]),))
        return float(np.array(compute(rollouts, signals, config).advantages)[bits].mean())

    assert accepted(0.0) > 0.8
    assert 0.25 < accepted(0.25) < 0.55
    assert abs(accepted(0.5)) < 0.03


def test_noise_is_the_same_for_the_same_seed_and_leaves_invalid_actions_and_unjudged_turns() -> None:
    rollouts, signals = turns([0.0] * 3, 4), Signals(((1, 0, -1, None),) * 3)

    def noisy(rate: float, seed: int = 0, step: int = 0) -> list[list[float]]:
        batch = Batch.of(rollouts, replace(signals, step=step))
        return [x.tolist() for x in OracleNoise(rate, seed)(StepScore().of(batch), batch)]

    near(noisy(1.0), [[0, 1, -1, NAN]] * 3)
    np.testing.assert_equal(noisy(0.5), noisy(0.5))
    assert len({str(noisy(0.5, seed, step)) for seed in range(3) for step in range(3)}) > 5
