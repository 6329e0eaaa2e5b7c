"""How sure a policy was while it wrote: means over windows of token confidence, and one number for a trace.

Two token confidences, never mixed, both higher where surer:

    top-20      DeepConf's `-(1/k) sum log p` over the 20 likeliest tokens; local models only (`confident_policy.py`)
    sampled     log-probability of the sampled token, at temperature 1: all that other policies give. Its expectation
                is minus the entropy of the token, so windows rank texts by entropy; single tokens are noise

As a vote's weight a top-20 confidence stands for itself, a mean log-probability for its exponential, which is positive.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.generation import Policy
from preceptor.search.state import Search
from preceptor.search.tree import Node

WINDOW = 2048
BOTTOM = 0.1
TOP20, SAMPLED = "top-20", "sampled"


@dataclass(frozen=True)
class Tokens:
    """Confidences of the tokens of one path."""

    kind: str
    """`TOP20` or `SAMPLED`."""
    values: tuple[float, ...]


def tokens(search: Search, node: Node) -> Tokens | None:
    """Of the node's path, by the top 20 where the policy gave them; None where it gave nothing."""
    own = [
        n.data.get("policy", {}).get("confidences") for n in search.tree.lineage(node) if n.parent is not None
    ]
    if own and all(values is not None for values in own):
        return Tokens(TOP20, tuple(v for values in reversed(own) for v in values))
    logprobs = search.tree.path(node).logprobs
    return Tokens(SAMPLED, logprobs) if logprobs else None


def with_confidences(policy: Policy) -> Policy:
    """The policy, saying its top-20 confidences where it can."""
    local = sys.modules.get("preceptor.policy.transformers_policy")
    if local is None or not isinstance(policy, local.TransformersPolicy):
        return policy  # a policy of a class that was never loaded does not exist, and torch stays unloaded
    from preceptor.search.voting.confident_policy import ConfidentPolicy

    return ConfidentPolicy(policy)


def weight(kind: str, value: float) -> float:
    return value if kind == TOP20 else math.exp(value)


def windows(values: Sequence[float], size: int = WINDOW, since: int = 0) -> NDArray[np.float64]:
    """Means of all full windows of `size` consecutive tokens that end after token `since`."""
    taken = np.asarray(values[max(since - size + 1, 0) :], dtype=np.float64)
    if len(taken) < size:
        return np.zeros(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(taken, size).mean(axis=1))


def _groups(values: Sequence[float], size: int) -> NDArray[np.float64]:
    """The full windows; of a text shorter than one, its mean."""
    found = windows(values, size)
    return found if len(found) else np.array([_mean(values)])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _bottom(values: Sequence[float], size: int) -> float:
    found = np.sort(_groups(values, size))
    return float(found[: max(1, math.ceil(BOTTOM * len(found)))].mean())


STATISTICS: dict[str, Callable[[Sequence[float], int], float]] = {
    "bottom": _bottom,
    "mean": lambda values, size: _mean(values),
    "min": lambda values, size: float(_groups(values, size).min()),
    "tail": lambda values, size: _mean(values[-size:]),
}
"""Confidence of a trace: the mean of its lowest 10 % of windows, of all tokens, its lowest window, its last tokens."""


def confidence(values: Sequence[float], statistic: str, window: int = WINDOW) -> float:
    """
    >>> confidence([-1.0, -3.0, -1.0, 0.0], "min", 2), confidence([-1.0, -3.0, -1.0, 0.0], "tail", 2)
    (-2.0, -0.5)
    """
    return STATISTICS[statistic](values, window)


def check(statistic: str, window: int, keep: float) -> None:
    if statistic not in STATISTICS or window < 1 or not 0 < keep <= 1:
        raise ValueError(
            f"deepconf: got statistic={statistic!r}, window={window}, keep={keep}, expected one of "
            f"{sorted(STATISTICS)}, window >= 1 and 0 < keep <= 1"
        )
