"""BRPO: better or worse than one of the group, drawn at random (abstract index 211).

A pairwise judge compares every other rollout of the prompt with the reference: advantage 1 if it wins, else -1, without
mean or deviation. The reference is not trained on. Prompts that lean too far to one side are dropped (`Balanced`).

`references` draws them, anew each update, and the order in which the judge reads a pair.
`Signals.scalars["preferred"]`: 1 for a win, 0 for none, None for the reference and for what could not be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Filter, RowOp, Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Array, Flags
from preceptor.trace import stream_seed


class Comparison(NamedTuple):
    """What to ask of one rollout."""

    reference: int
    """Index of the rollout to compare with; its own for the reference itself."""
    first: bool
    """True: the judge reads the rollout before the reference."""


def references(prompts: Sequence[str], seed: int = 0, step: int = 0) -> list[Comparison]:
    """One a rollout, given the rollouts' prompts, in their order."""
    groups: dict[str, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(i)
    out: list[Comparison | None] = [None] * len(prompts)
    for prompt, members in groups.items():
        rng = np.random.default_rng(stream_seed("brpo", seed, step, prompt))
        reference = members[int(rng.integers(len(members)))]
        for i, first in zip(members, rng.random(len(members)) < 0.5, strict=True):
            out[i] = Comparison(reference, bool(first))
    return [c for c in out if c is not None]


@dataclass(frozen=True)
class Against(RowOp):
    """1 for a win, else -1."""

    threshold: float = 0.5

    def row(self, x: Array) -> Array:
        return np.where(np.isnan(x), np.nan, np.where(x > self.threshold, 1.0, -1.0))


@dataclass(frozen=True)
class Balanced(Filter):
    """Prompts whose mean of 1 and -1 is at most `bound` in size (not found, ours: 0.8)."""

    preferred: Source = field(default_factory=lambda: Scalar("preferred"))
    bound: float = 0.8

    def __call__(self, batch: Batch) -> Flags:
        signs = np.array([Against().row(x)[0] for x in self.preferred.of(batch)])
        keep = np.zeros(len(batch), dtype=bool)
        for members in batch.groups:
            known = signs[members][~np.isnan(signs[members])]
            keep[members] = len(known) > 0 and abs(known.mean()) <= self.bound
        return keep
