"""Operations that several belief methods share.

A belief is the chance a model gives the reference answer after a prefix: the trace so far, an answer prefix that
closes the reasoning, then the reference, whose tokens alone are read. It is a value score: it comes in
`Signals.scores`, with the belief in the prompt alone in `Signals.start` (`preceptor.learn.signals.beliefs`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import StepScore
from preceptor.credit.types import Array, Level, Ragged
from preceptor.errors import InputError
from preceptor.judgement import Question


def levels(batch: Batch, answer: bool) -> list[tuple[NDArray[np.int64], Array]]:
    """Per rollout the n steps whose score counts, `(n,)`, and the scores before and at them, `(n + 1,)`.

    The first level is that of the prompt, NaN when it was not measured. Steps without a score or without a token
    of their own do not count: the next step that does gets the whole difference. Without `answer` the last step
    with a token does not count either.
    """
    if batch.signals.question is not Question.VALUE:
        raise InputError(
            f"credit: got scores that answer {batch.signals.question.value!r}, expected value: the method reads "
            "the chance of the reference answer after each step. Use a scorer that measures it."
        )
    starts = batch.signals.start or (None,) * len(batch)
    found = []
    for r, raw, start in zip(batch.rollouts, StepScore()(batch), starts, strict=True):
        counts = ~np.isnan(raw) & (r.tokens > 0)
        if not answer and len(counts):
            counts[last_carrier(r.tokens)] = False
        at = np.flatnonzero(counts)
        found.append((at, np.concatenate([[np.nan if start is None else start], raw[at]])))
    return found


@dataclass(frozen=True)
class Gains(Source):
    """`B_t - B_{t-1}`, `(T_i,)` each: what a step told the policy about the answer. They telescope.

    With `answer=False` the last step, where the answer is given, has none. Where the prompt's belief is unknown,
    so is the first gain.
    """

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"scores"})
    answer: bool = True

    def __call__(self, batch: Batch) -> Ragged:
        out = batch.absent("step")
        for gains, (at, found) in zip(out, levels(batch, self.answer), strict=True):
            gains[at] = np.diff(found)
        return out


@dataclass(frozen=True)
class PooledScale(Op):
    """Divided by the root mean square of all values of the prompt, which come in centered.

    `inside` is added under the root; below `least` the divisor is 1. `std` has n - 1 in the denominator.
    """

    form: Literal["std", "population"] = "population"
    inside: float = 0.0
    least: float = 0.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = [x.copy() for x in values]
        for members in batch.groups:
            pool = np.concatenate([values[i] for i in members])
            pool = pool[~np.isnan(pool)]
            freedom = max(len(pool) - (self.form == "std"), 1)
            root = math.sqrt(float(np.square(pool).sum()) / freedom + self.inside)
            for i in members:
                out[i] = values[i] / (root if root > self.least else 1.0)
        return out


@dataclass(frozen=True)
class Through(Op):
    """0 for a step nobody measured, in a rollout where something was: what comes later counts for it as well.

    For after the statistics, before a sum over turns.
    """

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [x if np.isnan(x).all() else np.nan_to_num(x) for x in values]
