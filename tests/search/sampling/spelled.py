"""A policy over two letters and an end whose every probability is written down, and the power of it summed up."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from preceptor.generation import Continuation, Request
from preceptor.trace import Finish
from preceptor.usage import Usage

END = ""
Next = Callable[[str], Mapping[str, float]]
"""What may follow a text: letters, and `END`, with probabilities."""


@dataclass
class Spelled:
    """One letter is one token; the end is a token without text."""

    follows: Next
    says_proposal: bool = True
    says_logprobs: Callable[[Request], bool] = lambda request: True
    fingerprint: str = "spelled"
    sent: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        self.sent += requests
        return [self._one(r) for r in requests]

    def _one(self, request: Request) -> Continuation:
        if request.prefix_ids is not None:
            assert "".join(map(chr, request.prefix_ids)) == request.prefix
        rng, heat = random.Random(request.stream), request.sampling.temperature
        letters: list[str] = []
        logprobs: list[float] = []
        drawn: list[float] = []
        finish = Finish.LENGTH
        while len(letters) < request.sampling.max_tokens and finish is Finish.LENGTH:
            options = self.follows(request.prefix + "".join(letters))
            raised = {k: p ** (1 / heat) for k, p in options.items() if p}
            letter = rng.choices(list(raised), list(raised.values()))[0]
            letters.append(letter)
            logprobs.append(math.log(options[letter]))
            drawn.append(math.log(raised[letter] / sum(raised.values())))
            finish = Finish.STOP if letter == END else finish
        ends = [sum(map(len, letters[: i + 1])) for i in range(len(letters))]
        known = self.says_logprobs(request)
        return Continuation(
            "".join(letters),
            finish,
            tuple(ord(x) if x else 0 for x in letters),
            tuple(ends),
            tuple(logprobs) if known else None,
            Usage(generated=len(letters), calls=1),
            extra={"proposal_logprobs": drawn} if self.says_proposal else {},
        )


def texts(follows: Next, limit: int) -> dict[str, float]:
    """Every text of at most `limit` tokens that is whole ("ab.") or has reached the limit ("abb"), and its p."""
    found: dict[str, float] = {}

    def go(text: str, p: float, left: int) -> None:
        if left == 0:
            found[text] = p
            return
        for letter, q in follows(text).items():
            if letter == END and q:
                found[text + "."] = p * q
            elif q:
                go(text + letter, p * q, left - 1)

    go("", 1.0, limit)
    return found


def power(p: Mapping[str, float], alpha: float) -> dict[str, float]:
    raised = {k: v**alpha for k, v in p.items()}
    return {k: v / sum(raised.values()) for k, v in raised.items()}


def tempered(follows: Next, limit: int, heat: float) -> dict[str, float]:
    """Texts as sampling token by token at this temperature has them."""

    def cooler(text: str) -> dict[str, float]:
        raised = {k: p ** (1 / heat) for k, p in follows(text).items() if p}
        return {k: v / sum(raised.values()) for k, v in raised.items()}

    return texts(cooler, limit)


def distance(p: Mapping[str, float], q: Mapping[str, float]) -> float:
    """Total variation."""
    return sum(abs(p.get(k, 0.0) - q.get(k, 0.0)) for k in {*p, *q}) / 2


def after_moves(
    follows: Next, limit: int, alpha: float, heat: float, moves: int, *, count_cuts: bool = True
) -> dict[str, float]:
    """Where the chain stands after so many moves in one block, by its matrix; `count_cuts=False` leaves the number of
    cuts out of the ratio. No text may be empty."""
    p, q = texts(follows, limit), tempered(follows, limit, heat)
    now = dict(q)

    def places(name: str) -> int:
        return len(name.rstrip("."))

    def taken(old: str, new: str) -> float:
        """Within one cut q of a rest is q of the text over a constant, so the constants cancel."""
        ratio = (p[new] / p[old]) ** alpha * q[old] / q[new]
        return min(1.0, ratio * places(old) / places(new) if count_cuts else ratio)

    for _ in range(moves):
        after = dict.fromkeys(p, 0.0)
        for old, mass in now.items():
            for cut in range(places(old)):
                same = [n for n in p if n[:cut] == old[:cut]]
                total, left = sum(q[n] for n in same), 1.0
                for new in same:
                    moved = q[new] / total * taken(old, new) if places(new) > cut else 0.0
                    after[new] += mass / places(old) * moved
                    left -= moved
                after[old] += mass / places(old) * left
        now = after
    return now
