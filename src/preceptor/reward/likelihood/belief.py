"""Belief: how likely the model finds the right answer if it had to answer after this step.

After each step the reasoning is closed by a fixed text and an answer is read by teacher forcing; only the
answer's tokens count, found by character offsets in the encoding of closing and answer together. The probe of
IGPO (`prob_geo`), SIOP and RLPR (`mean_prob`), and of GRPO-VPS. Differences of beliefs are progress: that
is a combinator's business, and `at_prompt` gives the belief before the first step it starts from.

    prob_geo   exp(mean log p)        mean_prob   mean of p
    prob_prod  product of p           logp_mean   mean log p

The step that states an answer, and those after it, are not judged (IGPO: every turn but the answer's): the
question "what if it had to answer now" does not arise there.

Cost: one forward pass over prompt, steps so far, closing and answer, per step and candidate answer, in one
batched call for all traces; equal prefixes are read once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.errors import InputError, ItemError
from preceptor.generation import Likelihood, Reader, Request
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.likelihood.answers import AnswerSpan, answer_span, gold_answer
from preceptor.reward.likelihood.reading import NO_STEPS, judged, read, shown, span_tokens
from preceptor.trace import Trace
from preceptor.usage import Usage

FORMS: dict[str, Callable[[Sequence[float]], float]] = {
    "prob_geo": lambda logps: math.exp(math.fsum(logps) / len(logps)),
    "mean_prob": lambda logps: math.fsum(map(math.exp, logps)) / len(logps),
    "prob_prod": lambda logps: math.exp(math.fsum(logps)),
    "logp_mean": lambda logps: math.fsum(logps) / len(logps),
}
"""Form -> belief from the log-probabilities of the answer's tokens."""


@dataclass(frozen=True)
class Belief:
    """Scorer of value. A trace without a target answer gets the error `"no-answer"`.

    The defaults suit texts that end in a line `Answer: ...`; give `closing` for others, for example
    "\\n</think>\\nThe final answer is \\\\boxed{".
    """

    reader: Reader
    form: str = "prob_geo"
    closing: str = "Answer: "
    """Text that closes the reasoning, put directly behind a step's end."""
    ending: str = ""
    """Text behind the answer that counts as part of it: with a line end, 1 is not taken for the start of 17."""
    target: Callable[[Trace], str | None] = gold_answer
    """The answer believed in: `gold_answer`, `own_answer` (no gold needed), or another."""
    candidates: Callable[[Trace], Sequence[str]] | None = None
    """Given: the belief is the target's share among these answers (the target is added where it is not
    one of them). Not for `logp_mean`, which is no share of anything."""
    answer_span: AnswerSpan = answer_span

    question = Question.VALUE

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form: got {self.form!r}, expected one of {list(FORMS)}")
        if self.candidates is not None and self.form == "logp_mean":
            raise InputError("candidates: log-probabilities cannot be normalised. Choose another form.")

    @property
    def source(self) -> Source:
        named = [f.__qualname__ for f in (self.target, self.candidates, self.answer_span) if f is not None]
        settings = [self.form, self.closing, self.ending, self.candidates is not None, named]
        return Source.of("belief", reader=self.reader.fingerprint, settings=settings)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        asked = [self._prefixes(trace) for trace in traces]
        beliefs = self._beliefs(traces, [[text for _, text in prefixes] for prefixes in asked])
        out = []
        for trace, prefixes, (values, usage, error) in zip(traces, asked, beliefs, strict=True):
            scores: list[float | None] = [None] * len(trace.steps)
            for (t, _), value in zip(prefixes, values, strict=True):
                scores[t] = value
            error = NO_STEPS if not trace.steps else error
            out.append(judged(self, trace, None if error else scores, usage, error=error))
        return out

    def at_prompt(self, traces: Sequence[Trace]) -> list[float | None]:
        """The belief before the first step, per trace; None where it cannot be read."""
        found = self._beliefs(traces, [[""] for _ in traces])
        return [None if error else values[0] for values, _, error in found]

    def _prefixes(self, trace: Trace) -> list[tuple[int, str]]:
        """(step, text after it) for every step that ends before the trace's own answer begins."""
        span = self.answer_span(trace)
        limit = len(trace.text) + 1 if span is None else span[0]
        return [(t, shown(trace, t + 1)) for t, step in enumerate(trace.steps) if step.end <= limit]

    def _beliefs(
        self, traces: Sequence[Trace], prefixes: Sequence[Sequence[str]]
    ) -> list[tuple[list[float | None], Usage, ItemError | None]]:
        targets = [self.target(trace) for trace in traces]
        answers = [self._answers(trace, target) for trace, target in zip(traces, targets, strict=True)]
        plan = [
            (i, prefix, answer)
            for i, texts in enumerate(prefixes)
            for prefix in texts
            for answer in answers[i]
        ]
        found = read(
            self.reader,
            [Request(traces[i].problem, prefix=prefix) for i, prefix, _ in plan],
            [self.closing + answer + self.ending for _, _, answer in plan],
        )
        table = dict(zip(plan, found, strict=True))
        out = []
        for i, texts in enumerate(prefixes):
            own = [[table[i, prefix, answer] for answer in answers[i]] for prefix in texts]
            out.append(self._combine(targets[i], answers[i], own))
        return out

    def _answers(self, trace: Trace, target: str | None) -> list[str]:
        """The target first, then the other candidates."""
        if target is None:
            return []
        others = () if self.candidates is None else self.candidates(trace)
        return list(dict.fromkeys([target, *others]))

    def _combine(
        self, target: str | None, answers: Sequence[str], found: Sequence[Sequence[Likelihood]]
    ) -> tuple[list[float | None], Usage, ItemError | None]:
        usage = sum((x.usage for row in found for x in row), Usage())
        error = next((x.error for row in found for x in row if x.error is not None), None)
        if target is None:
            error = ItemError("no-answer", "there is no target answer to believe in")
        if error is not None:
            return [None] * len(found), usage, error
        values: list[float | None] = []
        for row in found:
            beliefs = [self._belief(x, answer) for x, answer in zip(row, answers, strict=True)]
            total = math.fsum(beliefs)
            values.append(beliefs[0] if self.candidates is None else beliefs[0] / total if total else None)
        return values, usage, None

    def _belief(self, found: Likelihood, answer: str) -> float:
        start = len(self.closing)
        end = start + len(answer) + len(self.ending)
        logps = found.logprobs[span_tokens(found.token_ends, start, end)]
        return FORMS[self.form](logps) if logps else math.nan
