r"""Noisy rewards and the reasoning-pattern reward (abstract index 209).

`FlipGroups` is the robustness test: with probability p all outcomes of a prompt become 1 minus themselves, so a group
of equals stays one. `pattern_reward` knows nothing of the task: it counts phrases of careful reasoning, each once, and
charges repetition. `Soften` adds it to a reward model's negative rewards, to make false negatives cheaper.

The repository (trestad/Noisy-Rewards-in-Learning-to-Reason) has about 40 phrases; the ones here beyond the first seven
are ours, as are the amount charged for a self-made "user:" turn and the rule of `Soften` (threshold not found).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Scalar
from preceptor.credit.types import Ragged
from preceptor.trace import stream_seed

PHRASES = (
    *("i need to", "we need to", "wait", "alternatively", "let me check", "first, ", "therefore"),
    *(
        "second, ",
        "next, ",
        "finally, ",
        "let's",
        "let me see",
        "let me think",
        "let me verify",
        "let me try",
    ),
    *("i should", "we can", "we have", "we know that", "note that", "recall that", "suppose", "assume"),
    *("if we", "because", "since ", "thus", "hence", "so the", "which means", "this means", "in other words"),
    *(
        "for example",
        "on the other hand",
        "however",
        "hmm",
        "actually",
        "double-check",
        "going back",
        "to summarize",
    ),
)
_USER = re.compile(r"^[ \t]{0,8}user:", re.IGNORECASE | re.MULTILINE)


def pattern_reward(text: str, *, full: int = 20, n: int = 20, turn: float = 1.0) -> float:
    """Phrases found by `full`, at most 1, minus the share of repeated n-grams of words and `turn` for each "user:"
    turn; at least 0."""
    lowered = text.lower()
    found = sum(phrase in lowered for phrase in PHRASES)
    charged = repeated(text, n) + turn * len(_USER.findall(text))
    return max(0.0, min(1.0, found / full) - charged)


def repeated(text: str, n: int = 20) -> float:
    """Share of the n-grams of words that stood before; 0 for a text without one."""
    words = text.split()
    grams = len(words) - n + 1
    if grams < 1:
        return 0.0
    return 1.0 - len({tuple(words[i : i + n]) for i in range(grams)}) / grams


@dataclass(frozen=True)
class FlipGroups(Op):
    """1 minus the value for all rollouts of a prompt, with some probability, by seed, update and prompt alone."""

    probability: float = 0.4
    seed: int = 0

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [
            1.0 - x if self.flips(r.prompt_id, batch) else x
            for x, r in zip(values, batch.rollouts, strict=True)
        ]

    def flips(self, prompt: str, batch: Batch) -> bool:
        drawn = stream_seed("noisy_rpr", self.seed, batch.signals.step, prompt) / 2**63
        return drawn < self.probability


@dataclass(frozen=True)
class Soften(Op):
    """Plus `weight` times the pattern reward where the value is negative; absent where it is absent there."""

    pattern: Source = field(default_factory=lambda: Scalar("pattern"))
    weight: float = 0.1

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [
            x + np.where(x < 0, self.weight * pattern, 0.0)
            for x, pattern in zip(values, self.pattern.of(batch), strict=True)
        ]
