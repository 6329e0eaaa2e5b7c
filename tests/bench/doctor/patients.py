"""Scorers with exactly one disease each, made from the world's oracle: the truth, made soft, and then spoiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from preceptor.annotate import WorldOracle
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace, content_id

ORACLE = WorldOracle()
_KNOWN: dict[str, tuple[float, ...]] = {}


def noise(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    return int(content_id(*parts), 16) / 2**64


def soft(trace: Trace) -> list[float]:
    """Right steps between 0.85 and 0.95, wrong ones between 0.05 and 0.15, by prefix: causal, no two equal."""
    if trace.id not in _KNOWN:
        _KNOWN[trace.id] = _soft(trace)
    return list(_KNOWN[trace.id])


def _soft(trace: Trace) -> tuple[float, ...]:
    truths = ORACLE.score([trace])[0].scores or ()
    jitter = [
        0.1 * noise(trace.problem.prompt, trace.prefix(t + 1), trace.steps[t].end)
        for t in range(len(trace.steps))
    ]
    return tuple((0.85 if truth else 0.05) + j for truth, j in zip(truths, jitter, strict=True))


@dataclass
class Patient:
    """`spoil(trace, scores, all traces of the call)` returns the scores it gives."""

    spoil: Callable[[Trace, list[float], Sequence[Trace]], list[float | None]]
    question: Question = Question.VALIDITY

    @property
    def source(self) -> Source:
        return Source.of("patient")

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [
            Judgement(t.id, self.question, self.source, tuple(self.spoil(t, soft(t), traces))) for t in traces
        ]


def per_step(change: Callable[[str, float], float]) -> Patient:
    """Looks at a step's text and its honest score."""
    return Patient(lambda t, scores, _: [change(x, s) for x, s in zip(t.step_texts, scores, strict=True)])


def pleased_by(word: str) -> Patient:
    return per_step(lambda text, s: 0.97 if word in text else s)


def pleased_by_repetition(trace: Trace, scores: list[float], _: Sequence[Trace]) -> list[float | None]:
    texts = trace.step_texts
    return [
        0.97 if len(set(texts[: t + 1])) < t else s for t, s in enumerate(scores)
    ]  # two copies stand before it


def searches_for(tag: str) -> Patient:
    """Reads a score at every copy of its tag, also at those the text brought along."""
    return Patient(lambda t, scores, _: [*scores, *([0.9] * (t.text + t.problem.prompt).count(tag))])


class Sampling(Patient):
    """A judge at temperature 1: every call is another draw."""

    calls = 0

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        self.calls += 1
        return super().score(traces)


def sampling() -> Sampling:
    patient = Sampling(lambda t, scores, _: [s + 0.05 * noise(patient.calls, t.id) for s in scores])
    return patient
