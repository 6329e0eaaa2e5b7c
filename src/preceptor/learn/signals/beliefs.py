"""Beliefs in the gold answer before the first step and after every step: IGPO, A2TGPO, GRPO-VPS.

B_t: the reasoning is cut off behind step t (observations included), closed by a fixed text, and the gold answer is read
by teacher forcing; `start` is B_0, on the prompt alone. Differences telescope to B_T - B_0: they are the method's
business. Forms: `prob_geo` (IGPO), `mean_prob`, `prob_prod`, `logp_mean`.

IGPO takes no belief in the turn that answers (`answer_step=False`: from the step on in which the trace's own answer
begins, steps are not judged). GRPO-VPS: at most `most` cuts, evenly over the steps; its rule is not found, paragraphs
merged to at most 16 is ours. Steps between two cuts are not judged. Of several gold answers (`targets`) the
first counts (published code), or the likeliest.

Cost: one forward pass a distinct prefix and answer, all traces in one call; shared beginnings are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from preceptor.credit import Signals
from preceptor.errors import InputError
from preceptor.generation import Reader
from preceptor.learn.signals.base import Producer, Row
from preceptor.learn.signals.probe import Ask, Read, ask
from preceptor.reward.likelihood.answers import AnswerSpan, answer_span
from preceptor.reward.likelihood.belief import FORMS
from preceptor.reward.likelihood.reading import shown
from preceptor.trace import Trace

Targets = Callable[[Trace], Sequence[str]]
"""The answers that count as right; none: the trace gets no beliefs."""


def gold_answers(trace: Trace) -> Sequence[str]:
    return (trace.problem.gold,) if trace.problem.gold else ()


@dataclass(eq=False)
class Beliefs(Producer):
    name: ClassVar[str] = "beliefs"
    gives: ClassVar[frozenset[str]] = frozenset({"scores", "start"})

    reader: Reader
    form: str = "prob_geo"
    closing: str = "Answer: "
    """For reasoning in tags e.g. "\\nNow there's enough information to answer.\\n</think>\\n<answer>"."""
    ending: str = ""
    """Counts as part of the answer: with a line end, 1 is not taken for the start of 17."""
    targets: Targets = gold_answers
    several: Literal["first", "max"] = "first"
    answer_step: bool = True
    answer_span: AnswerSpan = answer_span
    most: int | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS or self.several not in ("first", "max"):
            raise InputError(
                f"beliefs: got form {self.form!r}, several {self.several!r}, expected one of {list(FORMS)} and "
                "'first' or 'max'."
            )
        if self.most is not None and self.most < 1:
            raise InputError(
                f"beliefs: got most={self.most}, expected at least 1 cut, or None for every step."
            )

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        places = [self._cuts(trace) for trace in traces]
        answers = [self._answers(trace) for trace in traces]
        asked = [
            Ask(trace.problem, shown(trace, t), answer, self.closing, self.ending)
            for trace, cuts, own in zip(traces, places, answers, strict=True)
            for t in (0, *cuts)
            for answer in own
        ]
        found = iter(ask(self.reader, asked))
        rows: list[Row] = []
        start: list[float | None] = []
        for trace, cuts, own in zip(traces, places, answers, strict=True):
            reads = [[next(found) for _ in own] for _ in (0, *cuts)]
            values = [self._best(row) for row in reads]
            start.append(values[0])
            rows.append(self._row(trace, cuts, values[1:]))
        return Signals(tuple(rows), self.question, start=tuple(start))

    def _answers(self, trace: Trace) -> Sequence[str]:
        """Those to be read of a trace; none for one that failed or has no gold answer."""
        if trace.error is not None:
            self.failed[trace.error.kind] += 1
            return ()
        own = list(dict.fromkeys(self.targets(trace)))
        if not own:
            self.failed["no-gold"] += 1
        return own[:1] if self.several == "first" else own

    def _cuts(self, trace: Trace) -> list[int]:
        """Numbers of steps behind which to ask."""
        span = None if self.answer_step else self.answer_span(trace)
        limit = len(trace.text) if span is None else span[0]
        cuts = [t for t, step in enumerate(trace.steps, 1) if step.end <= limit]
        n, most = len(cuts), self.most
        return cuts if most is None or n <= most else [cuts[(k + 1) * n // most - 1] for k in range(most)]

    def _best(self, reads: Sequence[Read]) -> float | None:
        self.pay(r.usage for r in reads)
        known = [v for r in reads if (v := r.form(self.form)) is not None]
        for r in reads:
            if r.form(self.form) is None:
                self.failed["not-finite" if r.error is None else r.error.kind] += 1
        return max(known, default=None)

    def _row(self, trace: Trace, cuts: Sequence[int], values: Sequence[float | None]) -> Row:
        at = dict(zip(cuts, values, strict=True))
        row = tuple(at.get(t) for t in range(1, len(trace.steps) + 1))
        return None if all(v is None for v in row) else row
