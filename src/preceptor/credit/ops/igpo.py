"""IGPO: a turn earns what it tells the policy about the answer (Information Gain-based Policy Optimization, repo
GuoqingWang1/IGPO).

Every turn but the answer's has its information gain (`beliefs.Gains`); the answer turn has the outcome, in the paper
the word-level F1 with the gold answer, a negative number for a malformed one. `separate` normalises the two kinds
each for itself, `joint` in one pool; then a turn answers for itself and all later turns (gamma 1, so that the outcome
reaches every turn as it is). The last turn counts as the answer turn: a rollout does not say whether it was cut off.

Deviations: turns are explicit spans, not non-zero rewards (which loses turns with a gain of exactly 0) nor token
indices across rollouts (misaligned); both are in public code. A pool of one value gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.batch import Batch, last_carrier
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Outcome
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class Answer(Op):
    """The rollout's number on its last turn with a token, in place of what was there; absent turns stay absent."""

    source: Source = field(default_factory=Outcome)

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for x, given, sizes in zip(values, self.source.of(batch), batch.sizes, strict=True):
            x = x.copy()
            if len(x) and not np.isnan(given[0]):
                x[last_carrier(sizes)] = given[0]
            out.append(x)
        return out
