"""Traces and slow readings for the tests of producers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch

from preceptor.errors import ItemError
from preceptor.generation import Likelihood, Request
from preceptor.grade import grade
from preceptor.policy import prompt_ids, text_ids
from preceptor.policy.engine_text import text_of
from preceptor.trace import Finish, Problem, Trace, steps_from_ends

FORMS: dict[str, Callable[[Sequence[float]], float]] = {
    "prob_geo": lambda x: math.exp(sum(x) / len(x)),
    "mean_prob": lambda x: sum(map(math.exp, x)) / len(x),
    "prob_prod": lambda x: math.exp(sum(x)),
    "logp_mean": lambda x: sum(x) / len(x),
}


def problem(prompt: str = "How many hens are 7 hens?", gold: str | None = "54", **more: Any) -> Problem:
    return Problem(prompt, gold, grader="numeric", **more)


def trace(
    *steps: str, of: Problem | None = None, finish: Finish = Finish.STOP, tokenizer: Any = None, **more: Any
) -> Trace:
    """Graded; with a tokenizer in its tokens and an end of text, without ids otherwise."""
    of, text = of or problem(), "".join(steps)
    made = Trace(
        of,
        text,
        steps_from_ends(list(accumulate(map(len, steps)))),
        finish,
        grade(of, text, finish=finish),
        **more,
    )
    return made if tokenizer is None else with_ids(made, tokenizer)


def with_ids(made: Trace, tokenizer: Any) -> Trace:
    ids = text_ids(tokenizer, made.text)
    _, ends = text_of(tokenizer).decode(ids, prompt_ids(tokenizer, made.problem))
    end = [tokenizer.eos_token_id] if made.finish is Finish.STOP else []
    return replace(
        made,
        token_ids=(*ids, *end),
        token_ends=(*ends, *[len(made.text)] * len(end)),
        logprobs=(-1.0,) * (len(ids) + len(end)),
    )


def failed(of: Problem | None = None) -> Trace:
    return Trace(of or problem(), "", (), Finish.ERROR, error=ItemError("timeout", "too slow"))


def slow(policy: Any, of: Problem, prefix: str, text: str) -> list[float]:
    """Log-probabilities of the tokens of `text` behind prompt and prefix: one plain forward pass of the model."""
    return slow_ids(policy, [*prompt_ids(policy.tokenizer, of), *text_ids(policy.tokenizer, prefix)], text)


def slow_ids(policy: Any, before: Sequence[int], text: str | Sequence[int]) -> list[float]:
    ids = text_ids(policy.tokenizer, text) if isinstance(text, str) else list(text)
    with torch.no_grad():
        logits = policy.model(torch.tensor([[*before, *ids]])).logits[0].float().log_softmax(-1)
    return [float(logits[len(before) + k - 1, i]) for k, i in enumerate(ids)]


@dataclass
class Counting:
    """A reader that counts its calls and what it was asked, and fails where told."""

    reader: Any
    fails: Callable[[Request], bool] = lambda request: False
    calls: int = 0
    asked: list[tuple[Request, str]] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return str(self.reader.fingerprint)

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        self.calls += 1
        self.asked += list(zip(requests, texts, strict=True))
        found = self.reader.likelihood(requests, texts)
        broken = Likelihood(error=ItemError("too-long", "made to fail"))
        return [broken if self.fails(r) else x for r, x in zip(requests, found, strict=True)]
