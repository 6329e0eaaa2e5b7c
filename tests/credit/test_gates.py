"""Specifies the rewards beside the outcome that the outcome lets through.

Run with `python -m pytest tests/credit/test_gates.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from preceptor.credit import METHODS, Batch, Rollout, Signals, compute
from preceptor.credit.ops.g_ra import Accumulate
from preceptor.credit.ops.trust_grpo import Trusted
from preceptor.credit.sources import Outcome, Scalar
from preceptor.errors import InputError


def rollout(outcome: float | None, steps: int = 1) -> Rollout:
    return Rollout("q", steps, outcome, tuple(pairwise(range(steps + 1))))


def group(outcomes: list[float]) -> list[Rollout]:
    return [rollout(r) for r in outcomes]


def firsts(name: str, rollouts: list[Rollout], signals: Signals) -> list[float]:
    return [float(a[0]) for a in compute(rollouts, signals, METHODS[name]).advantages]


def rewards(name: str, rollouts: list[Rollout], signals: Signals) -> list[float]:
    """Before the baseline."""
    stream = METHODS[name].streams[0]
    batch = Batch.of(rollouts, signals)
    values = stream.source.of(batch)
    for op in stream.ops[:-1]:
        values = op(values, batch)
    return [float(x[0]) for x in values]


def grpo(values: list[float]) -> np.ndarray:
    x = np.array(values)
    return (x - x.mean()) / (x.std(ddof=1) + 1e-4)


def thinking(*scores: float | None, step: int = 0) -> Signals:
    return Signals(scalars={"thinking": scores, "format": (1.0,) * len(scores)}, step=step)


# trust_grpo


def test_trust_falls_when_wrong_answers_have_the_better_thinking() -> None:
    trust = Trusted().trust
    assert trust(np.array([1.0, 0.3]), np.array([0.4, 0.6])) == pytest.approx(0.8187, abs=5e-5)
    assert trust(np.array([1.0, 0.3]), np.array([0.6, 0.4])) == 1.0
    assert trust(np.array([1.0, 0.3]), np.array([0.5, 0.5])) == 1.0
    assert trust(np.array([0.3, 0.4]), np.array([0.2, 0.6])) == pytest.approx(math.exp(-0.4))


def test_the_published_reward_by_hand() -> None:
    rollouts = group([1.0, 0.3, 0.0])
    # the last one is below 0.2: not asked, 0, and so the wrong side's mean is 0.3
    got = rewards("trust_grpo", rollouts, thinking(0.4, 0.6, 0.9, step=250))
    weight = 0.3 * math.exp(-250 / 500)
    np.testing.assert_allclose(got, [1 + weight * 0.4, 0.3 + weight * 0.6, 0])
    swapped = rewards("trust_grpo", rollouts, thinking(0.1, 0.6, None, step=250))
    gamma = math.exp(0.1 - 0.3)
    np.testing.assert_allclose(swapped, [1 + gamma * weight * 0.1, 0.3 + gamma * weight * 0.6, 0])
    np.testing.assert_allclose(firsts("trust_grpo", rollouts, thinking(0.4, 0.6, 0.9, step=250)), grpo(got))


def test_the_weight_of_thinking_decays_with_training() -> None:
    extra = [
        rewards("trust_grpo", group([1.0, 0.3]), thinking(0.4, 0.4, step=s))[0] - 1
        for s in (0, 100, 500, 5000)
    ]
    assert extra == sorted(extra, reverse=True)
    assert extra[0] == pytest.approx(0.12)
    assert extra[2] == pytest.approx(0.12 / math.e)


def test_equal_thinking_leaves_the_ranking() -> None:
    outcomes = [1.0, 0.3, 0.6, 0.25]
    got = firsts("trust_grpo", group(outcomes), thinking(0.5, 0.5, 0.5, 0.5))
    assert np.argsort(got).tolist() == np.argsort(outcomes).tolist()


@pytest.mark.parametrize("outcomes", [[1.0, 0.9], [0.0, 0.1]])
def test_a_flat_group_gets_no_thinking_reward(outcomes: list[float]) -> None:
    assert rewards("trust_grpo", group(outcomes), thinking(0.9, 0.1)) == outcomes


def test_a_missed_thinking_score_is_no_zero() -> None:
    got = rewards("trust_grpo", group([1.0, 0.6, 0.3]), thinking(0.4, None, 0.4))
    assert np.isnan(got[1])
    np.testing.assert_allclose([got[0], got[2]], [1.12, 0.42])


# fapo


def flaws(clean: int, flawed: int, wrong: int) -> np.ndarray:
    outcomes = [1.0] * (clean + flawed) + [0.0] * wrong
    verdicts = (((False,),),) * clean + (((True,),),) * flawed + (((True,),),) * wrong
    return np.array(firsts("fapo", group(outcomes), Signals(verdicts=verdicts)))


def test_flawed_right_answers_get_0_between_1_and_minus_1() -> None:
    np.testing.assert_allclose(flaws(2, 1, 1), grpo([1, 1, 0, -1]))


@pytest.mark.parametrize("clean, wrong, sign", [(1, 6, 1), (2, 4, 1), (3, 3, 0), (4, 2, -1), (6, 1, -1)])
def test_a_flawed_answer_is_a_gain_until_clean_ones_outnumber_wrong_ones(
    clean: int, wrong: int, sign: int
) -> None:
    got = flaws(clean, 8 - clean - wrong, wrong)
    assert np.sign(got[clean]) == sign


def test_a_critique_that_cannot_be_read_finds_no_flaw() -> None:
    rollouts = group([1.0, 0.0])
    got = firsts("fapo", rollouts, Signals(verdicts=((None,), (None,))))
    np.testing.assert_allclose(got, grpo([1, -1]))


def test_a_wrong_answer_pays_nothing_for_the_critique_of_its_steps() -> None:
    rollouts = group([1.0, 0.0, 0.0])
    one, other = (
        firsts("fapo", rollouts, Signals(verdicts=(((False,),), ((flag,),), ((False,),))))
        for flag in (True, False)
    )
    assert one == other


# p_grpo


def test_on_failing_rollouts_the_thinking_score_does_not_count() -> None:
    rollouts = group([1.0, 0.0, 0.0])
    got = rewards("p_grpo", rollouts, thinking(0.5, 0.9, None))
    assert got == [2.5, 1.0, 1.0]
    assert firsts("p_grpo", rollouts, thinking(0.5, 0.0, 1.0)) == firsts(
        "p_grpo", rollouts, thinking(0.5, 0.9, None)
    )


def test_the_ungated_sum_can_be_hacked_by_thinking_alone() -> None:
    rollouts = group([1.0, 0.0])
    loud = thinking(0.0, 1.0)
    right, wrong = firsts("p_grpo", rollouts, loud)
    assert right > wrong
    right, wrong = firsts("p_grpo_sum", rollouts, loud)
    assert right == wrong


# g_ra


def agent(
    outcomes: list[float], done: list[float], steps: list[tuple[float, ...]]
) -> tuple[list[Rollout], Signals]:
    rollouts = [rollout(r, len(s)) for r, s in zip(outcomes, steps, strict=True)]
    return rollouts, Signals(tuple(steps), scalars={"completed": tuple(done)})


def test_behind_a_closed_gate_step_rewards_change_nothing() -> None:
    one = agent([1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [(0.5,), (0.5, 0.25), (0.0,)])
    other = agent([1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [(0.5,), (0.5, 0.25), (9.0,)])
    assert rewards("g_ra", *one) == [2.5, 1.75, 0.0]
    assert rewards("g_ra", *one) == rewards("g_ra", *other)
    assert firsts("g_ra", *one) == firsts("g_ra", *other)


def test_ungated_a_well_formed_agent_that_does_nothing_wins() -> None:
    # the first one solves the task in one step, the second writes ten well-formed commands and submits nothing
    idle = agent([1.0, 0.0], [1.0, 0.0], [(0.5,), (0.5,) * 10])
    worker, formatter = firsts("g_ra", *idle)
    assert worker > formatter
    worker, formatter = firsts("g_ra_sum", *idle)
    assert worker < formatter


def test_nested_gates_open_from_the_top() -> None:
    given = agent([1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [(0.5,), (0.5,), (0.5,)])
    assert rewards("g_ra_nested", *given) == [2.5, 1.0, 0.0]


def test_no_steps_add_nothing_and_unjudged_ones_are_missed() -> None:
    given = agent([0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [(), (0.5,), (0.5,)])
    assert rewards("g_ra", *given) == [1.0, 2.5, 0.0]
    assert rewards("g_ra_sum", *given) == [1.0, 2.5, 0.5]
    unjudged = replace(given[1], scores=((), None, (0.5,)))
    np.testing.assert_equal(rewards("g_ra", given[0], unjudged), [1.0, np.nan, 0.0])


def test_three_gates_in_a_row() -> None:
    rollouts = group([1.0] * 4)
    names = ("a", "b", "c")
    scalars = {"a": (1.0, 1.0, 0.4, 1.0), "b": (1.0, 0.4, 1.0, None), "c": (8.0, 8.0, 8.0, 8.0)}
    op = Accumulate(tuple(Scalar(n) for n in names), (1.0, 0.5, 0.5))
    batch = Batch.of(rollouts, Signals(scalars=scalars))
    got = [float(x[0]) for x in op(Outcome()(batch), batch)]
    np.testing.assert_allclose(got, [11.0, 2.4, 1.4, np.nan])
    assert op.needs == {"scalars.a", "scalars.b", "scalars.c"}


def test_every_level_has_a_gate() -> None:
    with pytest.raises(InputError, match="2 gates for 1 levels"):
        Accumulate((Outcome(),), (1.0, 1.0))
