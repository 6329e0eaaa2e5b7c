"""RLPR: how likely the reference answer is in place of the one that was written (abstract index 213).

`probability`: the written answer is replaced by the reference, whose tokens are read; mean of their probabilities, not
the product, which collapses for long references. `base_probability`: the reference directly behind the prompt (and
`opening`), with the reasoning removed. What becomes of them is `credit.ops.rlpr`. A response without an answer has
format 0 and probability 0.

`tags`: every one exactly once and in order is format 1, and the answer is the last block of the last two. Without tags
(ours, for texts with `Answer:` or a box) format is 1 where an answer is found. `deviation_floor`, for the method's
filter, is kept from call to call: one object a run.

Cost: one pass a trace and one a problem, in one call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from preceptor.credit import Signals
from preceptor.credit.ops.rlpr import DeviationFloor, well_formed, with_reference
from preceptor.generation import Reader
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer
from preceptor.learn.signals.probe import Ask, Read, ask
from preceptor.reward.likelihood.answers import AnswerSpan, answer_span
from preceptor.trace import Trace

Numbers = tuple[float | None, ...]


@dataclass(eq=False)
class ReferenceProbability(Producer):
    name: ClassVar[str] = "reference-probability"
    gives: ClassVar[frozenset[str]] = frozenset(
        f"scalars.{n}" for n in ("probability", "base_probability", "format", "deviation_floor")
    )
    question: ClassVar[Question] = Question.QUALITY

    reader: Reader
    form: str = "mean_prob"
    opening: str = ""
    """What stands before the reference in the base, e.g. "<answer>"."""
    tags: tuple[str, ...] = ()
    answer_span: AnswerSpan = answer_span
    floor: DeviationFloor = field(default_factory=DeviationFloor, init=False, repr=False)

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        places = [None if t.error is not None else self._place(t) for t in traces]
        asked = []
        for trace, place in zip(traces, places, strict=True):
            gold = self._gold(trace)
            if gold is not None:
                asked += [Ask(trace.problem, "", gold, self.opening)]
                asked += [] if place is None else [Ask(trace.problem, trace.text[:place], gold)]
        found = iter(ask(self.reader, asked))
        own: list[float | None] = []
        base: list[float | None] = []
        for trace, place in zip(traces, places, strict=True):
            if self._gold(trace) is None:
                self.failed["no-gold" if trace.error is None else trace.error.kind] += 1
                own, base = [*own, None], [*base, None]
            else:
                base.append(self._value(next(found)))
                own.append(0.0 if place is None else self._value(next(found)))
        form = tuple(self._format(t, place) for t, place in zip(traces, places, strict=True))
        floors = (self.floor.floor,) * len(traces)
        self._see(traces, own, base, form)
        scalars = {"probability": tuple(own), "base_probability": tuple(base), "format": form}
        return Signals(question=self.question, scalars={**scalars, "deviation_floor": floors})

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.floor.batches, "mean": self.floor.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.floor.batches, self.floor.mean = state["batches"], state["mean"]

    def _gold(self, trace: Trace) -> str | None:
        return None if trace.error is not None else trace.problem.gold or None

    def _place(self, trace: Trace) -> int | None:
        """The character at which the answer begins; None without one."""
        if len(self.tags) > 1:
            replaced = with_reference(trace.text, trace.problem.gold or "", (self.tags[-2], self.tags[-1]))
            return None if replaced is None else replaced[1]
        span = self.answer_span(trace)
        return None if span is None else span[0]

    def _format(self, trace: Trace, place: int | None) -> float | None:
        if trace.error is not None:
            return None
        return float(well_formed(trace.text, self.tags) if self.tags else place is not None)

    def _value(self, read: Read) -> float | None:
        self.pay([read.usage])
        if read.error is not None:
            self.failed[read.error.kind] += 1
        return read.form(self.form)

    def _see(
        self,
        traces: Sequence[Trace],
        own: Sequence[float | None],
        base: Sequence[float | None],
        form: Numbers,
    ) -> None:
        rewards = [
            None if p is None or b is None or f is None else 0.9 * max(0.0, p - b) + 0.1 * f
            for p, b, f in zip(own, base, form, strict=True)
        ]
        self.floor.update([t.problem.id for t in traces], rewards)
