"""TP-GRPO: a judge's labels, merged into thoughts (abstract index 72).

Maximal runs of steps with the same label are one thought. Its reward:

                     right thought   wrong thought
    right solution         1             -acc
    wrong solution      1 - acc           -1

acc: the prompt's mean outcome. A wrong attempt inside a solution that comes out right costs little while the prompt
is hard, all once it is easy. `ThoughtNorm` compares thoughts, each counting once, so that cutting one into more steps
of the same label changes nothing.

The reward table is not found, ours. Left out: the judge's prompts (another for right and for wrong solutions)
and the off-policy loss, which is the learner's. Without a readable critique a rollout has no thoughts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from preceptor.credit.baseline import EPS
from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.ops.judges import Vote, critiques_of, wrong_share
from preceptor.credit.types import Array, Level, Ragged


@dataclass(frozen=True)
class ThoughtReward(Source):
    """The reward of the thought that a step belongs to, `(T_i,)` each; NaN for a step without a sampled token."""

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"outcome", "verdicts"})
    vote: Vote = "majority"

    def __call__(self, batch: Batch) -> Ragged:
        out = []
        for i, (r, critiques) in enumerate(zip(batch.rollouts, critiques_of(batch), strict=True)):
            reward = np.full(len(r.spans), np.nan)
            if batch.present[i] and any(c is not None for c in critiques):
                wrong = wrong_share(critiques, len(r.spans), self.vote) > 0.5
                right_thought, wrong_thought = _pay(batch.outcomes[i] > 0, float(batch.rates[i]))
                reward = np.where(wrong, wrong_thought, right_thought)
                reward[r.tokens == 0] = np.nan
            out.append(reward)
        return out


def _pay(right: bool, ability: float) -> tuple[float, float]:
    return (1.0, -ability) if right else (1.0 - ability, -1.0)


@dataclass(frozen=True)
class ThoughtNorm(Op):
    """Minus the mean, by the sample deviation, of the prompt's thoughts; a lone thought gets NaN.

    The two labels of a rollout have different rewards, so equal neighbours are one thought.
    """

    eps: float = EPS

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = [np.full(len(x), np.nan) for x in values]
        for members in batch.groups:
            thoughts = np.concatenate([_runs(values[i]) for i in members])
            if len(thoughts) > 1:
                scale = thoughts.std(ddof=1) + self.eps
                for i in members:
                    out[i] = (values[i] - thoughts.mean()) / scale
        return out


def _runs(x: Array) -> Array:
    """One value for each maximal run of equal known values."""
    known = x[~np.isnan(x)]
    return known[np.append(True, known[1:] != known[:-1])] if len(known) else known
