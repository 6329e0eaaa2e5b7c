"""Specifies the verl adapter, on tensors of verl's shapes; verl itself is not needed.

Run with `python -m pytest tests/learn/test_verl.py`.
"""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable

import numpy as np
import pytest
import torch

from preceptor.credit import METHODS, Center, CreditConfig, Rollout, Signals, StepScore, Stream, compute
from preceptor.credit.returns import RewardToGo
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.learn import verl

rng = np.random.default_rng(0)


def rollouts(n: int = 8) -> tuple[list[Rollout], Signals]:
    """Steps of one to four tokens; one rollout is undecided, one without a step, one has an unjudged step."""
    found, scores = [], []
    for i in range(n):
        sizes = [int(rng.integers(2, 5)), *rng.integers(1, 5, size=rng.integers(1, 4)).tolist()]
        ends = np.cumsum(sizes).tolist() if i != 3 else []
        spans = tuple(zip([0, *ends[:-1]], ends, strict=True)) if ends else ()
        outcome = None if i == 5 else float(i % 3 == 0)
        found.append(Rollout(f"p{i // 4}", ends[-1] if ends else 5, outcome, spans))
        scores.append(tuple(float(x) for x in rng.random(len(spans)).astype(np.float32)))
    scores[1] = (None, *scores[1][1:])
    return found, Signals(tuple(scores))


def tensors(found: list[Rollout], width: int) -> tuple[torch.Tensor, np.ndarray]:
    mask = torch.zeros(len(found), width, dtype=torch.int64)
    for row, r in zip(mask, found, strict=True):
        row[: r.length] = 1
    return mask, np.array([r.prompt_id for r in found], dtype=object)


def test_packing_loses_nothing_that_fits() -> None:
    found, signals = rollouts()
    packed = verl.pack(found, signals, 20)
    mask, _ = tensors(found, 20)
    read, back = verl.unpack(
        packed, mask.numpy() > 0, [r.prompt_id for r in found], METHODS["pure"], Question.VALUE
    )
    assert [(r.prompt_id, r.length, r.outcome, r.spans) for r in read] == [
        (r.prompt_id, r.length, r.outcome, r.spans) for r in found
    ]
    for own, other in zip(signals.scores, back.scores, strict=True):
        assert other == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, marked in verl.registrable() if marked])
def test_packed_scores_give_the_advantages_of_the_method_itself(name) -> None:
    found, signals = rollouts()
    packed = verl.pack(found, signals, 20)
    mask, uids = tensors(found, 20)
    advantages, returns = verl.estimator(METHODS[name], marked=True)(
        token_level_rewards=torch.from_numpy(packed), response_mask=mask, index=uids, config=None
    )
    # of what was unpacked: float32 scores differ in their last digits, and some methods draw by content
    read = verl.unpack(packed, mask.numpy() > 0, uids.tolist(), METHODS[name], Question.VALUE)
    batch = compute(*read, METHODS[name])
    assert advantages.shape == returns.shape == packed.shape
    for row, a, w in zip(advantages, batch.advantages, batch.token_weights, strict=True):
        np.testing.assert_allclose(row[: len(a)], a * w, atol=1e-5)
        assert not row[len(a) :].any()


def test_a_score_of_zero_and_a_missing_one_survive_packing() -> None:
    found = [Rollout("p", 6, 1.0, ((0, 2), (2, 4), (4, 6))), Rollout("p", 4, None, ((0, 1), (1, 4)))]
    signals = Signals(((0.0, None, -0.5), (1.0, 0.25)))
    packed = verl.pack(found, signals, 8)
    read, back = verl.unpack(
        packed, packed * 0 + [[1] * 6 + [0] * 2, [1] * 4 + [0] * 4] > 0, "pp", METHODS["pure"], Question.VALUE
    )
    assert back.scores == signals.scores
    assert [(r.outcome, r.spans) for r in read] == [(r.outcome, r.spans) for r in found]


def test_what_does_not_fit_in_the_tensor_is_refused_or_keeps_the_outcome() -> None:
    """Where every token ends a step, the first step makes room for the outcome."""
    dense = [Rollout("p", 3, 1.0, ((0, 1), (1, 2), (2, 3))), Rollout("p", 1, 0.0, ((0, 1),))]
    packed = verl.pack(dense, Signals(((0.5, 0.25, 0.75), (0.5,))), 3)
    mask = np.array([[1, 1, 1], [1, 0, 0]]) > 0
    read, back = verl.unpack(packed, mask, "pp", METHODS["pure"], Question.VALUE)
    assert [r.outcome for r in read] == [1.0, 0.0]
    assert back.scores == ((0.25, 0.75), ())
    with pytest.raises(InputError, match=r"got 9\.0, expected one in"):
        verl.pack([Rollout("p", 2, 1.0, ((0, 2),))], Signals(((9.0,),)), 4)
    with pytest.raises(InputError, match="expected room for a response of 6"):
        verl.pack([Rollout("p", 6, 1.0)], Signals(), 4)


def test_outcomes_at_the_last_token_give_the_group_methods() -> None:
    """R = [1, 0, 0, 1]: +-0.86588 for GRPO with verl's and TRL's eps, +-2/3 leave-one-out."""
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]])
    rewards = torch.zeros(4, 4)
    rewards[0, 2], rewards[3, 0] = 1.0, 1.0
    uids = np.array(["a"] * 4, dtype=object)
    for name, size in [("outcome", 0.86588), ("rloo", 2 / 3)]:
        advantages, _ = verl.estimator(METHODS[name])(rewards, mask, uids)
        sign = torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
        torch.testing.assert_close(advantages, sign * size * mask, atol=1e-5, rtol=0)


def test_turns_are_read_from_the_mask_and_nothing_leaks_onto_observations() -> None:
    """Two turns with an observation between; the first turn's reward is spread over two of its tokens."""
    mask = torch.tensor([[1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0]])
    rewards = torch.tensor([[0.25, 0.5, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, -1.0, 0.0, 0.0, 0.0]])
    read, signals = verl.turns(rewards.numpy(), mask.numpy() > 0, "pp", METHODS["pure"], Question.QUALITY)
    assert [r.spans for r in read] == [((0, 4), (4, 5)), ((0, 3),)]
    assert [r.outcome for r in read] == [1.0, -1.0]
    assert signals.scores == ((0.75, None), (None,))
    assert read[0].mask.tolist() == [True, True, False, False, True]
    advantages, _ = verl.estimator(METHODS["rloo"])(rewards, mask, np.array(["p", "p"]))
    assert not advantages[mask == 0].any()
    torch.testing.assert_close(advantages[0, 0], torch.tensor(2.0))


def test_a_score_at_the_last_token_of_an_observation_is_the_last_turns() -> None:
    """verl puts the score at the last token of a response, sampled or not."""
    mask = torch.tensor([[1, 1, 0, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0]])
    rewards = torch.zeros(2, 8)
    rewards[0, 6] = 1.0
    read, _ = verl.turns(rewards.numpy(), mask.numpy() > 0, "pp", METHODS["rloo"], Question.VALUE)
    assert [r.outcome for r in read] == [1.0, 0.0]
    advantages, _ = verl.estimator(METHODS["rloo"])(rewards, mask, np.array(["p", "p"]))
    torch.testing.assert_close(advantages, torch.tensor([[1.0], [-1.0]]) * mask)


def test_groups_are_prompts_wherever_they_stand_and_there_must_be_some() -> None:
    mask, rewards = torch.ones(4, 2), torch.tensor([[0, 1.0], [0, 5.0], [0, 0.0], [0, 3.0]])
    function = verl.estimator(METHODS["rloo"])
    mixed, _ = function(rewards, mask, np.array(["a", "b", "a", "b"]))
    torch.testing.assert_close(mixed[:, 0], torch.tensor([1.0, 2.0, -1.0, -2.0]))
    with pytest.raises(InputError, match="expected the prompts' uids"):
        function(rewards, mask)


def test_a_row_without_a_single_token_is_no_trouble() -> None:
    advantages, _ = verl.estimator(METHODS["rloo"])(
        torch.zeros(2, 3), torch.zeros(2, 3), np.array(["a", "a"])
    )
    assert not advantages.any()


def test_methods_are_registered_once_under_their_names(monkeypatch) -> None:
    known: dict[str, Callable] = {}

    def register_adv_est(name):
        def decorator(fn):
            assert known.setdefault(name, fn) is fn, "verl refuses another function under a known name"
            return fn

        return decorator

    core = types.ModuleType("verl.trainer.ppo.core_algos")
    core.register_adv_est = register_adv_est
    for name in ("verl", "verl.trainer", "verl.trainer.ppo"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "verl.trainer.ppo.core_algos", core)
    names = verl.register()
    assert verl.register() == names == list(known)
    assert {"preceptor_rloo", "preceptor_pure", "preceptor_pure_marked"} <= set(names)
    assert "preceptor_rloo_marked" not in names
    assert not any("prime" in name for name in names), "token scores do not fit beside an outcome"


def test_without_verl_registering_says_what_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "verl", None)
    with pytest.raises(InputError, match="verl: got no such package"):
        verl.register()


def test_the_reward_function_grades_and_says_when_it_could_not() -> None:
    right = verl.compute_score("gsm8k", "so 6*7=42\nAnswer: 42", "42", {"grader": "numeric"})
    assert (right["score"], right["undecided"], right["answer"]) == (1.0, 0.0, "42")
    assert verl.compute_score("gsm8k", "Answer: 41", "42", {"grader": "numeric"})["score"] == 0.0
    unknown = verl.compute_score("gsm8k", "Answer: 41", None)
    assert (unknown["score"], unknown["undecided"]) == (0.0, 1.0)


# verl issue 7244: a baseline with as many terms as the trajectory has turns

STOP, GO = (1.0,), (0.5, 0.5)
"""Rewards of the turns of a trajectory that stops after the first turn, and of one that goes on: equal sums."""


def push(
    method: CreditConfig, stop: tuple[float, ...], go: tuple[float, ...], group: int = 4, p: float = 0.4
) -> float:
    """Exact expected gradient of the logit of going on, over all groups of so many independent trajectories."""
    width = 6
    total = 0.0
    for gone in itertools.product([False, True], repeat=group):
        weight = np.prod([p if g else 1 - p for g in gone])
        mask, rewards = torch.zeros(group, width), torch.zeros(group, width)
        for i, g in enumerate(gone):
            for turn, reward in enumerate(go if g else stop):
                mask[i, 3 * turn : 3 * turn + 2] = 1
                rewards[i, 3 * turn + 1] = reward
        advantages, _ = verl.estimator(method)(rewards, mask, np.array(["q"] * group))
        # whether to go on is decided in the first turn
        score = [(1 - p) if g else -p for g in gone]
        total += weight * sum(a * s for a, s in zip(advantages[:, 0].tolist(), score, strict=True)) / group
    return float(total)


TO_GO = (StepScore(), RewardToGo())
NAIVE = CreditConfig((Stream(StepScore(), Center("turn", "mean"), RewardToGo()),))
DEFAULT = CreditConfig((Stream(*TO_GO, Center("prompt", "leave_one_out")),))


def test_a_baseline_per_turn_pays_for_stopping_where_stopping_changes_nothing() -> None:
    """The bias in closed form: going on is charged the mean reward of the turns that stopping never reaches.

    With groups of n the published form also counts a trajectory in its own mean, which takes away
    1/n of every turn's signal; a lone second turn has nothing to be compared with."""
    p, n = 0.4, 200
    naive = push(NAIVE, STOP, GO)
    assert naive < -0.05
    truth = p * (1 - p) * (sum(GO) - sum(STOP))
    assert truth == 0.0
    sampled = 0.0
    random = np.random.default_rng(0)
    gone = random.random(n) < p
    mask, rewards = torch.zeros(n, 6), torch.zeros(n, 6)
    for i, g in enumerate(gone):
        for turn, reward in enumerate(GO if g else STOP):
            mask[i, 3 * turn : 3 * turn + 2] = 1
            rewards[i, 3 * turn + 1] = reward
    advantages, _ = verl.estimator(NAIVE)(rewards, mask, np.array(["q"] * n))
    sampled = advantages[gone, 0].mean() - advantages[~gone, 0].mean()
    assert float(sampled) == pytest.approx(-GO[1], abs=1e-5), "exactly the mean of the second turn's rewards"


@pytest.mark.parametrize("stop, go", [(STOP, GO), ((0.2,), (0.3, 0.9)), ((0.8,), (0.1, 0.1))])
def test_the_whole_return_against_that_of_the_others_is_free_of_it(stop, go) -> None:
    p = 0.4
    truth = p * (1 - p) * (sum(go) - sum(stop))
    assert push(DEFAULT, stop, go) == pytest.approx(truth, abs=1e-6)
    assert push(NAIVE, stop, go) != pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize("name", ["outcome", "rloo", "dr_grpo"])
def test_the_methods_on_outcomes_do_not_care_how_many_turns_led_there(name) -> None:
    """The outcome is the last turn's reward, so the sums are put there."""
    assert push(METHODS[name], (1.0,), (0.0, 1.0)) == pytest.approx(0.0, abs=1e-6)
    assert push(METHODS[name], (0.0,), (0.0, 1.0)) > 0.05


def test_progress_is_free_of_it_when_the_last_value_is_the_outcome() -> None:
    """Success with probability 1/2 whether one stops or goes on; a value of 1/2 after the first turn of two.

    With values that end above or below the outcomes the charge by share is not: the mean of V(end) - V(start)
    is then paid to the turns that carry few of the tokens."""

    def pushed(bias: float, n: int = 3, p: float = 0.4) -> float:
        total = 0.0
        for kinds in itertools.product(itertools.product([False, True], [0.0, 1.0]), repeat=n):
            found = [Rollout("q", 2 + 2 * g, c, ((0, 2), (2, 4)) if g else ((0, 2),)) for g, c in kinds]
            values = tuple((0.5, c + bias) if g else (c + bias,) for g, c in kinds)
            batch = compute(found, Signals(values), METHODS["progress"])
            weight = np.prod([(p if g else 1 - p) / 2 for g, _ in kinds])
            score = [(1 - p) if g else -p for g, _ in kinds]
            total += weight * sum(a[0] * s for a, s in zip(batch.advantages, score, strict=True)) / n
        return total

    assert pushed(0.0) == pytest.approx(0.0, abs=1e-9)
    assert abs(pushed(0.3)) > 0.01
