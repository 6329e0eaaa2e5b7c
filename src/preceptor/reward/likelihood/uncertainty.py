"""How sure the model was, step by step: log-probability, perplexity, entropy from one teacher-forced pass.

No model is asked for an opinion and nothing is generated. Every statistic is turned so that a higher score
is better (surer): entropies and perplexity are negated. Being sure is not being right; measure before use.

    mean_logprob    mean log-probability of the step's tokens, <= 0
    min_logprob     the least likely token's, <= 0
    perplexity      -exp(-mean log-probability), <= -1
    mean_entropy    -(mean entropy of the distributions the tokens were drawn from), <= 0
    max_entropy     -(the highest of them), <= 0
    first_entropy   -(entropy at the step's first token: how open the direction was), <= 0

Cost: nothing for log-probabilities of traces this reader sampled, one pass a trace else; entropies are not
stored with a trace and always need the pass. Left out: DeepConf's windows (they want the top 20 tokens).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.errors import InputError, ItemError
from preceptor.generation import Likelihood, Reader
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.reading import NO_STEPS, judged, layout, step_tokens, whole_texts
from preceptor.trace import Trace


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


LOGPROB: dict[str, Callable[[Sequence[float]], float]] = {
    "mean_logprob": mean,
    "min_logprob": min,
    "perplexity": lambda values: -_exp(-mean(values)),
}
"""Statistic -> score of a step from the log-probabilities of its tokens."""

ENTROPY: dict[str, Callable[[Sequence[float]], float]] = {
    "mean_entropy": lambda values: -mean(values),
    "max_entropy": lambda values: -max(values),
    "first_entropy": lambda values: -values[0],
}
"""Statistic -> score of a step from the entropies at its tokens."""


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


@dataclass(frozen=True)
class Uncertainty:
    """Scorer of quality; higher is surer. A step in which no token ends has no score (None)."""

    reader: Reader | None = None
    """None: only what the traces carry, so only the statistics of log-probabilities."""
    statistic: str = "mean_logprob"
    """A key of `LOGPROB` or `ENTROPY`."""

    question = Question.QUALITY

    def __post_init__(self) -> None:
        if self.statistic not in {**LOGPROB, **ENTROPY}:
            raise InputError(f"statistic: got {self.statistic!r}, expected one of {[*LOGPROB, *ENTROPY]}")
        if self.reader is None and self.statistic in ENTROPY:
            raise InputError(f"{self.statistic}: traces do not carry entropies. Give a reader.")

    @property
    def source(self) -> Source:
        reader = None if self.reader is None else self.reader.fingerprint
        return Source.of("uncertainty", reader=reader, statistic=self.statistic)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        found = whole_texts(self.reader, traces, fresh=self.statistic in ENTROPY)
        return [self._judge(trace, read) for trace, read in zip(traces, found, strict=True)]

    def _judge(self, trace: Trace, read: Likelihood) -> Judgement:
        error = NO_STEPS if not trace.steps else read.error
        values: Sequence[float] | None = read.logprobs
        if self.statistic in ENTROPY:
            values = read.entropies
        if values is None and error is None:
            error = ItemError("no-entropies", "this reader gives log-probabilities only: choose one of those")
        if error is not None or values is None:
            return judged(self, trace, None, read.usage, error=error)
        statistic = {**LOGPROB, **ENTROPY}[self.statistic]
        tokens = step_tokens(read.token_ends, layout(trace).spans)
        scores = [statistic(values[own]) if own.stop > own.start else None for own in tokens]
        return judged(self, trace, scores, read.usage)
