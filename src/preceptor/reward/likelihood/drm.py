"""DRM: a reward without labels from three dimensions, confidence, relevance and coherence.

    confidence   mean log p over the reasoning's tokens + sum of log p over the answer's tokens
    relevance    does the reasoning belong to the question, and the answer to the reasoning?
    coherence    an outcome-type scorer's opinion of the text

The three are made comparable by a z-score within the traces of the same problem (population standard
deviation; all equal gives 0) and added with weights 1/3 each. Weights and normalisation were not found in the
paper: these are sensible defaults. A constant added to a dimension for all traces of a problem changes nothing.

The published relevance combines entailment models and a reranker. The default here needs no other model:
pointwise mutual information by the reader, [log p(R|Q) - log p(R)] per token of the reasoning R plus
[log p(A|Q,R) - log p(A|Q)] per token of the answer A. Any scorer or callable can stand in its place. For
coherence there is no default: without one the other two share its weight.

Cost: one pass a trace for confidence (none where this reader wrote the trace), three more for the default
relevance. A problem's traces must come in one call; a lone trace scores 0 with the flag `"alone"`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from preceptor.errors import BackendError, InputError, ItemError
from preceptor.generation import Likelihood, Reader, Request
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.likelihood.answers import AnswerSpan, answer_span
from preceptor.reward.likelihood.crew import answer_logprobs, layout_shift
from preceptor.reward.likelihood.reading import (
    NO_STEPS,
    judged,
    layout,
    on_last,
    read,
    span_tokens,
    tokens_before,
    whole_texts,
)
from preceptor.trace import Trace
from preceptor.usage import Usage

Values = Callable[[Sequence[Trace]], Sequence["float | None"]]
"""One number per trace, in order; None for unknown."""

Dimension = tuple[list["float | None"], list[Usage]]

WEIGHTS = (1 / 3, 1 / 3, 1 / 3)


@dataclass(frozen=True)
class DRM:
    """Scorer of quality: one score per solution, on its last step, relative to the problem's other traces.

    `relevance` and `coherence`: a Scorer (its last step's score is taken) or a callable from traces to numbers.
    A trace that lacks a dimension gets the error `"no-dimension"` and takes no part in the z-scores.
    """

    reader: Reader
    coherence: Scorer | Values | None = None
    relevance: Scorer | Values | None = None
    """None: mutual information by the reader."""
    weights: tuple[float, float, float] = WEIGHTS
    """Of confidence, relevance, coherence."""
    answer_span: AnswerSpan = answer_span

    question = Question.QUALITY

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or any(w < 0 for w in self.weights) or not sum(self.weights[:2]):
            raise InputError(
                f"weights: got {self.weights}, expected three numbers >= 0, one of the first two above 0"
            )

    @property
    def source(self) -> Source:
        named = [_name(self.relevance), _name(self.coherence), self.answer_span.__qualname__]
        return Source.of("drm", reader=self.reader.fingerprint, parts=named, weights=list(self.weights))

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        raw, usages = self.dimensions(traces)
        present = {name: w for name, w in zip(NAMES, self.weights, strict=True) if name in raw and w}
        total = sum(self.weights) / sum(present.values())
        known = [all(raw[name][i] is not None for name in present) for i in range(len(traces))]
        groups: dict[str, list[int]] = defaultdict(list)
        for i, trace in enumerate(traces):
            if known[i]:
                groups[trace.problem.id].append(i)
        sums = [0.0] * len(traces)
        for members in groups.values():
            for name, weight in present.items():
                for i, z in zip(members, z_scores([raw[name][i] or 0.0 for i in members]), strict=True):
                    sums[i] += weight * total * z
        out = []
        for i, trace in enumerate(traces):
            missing = [name for name in present if raw[name][i] is None]
            error = None
            if missing:
                error = ItemError("no-dimension", f"no {' and no '.join(missing)} for this trace")
            error = NO_STEPS if not trace.steps else error
            flags = ("alone",) if known[i] and len(groups[trace.problem.id]) == 1 else ()
            scores = None if error else on_last(trace, sums[i])
            out.append(judged(self, trace, scores, usages[i], flags=flags, error=error))
        return out

    def dimensions(self, traces: Sequence[Trace]) -> tuple[dict[str, list[float | None]], list[Usage]]:
        """The raw dimensions by name, before any z-score, and what each trace cost."""
        found = whole_texts(self.reader, traces)
        raw: dict[str, list[float | None]] = {
            "confidence": [self._confidence(t, x) for t, x in zip(traces, found, strict=True)]
        }
        usages = [x.usage for x in found]
        parts: dict[str, Dimension] = {}
        if self.weights[1]:
            if self.relevance is None:
                parts["relevance"] = mutual_information(self.reader, traces, self.answer_span)
            else:
                parts["relevance"] = _values(self.relevance, traces)
        if self.coherence is not None and self.weights[2]:
            parts["coherence"] = _values(self.coherence, traces)
        for name, (values, spent) in parts.items():
            raw[name] = values
            usages = [a + b for a, b in zip(usages, spent, strict=True)]
        return raw, usages

    def _confidence(self, trace: Trace, found: Likelihood) -> float | None:
        """None without an answer: there is nothing to be confident of."""
        span = self.answer_span(trace)
        if found.error is not None or span is None:
            return None
        reasoning = found.logprobs[: _answer_tokens(trace, found, span).start]
        answer = answer_logprobs(trace, found, span)
        value = math.fsum(answer) + (math.fsum(reasoning) / len(reasoning) if reasoning else 0.0)
        return value if math.isfinite(value) else None


NAMES = ("confidence", "relevance", "coherence")


def z_scores(values: Sequence[float]) -> list[float]:
    """(x - mean) / population standard deviation; zeros where all are equal up to rounding."""
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    if spread <= 1e-9 * max(1.0, abs(mean)):
        return [0.0] * len(values)
    return [(v - mean) / spread for v in values]


def mutual_information(
    reader: Reader, traces: Sequence[Trace], span_of: AnswerSpan = answer_span
) -> Dimension:
    """PMI(Q; R) per token of R plus PMI(A; R | Q) per token of A, in nats; None without an answer.

    Without the question the reader gets an empty prompt; without the reasoning, the answer's own line stands
    directly behind the question.
    """
    known = [i for i, t in enumerate(traces) if t.steps and span_of(t) is not None]
    spans = {i: span_of(traces[i]) or (0, 0) for i in known}
    lines = {i: traces[i].text.rfind("\n", 0, spans[i][0]) + 1 for i in known}
    texts = [layout(traces[i]).text for i in known]
    asked = [Request(traces[i].problem) for i in known]
    blind = [Request(replace(traces[i].problem, prompt="", id="")) for i in known]
    alone = [traces[i].text[lines[i] : spans[i][1]] for i in known]
    found = read(reader, [*asked, *blind, *asked], [*texts, *texts, *alone])
    n = len(known)
    values: list[float | None] = [None] * len(traces)
    usages = [Usage()] * len(traces)
    for k, i in enumerate(known):
        three = full, no_question, no_reasoning = found[k], found[n + k], found[2 * n + k]
        usages[i] = sum((x.usage for x in three), Usage())
        if any(x.error is not None for x in three):
            continue
        own = _answer_tokens(traces[i], full, spans[i])
        reasoning = tokens_before(full.token_ends, lines[i] + layout_shift(traces[i], lines[i]))
        start, end = (at - lines[i] for at in spans[i])
        bare = no_reasoning.logprobs[span_tokens(no_reasoning.token_ends, start, end)]
        value = _gain(full.logprobs[:reasoning], no_question.logprobs[:reasoning]) + _gain(
            full.logprobs[own], bare
        )
        values[i] = value if math.isfinite(value) else None
    return values, usages


def _gain(given: Sequence[float], bare: Sequence[float]) -> float:
    return (math.fsum(given) - math.fsum(bare)) / len(given) if given else 0.0


def _answer_tokens(trace: Trace, found: Likelihood, span: tuple[int, int]) -> slice:
    shift = layout_shift(trace, span[0])
    return span_tokens(found.token_ends, span[0] + shift, span[1] + shift)


def _values(part: Scorer | Values, traces: Sequence[Trace]) -> Dimension:
    if not isinstance(part, Scorer):
        values = list(part(traces))
        usages = [Usage()] * len(values)
    else:
        judgements = part.score(traces)
        values = [j.scores[-1] if j.scores else None for j in judgements]
        usages = [j.usage.policy + j.usage.scorer for j in judgements]
    if len(values) != len(traces):
        raise BackendError(f"{_name(part)}: got {len(values)} values, expected one for each of {len(traces)}")
    return values, usages


def _name(part: Scorer | Values | None) -> str:
    if part is None:
        return ""
    if isinstance(part, Scorer):
        return str(part.source)
    return getattr(part, "__qualname__", type(part).__qualname__)
