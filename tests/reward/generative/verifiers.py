"""A verifier that does what a script says, and keeps what it was asked: prompts are checked as a model sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Choice, Continuation, Likelihood, Request
from preceptor.trace import Finish, Problem, Trace, steps_from_ends
from preceptor.usage import Usage

PROBLEM = Problem("What is 12*7-30?", gold="54")


def trace_of(*steps: str, problem: Problem = PROBLEM) -> Trace:
    ends = [sum(map(len, steps[: i + 1])) for i in range(len(steps))]
    return Trace(problem, "".join(steps), steps_from_ends(ends))


@dataclass
class Verifier:
    """`say(request)`: the text it writes, cut behind the first stop string as policies do; `sure(request)`: the
    probability of the good word. An exception's text becomes the item's error."""

    say: Callable[[Request], str] = lambda request: ""
    sure: Callable[[Request], float | None] = lambda request: 0.5
    fingerprint: str = "verifier"
    written: list[list[Request]] = field(default_factory=list)
    weighed: list[list[Request]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.written.append(list(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Continuation:
        usage = Usage(generated=7, prefilled=20, calls=1)
        try:
            text = self.say(request)
        except RuntimeError as problem:
            return Continuation.failed("http-500", str(problem), usage)
        ends = [at + len(s) for s in request.sampling.stop if (at := text.find(s)) >= 0]
        if ends:
            return Continuation(text[: min(ends)], Finish.BOUNDARY, usage=usage)
        return Continuation(text, Finish.STOP, usage=usage)

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        self.weighed.append(list(requests))
        out = []
        for request in requests:
            p = self.sure(request)
            out.append(Choice(None if p is None else (p, 1 - p), 0.9, Usage(scored=20, calls=1)))
        return out


@dataclass
class Reading(Verifier):
    """Also reads given text: `words` gives the log-probabilities of a word's tokens."""

    words: dict[str, tuple[float, ...]] = field(default_factory=dict)
    read: list[Request] = field(default_factory=list)

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        self.read += requests
        return [Likelihood((), (), self.words[text], usage=Usage(scored=5, calls=1)) for text in texts]
