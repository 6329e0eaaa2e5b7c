"""RATIONALYST: a model that states implicit rationales ranks next steps by likelihood.

`implicit` (the public code): after each step the model writes a rationale greedily; the step's score is the
mean log-probability of the rationale's tokens, the last token excluded. `given` (from memory, the form the
paper describes): one rationale is written *before* the step, and the step's score is its own mean
log-probability behind it. To choose among candidate steps, score traces that end in them and take the
highest last score.

`kept` is the paper's filter of training triples: a rationale stays if it makes the following text likelier,
S = sum_i 0.9^i log p(f_i), with it at least as high as without.

Cost: one generation a step (and one pass a step for `given`). Left out: prefiltering of documents, the
prompt that extracts rationales, explicit mode (append the rationale to the agent's own prompt).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from preceptor.errors import InputError, ItemError
from preceptor.generation import Continuation, Likelihood, Policy, Reader, Request, Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.reading import NO_STEPS, judged, read, shown
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Usage


class PolicyAndReader(Policy, Reader, Protocol):
    """What writes rationales and reads steps."""


@dataclass(frozen=True)
class Rationalyst:
    """Scorer of quality; scores are mean log-probabilities, <= 0.

    A step whose rationale has too few tokens to be scored, or failed, is None and `error` names it.
    """

    model: PolicyAndReader
    mode: Literal["implicit", "given"] = "implicit"
    opening: str = ""
    """Text between the steps so far and the rationale, as the model was trained."""
    closing: str = ""
    """Text between the rationale and the step that follows (`given`)."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=64, stop=("\n",)))
    """How rationales are written; greedy. Length and stop string are our choice."""

    question = Question.QUALITY

    def __post_init__(self) -> None:
        if self.mode not in ("implicit", "given"):
            raise InputError(f"mode: got {self.mode!r}, expected 'implicit' or 'given'")

    @property
    def source(self) -> Source:
        settings = [self.mode, self.opening, self.closing, self.sampling.to_record()]
        return Source.of("rationalyst", model=self.model.fingerprint, settings=settings)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        shift = 1 if self.mode == "implicit" else 0
        places = [(i, t) for i, trace in enumerate(traces) for t in range(len(trace.steps))]
        requests = [
            Request(
                traces[i].problem, prefix=shown(traces[i], t + shift) + self.opening, sampling=self.sampling
            )
            for i, t in places
        ]
        written = _written(self.model, requests)
        if self.mode == "implicit":
            results = [_implicit(w) for w in written]
        else:
            results = self._given([traces[i].step_texts[t] for i, t in places], requests, written)
        rows: list[list[tuple[float | None, Usage, str | None]]] = [[] for _ in traces]
        for (i, _), result in zip(places, results, strict=True):
            rows[i].append(result)
        return [self._judge(trace, row) for trace, row in zip(traces, rows, strict=True)]

    def _given(
        self, steps: Sequence[str], requests: Sequence[Request], written: Sequence[Continuation]
    ) -> list[tuple[float | None, Usage, str | None]]:
        behind = [
            Request(r.problem, prefix=r.prefix + w.text + self.closing)
            for r, w in zip(requests, written, strict=True)
        ]
        texts = ["" if w.error else step for step, w in zip(steps, written, strict=True)]
        out: list[tuple[float | None, Usage, str | None]] = []
        for w, found in zip(written, read(self.model, behind, texts), strict=True):
            why = _failure(w) or (None if found.error is None else found.error.kind)
            value = math.fsum(found.logprobs) / len(found.logprobs) if found.logprobs else None
            out.append((None if why else value, w.usage + found.usage, why))
        return out

    def _judge(self, trace: Trace, row: Sequence[tuple[float | None, Usage, str | None]]) -> Judgement:
        usage = sum((u for _, u, _ in row), Usage())
        failed = {t: why for t, (_, _, why) in enumerate(row) if why}
        error = NO_STEPS if not trace.steps else None
        if failed:
            error = ItemError(
                "no-rationale", f"of {len(row)} steps, {len(failed)} not judged: {failed}"[:300]
            )
        return judged(self, trace, [value for value, _, _ in row], usage, error=error)


def _written(model: Policy, requests: Sequence[Request]) -> list[Continuation]:
    """One rationale per distinct request; the first that asks pays."""
    distinct = list(dict.fromkeys(requests))
    found = dict(zip(distinct, model.generate(distinct) if distinct else [], strict=True))
    paid: set[Request] = set()
    out = []
    for request in requests:
        answer = found[request]
        if request in paid:
            answer = replace(answer, usage=Usage(reused=answer.usage.prefilled, calls=1))
        paid.add(request)
        out.append(answer)
    return out


def _failure(written: Continuation) -> str | None:
    if written.error is not None:
        return written.error.kind
    return "failed" if written.finish is Finish.ERROR else None


def _implicit(written: Continuation) -> tuple[float | None, Usage, str | None]:
    """Mean log-probability of the rationale's tokens without the last."""
    why = _failure(written)
    if why is None and written.logprobs is None:
        why = "no-logprobs"
    logps = (written.logprobs or ())[:-1]
    if why is None and not logps:
        why = "too-short"
    return (None if why else math.fsum(logps) / len(logps)), written.usage, why


@dataclass(frozen=True)
class Triple:
    """A rationale that was put between two stretches of text."""

    preceding: str
    rationale: str
    following: str


@dataclass(frozen=True)
class Filtered:
    """One triple's two scores; None where it was not read because a field is empty, or reading failed."""

    triple: Triple
    with_rationale: float | None
    without: float | None

    @property
    def kept(self) -> bool:
        known = self.with_rationale is not None and self.without is not None
        return known and self.with_rationale >= self.without  # type: ignore[operator]


def discounted(logprobs: Sequence[float], discount: float = 0.9) -> float:
    """sum_i discount^i * log p_i, i from 0: with discount 0 only the first token counts.

    >>> round(discounted([-1.0, -1.0, -1.0]), 2)
    -2.71
    """
    return math.fsum(discount**i * value for i, value in enumerate(logprobs))


def filter_triples(
    reader: Reader, triples: Sequence[Triple], discount: float = 0.9, *, problem: Problem | None = None
) -> list[Filtered]:
    """Both scores of every triple, in order. A triple with an empty field is never kept.

    `problem`: whose prompt stands before `preceding`; None for plain documents, with an empty prompt.
    """
    if not 0 <= discount <= 1:
        raise InputError(f"discount: got {discount}, expected a number in [0, 1]")
    whole = [x for x in triples if x.preceding.strip() and x.rationale.strip() and x.following.strip()]
    before = problem or Problem("")
    contexts = [c for x in whole for c in (x.preceding + x.rationale, x.preceding)]
    found = read(
        reader,
        [Request(before, prefix=context) for context in contexts],
        [x.following for x in whole for _ in range(2)],
    )

    def score(likelihood: Likelihood) -> float | None:
        return None if likelihood.error is not None else discounted(likelihood.logprobs, discount)

    scores = {x: (score(a), score(b)) for x, a, b in zip(whole, found[::2], found[1::2], strict=True)}
    return [Filtered(x, *scores.get(x, (None, None))) for x in triples]
