"""FAPO: right answers by flawed steps (abstract index 185; repo yyDing1/FAPO).

The rule reward is 1 or -1. A right answer in which a generative reward model finds an error gets `penalty` less, 0.
Under the group's mean that is positive while most rollouts are wrong and negative once more are clean than wrong: a
curriculum without a setting. A critique that cannot be read finds no error.

`genrm_reward` trains that model. The learner's: clip 0.2 / 0.28, dual clip 10, no KL, the overlong buffer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.ops.judges import Vote, critiques_of, wrong_share
from preceptor.credit.types import Ragged
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR


@dataclass(frozen=True)
class Flawed(Op):
    """Rewards of 1 or -1: the penalty off those above 0 with a step judged wrong."""

    reads: ClassVar[frozenset[str]] = frozenset({"verdicts"})
    penalty: float = 1.0
    vote: Vote = "majority"

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for r, x, critiques in zip(batch.rollouts, values, critiques_of(batch), strict=True):
            flawed = bool(wrong_share(critiques, len(r.spans), self.vote).any())
            out.append(x - self.penalty if flawed and x[0] > 0 else x)
        return out


def genrm_reward(predicted: int | None, gold: int, steps: int) -> float:
    """Of one reply: the index of the first wrong step it names, `NO_ERROR`, or None for unreadable.

    -1 for unreadable, out of range, a false alarm or a missed error; 1 for a rightful all-clear; else
    `1 - |predicted - gold| / steps`.
    """
    if not NO_ERROR <= gold < steps:
        raise InputError(
            f"genrm_reward: got gold {gold}, expected a step index below {steps} or {NO_ERROR} for none."
        )
    if predicted is None or not NO_ERROR <= predicted < steps:
        return -1.0
    if NO_ERROR in (predicted, gold):
        return 1.0 if predicted == gold else -1.0
    return 1.0 - abs(predicted - gold) / steps
