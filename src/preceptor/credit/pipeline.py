"""Rollouts and step scores -> per-token advantages, as a chain of pure stages.

    scores -> step_reward -> transform -> mix -> returns -> baseline --(weight)--+
    outcomes ------------------------------------------------> baseline ---------+-> broadcast -> filter

No trainer and no tensor library in here; every array is float64. Left out: critics (GAE), losses, and
anything that needs a second forward pass (that is a scorer's work).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.credit import baseline
from preceptor.credit.broadcast import to_tokens, whole
from preceptor.credit.filter import FILTERS
from preceptor.credit.mix import MIXES
from preceptor.credit.returns import RETURNS
from preceptor.credit.stats import summarize
from preceptor.credit.step_reward import STEP_REWARDS
from preceptor.credit.transform import TRANSFORMS
from preceptor.credit.types import AdvantageBatch, CreditConfig, Ragged, Rollout, Signals
from preceptor.errors import InputError


def compute(rollouts: Sequence[Rollout], signals: Signals | None, config: CreditConfig) -> AdvantageBatch:
    """Advantages for N rollouts, in their order; groups are the rollouts with equal `prompt_id`.

    `signals` may be None for a method without step rewards. Rollouts without an outcome are in no
    statistic and get advantage 0 and weight 0.
    """
    rewards = _step_rewards(rollouts, signals, config)
    outcome = _outcome_stream(rollouts, config)
    steps = _step_stream(rollouts, rewards, config)
    combined = [a + b for a, b in zip(outcome, steps, strict=True)]
    keep = FILTERS[config.keep](rollouts, combined)
    weights = [r.mask.astype(float) * k for r, k in zip(rollouts, keep, strict=True)]
    return AdvantageBatch(
        advantages=[a * k for a, k in zip(combined, keep, strict=True)],
        token_weights=weights,
        keep=keep,
        stats=summarize(rollouts, None if config.step_reward == "none" else rewards, outcome, steps),
    )


def _step_rewards(rollouts: Sequence[Rollout], signals: Signals | None, config: CreditConfig) -> Ragged:
    absent = [np.full(len(r.spans), np.nan) for r in rollouts]
    if config.step_reward == "none":
        return absent
    if signals is None:
        raise InputError(
            f"credit: got no step scores, expected some for step_reward={config.step_reward!r}. Give a "
            "scorer, or use a method of the outcome alone."
        )
    _check(rollouts, signals)
    rewards = STEP_REWARDS[config.step_reward](rollouts, signals)
    transform = TRANSFORMS[config.transform]
    return [
        transform(r) if rollout.outcome is not None else gone
        for rollout, r, gone in zip(rollouts, rewards, absent, strict=True)
    ]


def _outcome_stream(rollouts: Sequence[Rollout], config: CreditConfig) -> Ragged:
    if config.outcome is None:
        return [np.zeros(r.length) for r in rollouts]
    values = [np.array([np.nan if r.outcome is None else r.outcome]) for r in rollouts]
    sizes = [np.array([float(r.mask.sum())]) for r in rollouts]
    centered = baseline.advantages(values, sizes, [r.prompt_id for r in rollouts], config.outcome)
    return [whole(r, a[0]) for r, a in zip(rollouts, centered, strict=True)]


def _step_stream(rollouts: Sequence[Rollout], rewards: Ragged, config: CreditConfig) -> Ragged:
    if config.step_reward == "none":
        return [np.zeros(r.length) for r in rollouts]
    mix, to_go = MIXES[config.mix], RETURNS[config.returns]
    values = [
        x if r.outcome is None else to_go(mix(x, r.outcome)) for r, x in zip(rollouts, rewards, strict=True)
    ]
    sizes = [r.tokens for r in rollouts]
    centered = baseline.advantages(values, sizes, [r.prompt_id for r in rollouts], config.steps)
    return [config.step_weight * to_tokens(r, a) for r, a in zip(rollouts, centered, strict=True)]


def _check(rollouts: Sequence[Rollout], signals: Signals) -> None:
    if len(signals.scores) != len(rollouts):
        raise InputError(
            f"credit: got step scores of {len(signals.scores)} rollouts, expected {len(rollouts)}, in the "
            "same order."
        )
    for i, (rollout, scores) in enumerate(zip(rollouts, signals.scores, strict=True)):
        if scores is not None and len(scores) != len(rollout.spans):
            raise InputError(
                f"credit: rollout {i} of prompt {rollout.prompt_id}: got {len(scores)} scores, expected "
                f"{len(rollout.spans)}, one a step (None for an unjudged one)."
            )
