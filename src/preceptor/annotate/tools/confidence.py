"""A step is as good as its least likely token: the policy's own confidence, for free.

The score of a step is the lowest probability among its sampled tokens, at temperature 1. No model is called:
the log-probabilities come with the trace. It says nothing of truth: a policy that is surely wrong scores
high. Relatives: CRew averages over the tokens of the answer, DeepConf over windows. The step minimum is our
choice, since one wrong digit spoils a line of sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace


@dataclass(frozen=True)
class StepConfidence:
    """Scorer of quality, in [0, 1].

    A token belongs to the step it ends in; a step without a token of its own, and a trace without
    log-probabilities, have no score.
    """

    name: ClassVar[str] = "step-confidence"
    cost: ClassVar[str] = "nothing"
    question: ClassVar[Question] = Question.QUALITY
    source = Source.of("step-confidence")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._judge(trace) for trace in traces]

    def _judge(self, trace: Trace) -> Judgement:
        if trace.logprobs is None or trace.token_ends is None:
            error = ItemError("no-logprobs", "the trace has no log-probabilities: sample with a local policy")
            return Judgement(trace.id, self.question, self.source, None, error=error)
        scores: list[float | None] = []
        at = 0
        for step in trace.steps:
            low = 0.0
            start = at
            while at < len(trace.token_ends) and trace.token_ends[at] <= step.end:
                low = min(low, trace.logprobs[at])
                at += 1
            scores.append(math.exp(low) if at > start else None)
        return Judgement(trace.id, self.question, self.source, tuple(scores))
