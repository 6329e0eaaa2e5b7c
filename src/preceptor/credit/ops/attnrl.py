"""AttnRL: branch where later steps look back, credit by tree values (Attention as a compass, repo RyanLiu112/AttnRL).

A node is the text between two branch points; all its tokens get `[(V - V_root) + (V - V_parent)] / sqrt(leaves)`,
once. A prompt's n first responses are branched at steps that much later attention points to (`influence`,
`branch_points`); how many of them depends on how hard the prompt is (`expansions`, `to_expand`, `Solved`), how many
prompts the next batch needs on how many sequences were of use (`PromptCount`).

Kept are prompts with any non-zero advantage (published: sequences with one; a learner may drop those that `useful`
marks). Not found, ours: the offset 1, the order of candidates (highest score first), the form of the moving average.
Left out: the sampler itself and its one-step-old branching, whose ratios use stored log-probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Source
from preceptor.credit.ops.trees import paths
from preceptor.credit.types import AdvantageBatch, Array, Flags, Level, Ragged
from preceptor.errors import InputError


@dataclass(frozen=True)
class SegmentAdvantage(Source):
    """`(T_i,)` each: the advantage of the segment a step is in, a run of steps with the same leaves below."""

    level: ClassVar[Level] = "step"
    reads: ClassVar[frozenset[str]] = frozenset({"nodes", "outcome"})

    def __call__(self, batch: Batch) -> Ragged:
        out = []
        for value, above, leaves, root in paths(batch):
            # leaves only get fewer on the way down, so a new number starts a new segment
            first = np.concatenate([[True], np.diff(leaves) != 0])[: len(leaves)]
            parent = above[first][np.cumsum(first) - 1]
            out.append((value - root + value - parent) / np.sqrt(np.maximum(leaves, 1.0)))
        return out


def step_attention(attention: Array, spans: Sequence[tuple[int, int]]) -> Array:
    """`(H, L, L)` attention of query tokens to key tokens, one matrix a layer and head -> `(H, S, S)`: the average
    over the query tokens of segment j and the key tokens of segment k; 0 for an empty one."""
    out = np.zeros((len(attention), len(spans), len(spans)))
    for j, (a, b) in enumerate(spans):
        for k, (c, d) in enumerate(spans):
            if b > a and d > c:
                out[:, j, k] = attention[:, a:b, c:d].mean(axis=(1, 2))
    return out


def influence(steps: Array, offset: int = 1, thinking: int | None = None) -> Array:
    """`(S,)` score of each segment of `(H, S, S)` step attention: what the segments `offset` or more behind it pay
    to it, summed, the maximum over layers and heads.

    Segment 0 is the prompt and 1 the first step: both 0. So is what comes after the first `thinking` segments.
    """
    if steps.ndim != 3 or steps.shape[1] != steps.shape[2]:
        raise InputError(
            f"influence: got step attention of shape {steps.shape}, expected (heads, segments, segments)."
        )
    size = steps.shape[1]
    later = np.arange(size)[:, None] >= np.arange(size)[None, :] + offset
    scores = np.asarray((steps * later).sum(axis=1).max(axis=0, initial=0.0), dtype=float)
    scores[:2] = 0.0
    scores[size if thinking is None else thinking :] = 0.0
    return scores


def branch_points(
    scores: Array, starts: Sequence[int], n: int = 2, percentile: float = 80.0, distance: int = 512
) -> list[int]:
    """Up to `n` steps of a response to branch at (the branch replaces the step), ascending.

    `scores` `(T,)` and `starts`, first tokens, of the response's steps, the first step included. Candidates score at
    least the percentile of the response, are not the first step, and are `distance` tokens away from the start and
    from each other; when there are too few, the earliest other steps fill up, at any distance.
    """
    chosen: list[int] = []
    if len(scores) > 1:
        bar = np.percentile(scores, percentile)
        for t in np.argsort(-scores, kind="stable").tolist():
            apart = all(abs(starts[t] - at) >= distance for at in (0, *(starts[c] for c in chosen)))
            if len(chosen) < n and t > 0 and scores[t] >= bar and apart:
                chosen.append(t)
    rest = [t for t in range(1, len(scores)) if t not in chosen]
    return sorted(chosen + rest[: n - len(chosen)])


def expansions(accuracy: float, n: int = 6) -> int:
    """How many of a prompt's n responses to branch: `ceil(n exp(-accuracy))`, more for a harder prompt."""
    return math.ceil(n * math.exp(-accuracy))


def to_expand(outcomes: Sequence[float]) -> list[int]:
    """The responses to branch, by index: those of the rarer outcome first, else in the order given.

    A prompt that is solved throughout needs `Solved` too.
    """
    right = [x > 0 for x in outcomes]
    rare = sum(right) * 2 < len(right)
    order = sorted(range(len(right)), key=lambda i: right[i] != rare)
    return order[: expansions(sum(right) / len(right), len(right))] if right else []


@dataclass(frozen=True)
class Solved:
    """Running mean of the mean attention score of prompts whose responses are all right: only those above it are
    expanded, the others are dropped. The first is compared with 0."""

    mean: float = 0.0
    count: int = 0

    def __call__(self, score: float) -> tuple[bool, Solved]:
        """Whether to expand a prompt of this score, and the mean with it."""
        count = self.count + 1
        return score > self.mean, Solved(self.mean + (score - self.mean) / count, count)


def useful(batch: AdvantageBatch) -> Flags:
    """`(N,)` True for the sequences with a non-zero advantage."""
    return np.array([bool(a.any()) for a in batch.advantages], dtype=bool)


@dataclass(frozen=True)
class PromptCount:
    """How many prompts to sample so that the number of useful sequences stays at `target`: a moving average of the
    useful sequences a prompt gave. 64 prompts to begin with."""

    target: int
    alpha: float = 0.1
    prompts: int = 64
    rate: float | None = None
    """Useful sequences a prompt so far; None before the first batch."""

    def after(self, sequences: int) -> PromptCount:
        """The next count, when `prompts` prompts gave so many useful sequences."""
        seen = sequences / self.prompts
        rate = seen if self.rate is None else (1 - self.alpha) * self.rate + self.alpha * seen
        return replace(
            self, rate=rate, prompts=max(1, math.ceil(self.target / rate)) if rate > 0 else self.prompts
        )
