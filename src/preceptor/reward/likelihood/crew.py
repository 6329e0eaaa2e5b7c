"""CRew: how sure the model is of the final answer it wrote ("Confidence as a Reward").

The score of a solution is the mean *probability* (no logarithm) of the tokens of its final answer, given the
problem and everything before them. The tokens are found by character offsets; a token that touches the
answer counts whole. A solution without an answer gets the lowest score, 0, and the flag `"no-answer"`.

Cost: nothing for traces this reader sampled (their log-probabilities are stored, at temperature 1 whatever
the sampling was), one forward pass for others, no generation. Left out: CRew-DPO pairs (the exact pairing was
not found).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.errors import ItemError
from preceptor.generation import Likelihood, Reader
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.answers import AnswerSpan, answer_span
from preceptor.reward.likelihood.reading import NO_STEPS, judged, layout, on_last, span_tokens, whole_texts
from preceptor.trace import Trace


@dataclass(frozen=True)
class CRew:
    """Scorer of quality in [0, 1]; one score per solution, on its last step.

    `reader` None uses the log-probabilities the traces carry, whoever wrote them; a trace without any gets
    the error `"no-logprobs"`. `place="all"` repeats the score on every step, for tools that want one each.
    """

    reader: Reader | None = None
    answer_span: AnswerSpan = answer_span
    place: Literal["last", "all"] = "last"

    question = Question.QUALITY

    @property
    def source(self) -> Source:
        reader = None if self.reader is None else self.reader.fingerprint
        span = f"{self.answer_span.__module__}.{self.answer_span.__qualname__}"
        return Source.of("crew", reader=reader, span=span, place=self.place)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        found = whole_texts(self.reader, traces)
        return [self._judge(trace, read) for trace, read in zip(traces, found, strict=True)]

    def _judge(self, trace: Trace, read: Likelihood) -> Judgement:
        error = NO_STEPS if not trace.steps else read.error
        if error is not None:
            return judged(self, trace, None, read.usage, error=error)
        span = self.answer_span(trace)
        if span is None:
            return judged(self, trace, on_last(trace, 0.0, self.place), read.usage, flags=("no-answer",))
        tokens = answer_logprobs(trace, read, span)
        if not tokens:
            error = ItemError("no-tokens", f"no token touches the answer at {span}: the text was cut")
            return judged(self, trace, None, read.usage, error=error)
        score = math.fsum(map(math.exp, tokens)) / len(tokens)
        return judged(self, trace, on_last(trace, score, self.place), read.usage)


def answer_logprobs(trace: Trace, read: Likelihood, span: tuple[int, int]) -> tuple[float, ...]:
    """Log-probabilities of the tokens that touch the answer; `span` is in `trace.text`, observations aside."""
    shift = layout_shift(trace, span[0])
    return read.logprobs[span_tokens(read.token_ends, span[0] + shift, span[1] + shift)]


def layout_shift(trace: Trace, at: int) -> int:
    """Characters of observations that stand before offset `at` of the trace's own text."""
    starts = [(s.start, laid) for s, (laid, _) in zip(trace.steps, layout(trace).spans, strict=True)]
    return max((laid - start for start, laid in starts if start <= at), default=0)
