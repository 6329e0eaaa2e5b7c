"""One likelihood call for any number of "what if it had to answer here": the probe that beliefs are read with.

A question is a prefix, a closing text and an answer; counted are the log-probabilities of the answer's tokens alone,
found by character offsets: the first token that ends behind the answer's start, to the last that begins before its
end. Equal questions are read once. A question that fails is an `ItemError`, the others are not affected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from preceptor.errors import ItemError
from preceptor.generation import Reader, Request
from preceptor.reward.likelihood.belief import FORMS
from preceptor.reward.likelihood.reading import read, span_tokens
from preceptor.trace import Problem
from preceptor.usage import Usage


class Ask(NamedTuple):
    """How likely is `answer` behind `prefix` and `closing`? `ending` counts as part of the answer."""

    problem: Problem
    prefix: str
    answer: str
    closing: str = ""
    ending: str = ""


@dataclass(frozen=True)
class Read:
    """Log-probabilities of one answer's tokens, or why there are none."""

    logps: tuple[float, ...]
    usage: Usage
    error: ItemError | None = None

    def form(self, name: str) -> float | None:
        """One of `FORMS`; None where nothing was read or the number is not finite."""
        if self.error is not None or not self.logps:
            return None
        value = FORMS[name](self.logps)
        return value if math.isfinite(value) else None


def ask(reader: Reader, asked: Sequence[Ask]) -> list[Read]:
    """One `Read` per question, in order, from one batched call."""
    requests = [Request(a.problem, prefix=a.prefix) for a in asked]
    found = read(reader, requests, [a.closing + a.answer + a.ending for a in asked])
    out = []
    for a, x in zip(asked, found, strict=True):
        error, logps = x.error, x.logprobs[:0]
        if error is None:
            start = len(a.closing)
            logps = x.logprobs[span_tokens(x.token_ends, start, start + len(a.answer) + len(a.ending))]
            error = None if logps else ItemError("no-answer", "there is no answer to believe in")
        out.append(Read(tuple(logps), x.usage, error))
    return out
