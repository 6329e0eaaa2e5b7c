"""RLPR: the policy's own probability of the reference answer, after its reasoning (abstract index 213).

    PR  = mean_l exp(log p_l) over the reference's tokens, put in place of the generated answer (`with_reference`)
    r   = max(0, PR - PR_base), PR_base the same without the reasoning
    R   = 0.9 r + 0.1 format

A mean of probabilities does not collapse for long references, as their product does. A response without the answer
block has PR 0 and format 0. `Signals.scalars`: "probability", "base_probability", "format".

`Lively` drops prompts whose rewards hardly differ: deviation below `beta` times a moving mean that `DeviationFloor`
keeps and that a scorer gives as "deviation_floor" (None: no floor yet). Numbers from repo OpenBMB/RLPR;
script-specific (beta 1.0: Gemma). That the mean starts at its first value and ends before the batch it judges:
not found, ours. Left out: the repetition penalty (formula not found).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Filter, Op, Source, Stream
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Flags, Ragged

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def well_formed(text: str, tags: Sequence[str] = TAGS) -> bool:
    """Every tag exactly once, in order."""
    places = [text.find(tag) for tag in tags]
    return all(text.count(tag) == 1 for tag in tags) and places == sorted(places)


def with_reference(
    text: str, reference: str, tags: tuple[str, str] = TAGS[2:]
) -> tuple[str, int, int] | None:
    """The text with the last answer block's content replaced, and where the reference stands in it.

    None without a block: its probability is 0.
    """
    start = text.rfind(tags[0])
    end = text.find(tags[1], start + len(tags[0])) if start >= 0 else -1
    if end < 0:
        return None
    start += len(tags[0])
    return text[:start] + reference + text[end:], start, start + len(reference)


def mean_probability(logprobs: Sequence[float]) -> float:
    """PR of the reference's token log-probabilities; 0 for an empty reference."""
    return float(np.mean(np.exp(logprobs))) if len(logprobs) else 0.0


@dataclass(frozen=True)
class Debias(Op):
    """`max(threshold, PR - PR_base)`, 0 below the threshold."""

    base: Source = field(default_factory=lambda: Scalar("base_probability"))
    threshold: float = 0.0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        gains = [x - y for x, y in zip(values, self.base.of(batch), strict=True)]
        return [np.where(x < self.threshold, 0.0, x) for x in gains]


@dataclass
class DeviationFloor:
    """The moving mean of the batches' mean group deviation; one object a run.

    `floor` before a batch, then `update` with its rewards. Batches count from 1.
    """

    ratio: float = 0.99
    """Weight of the past."""
    beta: float = 1.0
    first: int = 6
    """Batch from which on deviations are counted."""
    active: int = 11
    """Batch from which on there is a floor."""
    batches: int = 0
    mean: float | None = None

    @property
    def floor(self) -> float | None:
        """For the batch to come."""
        return None if self.mean is None or self.batches + 1 < self.active else self.beta * self.mean

    def update(self, prompts: Sequence[str], rewards: Sequence[float | None]) -> None:
        self.batches += 1
        if self.batches < self.first:
            return
        groups: dict[str, list[float]] = {}
        for prompt, reward in zip(prompts, rewards, strict=True):
            if reward is not None:
                groups.setdefault(prompt, []).append(reward)
        found = [float(np.std(row, ddof=1)) for row in groups.values() if len(row) > 1]
        if found:
            new = float(np.mean(found))
            self.mean = new if self.mean is None else self.ratio * self.mean + (1 - self.ratio) * new


@dataclass(frozen=True)
class Lively(Filter):
    """Prompts whose reward has a deviation of at least the floor; a rollout without a floor stays."""

    reward: Stream
    """Of rollouts, without a baseline."""
    floor: Source = field(default_factory=lambda: Scalar("deviation_floor"))

    def __call__(self, batch: Batch) -> Flags:
        rewards = np.array([x[0] for x in self.reward.values(batch)[0]])
        floors = np.array([x[0] for x in self.floor.of(batch)])
        keep = np.ones(len(batch), dtype=bool)
        for members in batch.groups:
            known = rewards[members][~np.isnan(rewards[members])]
            deviation = float(known.std(ddof=1)) if len(known) > 1 else 0.0
            keep[members] = ~(deviation < floors[members])
        return keep
