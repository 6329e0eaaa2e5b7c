"""An exact language model to read and write with: the next character depends on the last one alone.

Every expected value of a test can be worked out by hand. One character is one token; the prompt and the prefix
only matter by their last character ("^" for none).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preceptor.errors import ItemError
from preceptor.generation import Continuation, Likelihood, Request
from preceptor.trace import Finish, content_id
from preceptor.usage import Usage


@dataclass
class Bigram:
    """`table[last][next]` is a probability; a last character that is not in it is followed by `others`."""

    table: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=lambda: {"a": 0.5, "b": 0.5})
    longest: int = 10**9
    calls: int = 0
    """How often `likelihood` was called."""
    read: list[str] = field(default_factory=list)
    """Every text that was read, with its prefix."""

    @property
    def fingerprint(self) -> str:
        return content_id("bigram", {k: dict(v) for k, v in self.table.items()}, dict(self.others))

    def after(self, last: str) -> Mapping[str, float]:
        return self.table.get(last, self.others)

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        self.calls += 1
        return [self._one(r, x) for r, x in zip(requests, texts, strict=True)]

    def _one(self, request: Request, text: str) -> Likelihood:
        before = request.problem.prompt + request.prefix
        self.read.append(request.prefix + "|" + text)
        if len(before) + len(text) > self.longest:
            return Likelihood(error=ItemError("too-long", f"{len(before) + len(text)} characters"))
        logprobs, entropies = [], []
        for last, char in zip((before or "^")[-1:] + text, text):
            row = self.after(last)
            p = row.get(char, 0.0)
            logprobs.append(math.log(p) if p else -math.inf)
            entropies.append(-math.fsum(q * math.log(q) for q in row.values() if q))
        ids, ends = tuple(map(ord, text)), tuple(range(1, len(text) + 1))
        usage = Usage(scored=len(text), prefilled=len(before), calls=1)
        return Likelihood(ids, ends, tuple(logprobs), tuple(entropies), usage)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        """Greedy."""
        return [self._write(r) for r in requests]

    def _write(self, request: Request) -> Continuation:
        text, last = "", (request.problem.prompt + request.prefix or "^")[-1]
        finish = Finish.LENGTH
        while len(text) < request.sampling.max_tokens:
            row = self.after(last)
            last = max(row, key=lambda c: row[c])
            text += last
            if text.endswith(request.sampling.stop or "\0"):
                finish = Finish.BOUNDARY
                break
        found = self._one(request, text)
        usage = Usage(generated=len(text), prefilled=found.usage.prefilled, calls=1)
        return Continuation(text, finish, found.token_ids, found.token_ends, found.logprobs, usage)
