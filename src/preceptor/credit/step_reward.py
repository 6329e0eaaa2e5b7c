"""Stage 1: scores -> a reward per step, NaN where nothing is known.

A potential is a number that belongs to a prefix; its differences telescope, so no number of steps can earn
more than the last potential minus the first. What the potential is depends on the question the scores
answer, never on their range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from preceptor.credit.types import Array, Ragged, Rollout, Signals
from preceptor.errors import InputError
from preceptor.judgement import Question


def _array(scores: Sequence[float | None] | None, steps: int) -> Array:
    if scores is None:
        return np.full(steps, np.nan)
    return np.array([np.nan if s is None else s for s in scores], dtype=float)


def score(rollouts: Sequence[Rollout], signals: Signals) -> Ragged:
    """The score itself: `r_t = s_t`, `(T_i,)` each."""
    return [_array(s, len(r.spans)) for r, s in zip(rollouts, signals.scores, strict=True)]


def progress(rollouts: Sequence[Rollout], signals: Signals) -> Ragged:
    """The change of a potential: `r_t = V_t - V_{t-1}`, `(T_i,)` each (arXiv 2410.08146).

    - value scores are the potential; V_0 is `signals.start`, else the group's success rate;
    - validity scores become the running minimum (how sure is it that no step so far is wrong), V_0 = 1,
      so steps after an error cannot earn their way back;
    - progress scores are taken as they are.

    An unjudged step moves nothing: the next judged step gets the whole difference. The same holds for a
    step without a token of its own, whose text is in a token of the following step.
    """
    if signals.question is Question.QUALITY:
        raise InputError(
            "credit: got scores that answer 'quality', expected value, validity or progress: a difference of "
            "qualities is not progress. Use a method with step_reward='score', or another scorer."
        )
    starts = _starts(rollouts, signals)
    rewards = []
    for rollout, raw, start in zip(rollouts, score(rollouts, signals), starts, strict=True):
        if np.isnan(raw).all():
            rewards.append(raw)
        elif signals.question is Question.PROGRESS:
            rewards.append(_differences(np.cumsum(np.nan_to_num(raw)), 0.0, rollout.tokens))
        elif signals.question is Question.VALIDITY:
            rewards.append(_differences(np.fmin.accumulate(raw), 1.0, rollout.tokens))
        else:
            rewards.append(_differences(raw, start, rollout.tokens))
    return rewards


def _starts(rollouts: Sequence[Rollout], signals: Signals) -> list[float]:
    """The value of each rollout's prompt: given, else the group's success rate, else 0."""
    outcomes: dict[str, list[float]] = {}
    for r in rollouts:
        if r.outcome is not None:
            outcomes.setdefault(r.prompt_id, []).append(r.outcome)
    rates = {prompt: float(np.mean(known)) for prompt, known in outcomes.items()}
    given = signals.start or (None,) * len(rollouts)
    return [rates.get(r.prompt_id, 0.0) if v is None else v for r, v in zip(rollouts, given, strict=True)]


def _differences(potential: Array, start: float, tokens: Array) -> Array:
    """Differences over known potentials; silent steps (unjudged or without a token) move nothing."""
    potential = potential.copy()
    known = np.flatnonzero(~np.isnan(potential))
    carriers = np.flatnonzero(tokens > 0)
    if len(carriers) and len(known):
        # a judged step behind the last token has no follower to carry it: the last carrier does
        potential[carriers[-1]] = potential[max(known[-1], carriers[-1])]
    moved, at = np.zeros(len(potential)), start
    for t in carriers:
        if not np.isnan(potential[t]):
            moved[t], at = potential[t] - at, potential[t]
    return moved


STEP_REWARDS: dict[str, Callable[[Sequence[Rollout], Signals], Ragged]] = {
    "progress": progress,
    "score": score,
}
