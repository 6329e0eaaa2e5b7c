"""A writer that walks the toy tree and answers questions about walks, rightly with a known probability."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Request
from preceptor.trace import Finish, stream_seed
from preceptor.usage import Usage
from tests.search.toy import TreePolicy


@dataclass
class Judge:
    """Says of a walk whether it ends in "7", the right answer, in the form that the prompt asks for."""

    right: float = 1.0
    """Probability of the true verdict."""
    says: Callable[[Request], str | None] | None = None
    """Overrides the reply where it returns one."""
    sent: list[Request] = field(default_factory=list)
    fingerprint: str = "judge"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.sent += requests
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        said = self.says(request) if self.says else None
        text = self._reply(request) if said is None else said
        finish = Finish.STOP
        if len(text) > request.sampling.max_tokens:
            text, finish = text[: request.sampling.max_tokens], Finish.LENGTH
        return Continuation(text, finish, usage=Usage(generated=len(text), calls=1))

    def _reply(self, request: Request) -> str:
        prompt = request.problem.prompt
        rng = random.Random(stream_seed(request.seed, request.problem.id, request.draw))
        good = ("Answer: 7" in prompt) == (rng.random() < self.right)
        if "\\boxed{-1}" in prompt:
            return "\\boxed{-1}" if good else "wrong at \\boxed{0}"
        if "Verdict: Yes" in prompt:
            return f"Verdict: {'Yes' if good else 'No'}"
        if "First wrong" in prompt:
            return f"First wrong: {'none' if good else '1'}"
        if "Shorten" in prompt:
            found = re.search(r"Answer: (\w)", prompt)
            return f"[1-3] the walk\n[4] Answer: {found[1] if found else '?'}\n"
        return "neutral"


@dataclass
class Writer:
    """The toy policy, which answers questions itself; `judge` is how well."""

    judge: Judge = field(default_factory=Judge)
    tree: TreePolicy = field(default_factory=TreePolicy)
    fingerprint: str = "writer"

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        walks = [r for r in requests if r.problem.prompt.startswith("Walk the tree")]
        written = dict(zip(map(id, walks), self.tree.generate(walks) if walks else [], strict=True))
        others = [r for r in requests if id(r) not in written]
        written |= dict(zip(map(id, others), self.judge.generate(others) if others else [], strict=True))
        return [written[id(r)] for r in requests]
