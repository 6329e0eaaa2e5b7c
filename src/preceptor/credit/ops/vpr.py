"""VPR: an oracle of the environment says of each turn whether it was right (Verifiable Process Rewards).

The scores are the oracle's bits: the move keeps the game winnable, violates no constraint, maximises the exact
posterior utility; 0 for what it rejects, 0 or a negative number for an invalid action. Turns are compared at the same
turn index where states are comparable, else over all turns of the prompt; an outcome stream is optional (weights
not found: 0 or 1).

The benefit scales with the oracle's reliability: `OracleNoise` flips bits to measure that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Ragged


@dataclass(frozen=True)
class OracleNoise(Op):
    """Flips each bit with probability `rate`; negative scores stay. Draws depend on the seed, the update, the prompt
    and the rollout's place in its group, so a rate above 0 makes the order of a group matter."""

    rate: float = 0.0
    seed: int = 0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        if self.rate == 0.0:
            return values
        out = [x.copy() for x in values]
        for members in batch.groups:
            prompt = batch.rollouts[members[0]].prompt_id
            key = hashlib.sha256(f"{self.seed}/{batch.signals.step}/{prompt}".encode()).digest()
            rng = np.random.default_rng(int.from_bytes(key[:8], "little"))
            for i in members:
                flipped = (rng.random(len(values[i])) < self.rate) & (values[i] >= 0)
                out[i] = np.where(flipped, 1.0 - values[i], values[i])
        return out
