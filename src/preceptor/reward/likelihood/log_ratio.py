"""The implicit process reward of two language models: "Free Process Rewards without Process Labels", EurusPRM.

With d_i = log p(y_i) - log p_ref(y_i) for token i, the soft value of a prefix is q_t = coef * (sum of d over
the tokens of the steps up to t), and the step's reward is r_t = q_t - q_{t-1}. `accumulative` scores are q_t,
`single` ones r_t; the step rewards add up to q_T exactly.

Where a step ends is found by character offsets in the one encoding of the whole text. (The published code
renders every prefix anew and, with templates that close the turn, reads one token too far.) Both models must
read the same tokens: a different vocabulary is refused. Log-probabilities must come from an fp32 softmax, or
the small differences drown.

Defaults: coef 0.001 is the published code's default, its run script uses 0.005; training used beta 0.05. The
threshold on sigmoid(q_t) below which the first error lies was tuned on GSM8K: 0.5005. Without a reference
the score is coef * log p, which works nearly as well when the reference is the initial model (from memory).

Cost: one pass of each model. Left out: training such a model, and the end-of-text token's share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from preceptor.errors import InputError, ItemError
from preceptor.generation import Likelihood, Reader
from preceptor.judgement import Judgement, Question, Source, first_below
from preceptor.reward.likelihood.reading import NO_STEPS, judged, layout, step_tokens, whole_texts
from preceptor.trace import Trace


@dataclass(frozen=True)
class LogRatio:
    """Scorer: of value (`accumulative`, q_t) or of progress (`single`, r_t)."""

    model: Reader
    reference: Reader | None
    coef: float = 0.001
    form: Literal["accumulative", "single"] = "accumulative"
    sigmoid: bool = False
    """Score sigma(q_t) or sigma(r_t): the same order, in (0, 1)."""
    threshold: float | None = None
    """The first score below it is the first error."""

    def __post_init__(self) -> None:
        if self.form not in ("accumulative", "single"):
            raise InputError(f"form: got {self.form!r}, expected 'accumulative' or 'single'")
        own, other = (getattr(r, "tokenizer", None) for r in (self.model, self.reference))
        if own is not None and other is not None and own.get_vocab() != other.get_vocab():
            raise InputError(
                f"log-ratio: the two models have different vocabularies ({len(own.get_vocab())} and "
                f"{len(other.get_vocab())} entries), expected the same. Give the model this one was trained from."
            )

    @classmethod
    def eurus(cls, model: Reader, reference: Reader) -> LogRatio:
        """EurusPRM as its ProcessBench script reads it."""
        return cls(model, reference, coef=0.005, sigmoid=True, threshold=0.5005)

    @property
    def question(self) -> Question:
        return Question.VALUE if self.form == "accumulative" else Question.PROGRESS

    @property
    def source(self) -> Source:
        return Source.of(
            "log-ratio",
            model=self.model.fingerprint,
            reference=None if self.reference is None else self.reference.fingerprint,
            settings=[self.coef, self.form, self.sigmoid, self.threshold],
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        own = whole_texts(self.model, traces, fresh=True)
        other = own if self.reference is None else whole_texts(self.reference, traces, fresh=True)
        return [self._judge(*item) for item in zip(traces, own, other, strict=True)]

    def _judge(self, trace: Trace, own: Likelihood, other: Likelihood) -> Judgement:
        usage = own.usage if self.reference is None else own.usage + other.usage
        error = NO_STEPS if not trace.steps else own.error or other.error
        if error is None and own.token_ids != other.token_ids:
            error = ItemError(
                "tokens-differ",
                f"the models read {len(own.token_ids)} and {len(other.token_ids)} tokens, or others: a "
                "log-ratio needs one tokenizer",
            )
        if error is not None:
            return judged(self, trace, None, usage, error=error)
        base = [0.0] * len(own.logprobs) if self.reference is None else other.logprobs
        d = [a - b for a, b in zip(own.logprobs, base, strict=True)]
        rewards = [self.coef * math.fsum(d[s]) for s in step_tokens(own.token_ends, layout(trace).spans)]
        scores = [sum(rewards[: t + 1]) for t in range(len(rewards))]
        if self.form == "single":
            scores = rewards
        if self.sigmoid:
            scores = [1 / (1 + math.exp(-s)) if s > -700 else 0.0 for s in scores]
        known = self.threshold is not None and all(map(math.isfinite, scores))
        first = first_below(scores, self.threshold) if known and self.threshold is not None else None
        return judged(self, trace, scores, usage, first_error=first)
