"""The toy tree with log-probabilities that are its own, and with entropies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from preceptor.generation import Continuation, Request
from tests.search.toy import DEPTH, TreePolicy, p_left, walked


@dataclass
class Known(TreePolicy):
    """Every character of a step has the log-probability of the step; entropies are those of the two steps."""

    fingerprint: str = "known-tree"
    entropies: bool = True

    def _one(self, request: Request) -> Continuation:
        got = super()._one(request)
        if got.error is not None:
            return got
        logprobs: list[float] = []
        entropies: list[float] = []
        for line in got.text.splitlines(keepends=True):
            node = walked(request.prefix + got.text[: len(logprobs)])
            p = p_left(request.problem, node) if len(node) < DEPTH else 1.0
            chosen = p if line.startswith("go a") else 1 - p if line.startswith("go b") else 1.0
            entropies += [sum(-q * math.log(q) for q in (p, 1 - p) if q)] * len(line)
            logprobs += [math.log(chosen)] * len(line)
        extra = {"entropies": entropies} if self.entropies else {}
        return replace(got, logprobs=tuple(logprobs), extra=extra)
