"""What else could have come: the likeliest next tokens at each token of a given continuation.

A policy that says so is a `Brancher`: texts can be branched at the tokens it was unsure of. Local models are
(`next_tokens_model.py`). A server is not: its lists are too short for an entropy, and it gives no token ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Request
from preceptor.usage import Usage


class NextToken(NamedTuple):
    """One token that could come."""

    id: int
    text: str
    """Behind what stands before it; with U+FFFD where its bytes are no whole characters."""
    logprob: float
    """At temperature 1, in nats."""
    ends: bool
    """Whether it ends the text."""


@dataclass(frozen=True)
class NextTokens:
    """One entry per token of the continuation, of the distribution that this token was drawn from."""

    entropies: tuple[float, ...] = ()
    """In nats, at temperature 1."""
    likeliest: tuple[tuple[NextToken, ...], ...] = ()
    """Likeliest first; empty where the entropy is not above the asked one."""
    prefix_ids: tuple[int, ...] = ()
    """Ids that the prefix of the request was read as, without the prompt's."""
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None


@runtime_checkable
class Brancher(Protocol):
    """A policy that also says which tokens it might have written instead."""

    @property
    def fingerprint(self) -> str: ...

    def generate(self, requests: Sequence[Request]) -> list[Continuation]: ...

    def next_tokens(
        self,
        requests: Sequence[Request],
        continuations: Sequence[Sequence[int]],
        k: int = 2,
        above: float = -math.inf,
    ) -> list[NextTokens]:
        """One per request: the `k` likeliest tokens at every token of `continuations[i]`, ids that follow the
        request's prefix, where the entropy is higher than `above`. Nothing is sampled."""
        ...
