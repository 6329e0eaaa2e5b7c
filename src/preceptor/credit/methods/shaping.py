"""Scores of a process reward model as rewards: summed, pooled, or shaped so that steps cannot be farmed.

Published with PPO and a critic, except where a row says otherwise. There is no critic here: rows with rewards per
step have REINFORCE returns (reward-to-go, whitened over the batch's tokens), rows with one reward a rollout a
leave-one-out baseline. `returns.gae` is there for a learner with a critic; the KL penalty is the learner's.
"""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.mix import Add
from preceptor.credit.ops.clip_delta import Clip, Delta
from preceptor.credit.ops.easy_to_hard import Bonus, NewLow
from preceptor.credit.ops.pspo_wrs import Growth, Weibull
from preceptor.credit.ops.vsrm import LookAhead
from preceptor.credit.pool import Pool
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import StepScore
from preceptor.credit.transform import Scale, Whiten

_LOO = Center("prompt", "leave_one_out")

METHODS: dict[str, CreditConfig] = {
    # Math-Shepherd step-by-step PPO: each step's score at its end, summed. The naive form: it pays for more steps.
    "shepherd_ppo": CreditConfig((Stream(StepScore(), RewardToGo()),), after=(Whiten(),)),
    # The same with every score but the last dropped: PPO on an outcome reward model.
    "shepherd_orm": CreditConfig((Stream(StepScore(), Pool("last")),), after=(Whiten(),)),
    # Let's Reinforce Step by Step: one terminal reward pooled from the scores, or the scores per step.
    "agg_rewards": CreditConfig((Stream(StepScore(), Pool("mean"), _LOO),)),
    "agg_rewards_prod": CreditConfig((Stream(StepScore(), Pool("product"), _LOO),)),
    "agg_rewards_max": CreditConfig((Stream(StepScore(), Pool("max"), _LOO),)),
    "agg_rewards_min": CreditConfig((Stream(StepScore(), Pool("min"), _LOO),)),
    "agg_rewards_steps": CreditConfig((Stream(StepScore(), RewardToGo()),), after=(Whiten(),)),
    # Easy-to-Hard: new lows charged, a bonus of .25 a rollout, the outcome at the end. The repository halves a
    # step's reward between its two delimiter tokens; returns by step are the same. Left out: stop-token penalty.
    "easy_to_hard": CreditConfig(
        (Stream(StepScore(), NewLow("min"), Bonus(0.25), Add(), RewardToGo()),), after=(Whiten(),)
    ),
    "easy_to_hard_prod": CreditConfig(
        (Stream(StepScore(), NewLow("product"), Bonus(0.25), Add(), RewardToGo()),), after=(Whiten(),)
    ),
    # Its option `terminal`: the sum of the rewards at the end only.
    "easy_to_hard_terminal": CreditConfig(
        (Stream(StepScore(), NewLow("min"), Bonus(0.25), Add(), Pool("sum")),), after=(Whiten(),)
    ),
    # Clip, then Delta, plus success at the end.
    "clip_delta": CreditConfig(
        (Stream(StepScore(), Clip(0.5), Delta(), Scale(1.0), Add(), RewardToGo(), _LOO),)
    ),
    "clip_delta_clip": CreditConfig((Stream(StepScore(), Clip(0.5), Scale(1.0), Add(), RewardToGo(), _LOO),)),
    "clip_delta_delta": CreditConfig((Stream(StepScore(), Delta(), Scale(1.0), Add(), RewardToGo(), _LOO),)),
    # PSPO-WRS: geometric mean of the scores times a curve of the number of steps; `ff` is the repo's other curve.
    "pspo_wrs": CreditConfig((Stream(StepScore(), Pool("geometric"), Weibull(), _LOO),)),
    "pspo_ff": CreditConfig((Stream(StepScore(), Pool("geometric"), Growth(), _LOO),)),
    # VSRM with REINFORCE++ (published, beside PPO): accuracy changes at the cuts, the outcome on the last step.
    "vsrm": CreditConfig((Stream(StepScore(), LookAhead(), Add(), RewardToGo()),), after=(Whiten(),)),
}

_AGG = ("default aggregation: not found, ours; the average is best on GSM8K (from memory)",)
_CLIP = ("eta 0.5: not found, ours", "alpha 1.0: not found, ours", "leave-one-out for the critic: ours")
_CRITIC = ("REINFORCE++ for the critic: ours",)

MARKS: dict[str, tuple[str, ...]] = {
    "shepherd_ppo": _CRITIC,
    "shepherd_orm": _CRITIC,
    "agg_rewards": (*_AGG, "leave-one-out for the critic: ours"),
    "agg_rewards_prod": ("leave-one-out for the critic: ours",),
    "agg_rewards_max": ("leave-one-out for the critic: ours",),
    "agg_rewards_min": ("leave-one-out for the critic: ours",),
    "agg_rewards_steps": _CRITIC,
    "easy_to_hard": _CRITIC,
    "easy_to_hard_prod": _CRITIC,
    "easy_to_hard_terminal": _CRITIC,
    "clip_delta": _CLIP,
    "clip_delta_clip": _CLIP,
    "clip_delta_delta": ("alpha 1.0: not found, ours", "leave-one-out for the critic: ours"),
    "pspo_wrs": ("leave-one-out for the critic: ours",),
    "pspo_ff": ("leave-one-out for the critic: ours",),
    "vsrm": ("the change behind a cut is paid at the cut, to the step before it: not confirmed",),
}
