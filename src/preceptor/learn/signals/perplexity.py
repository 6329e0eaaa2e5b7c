"""SAR: perplexity of a response with and without its question (abstract index 198).

Perplexity exp(mean negative log-likelihood) over the tokens of the whole response. Without the question the prompt is
empty and the chat around it stays as it is. Scalars `ppl` (without), `ppl_q` (with the question) and `self_aligned`,
their relative difference, whose formula and options are `credit.ops.sar`'s.

Cost: two passes a response, in one call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from preceptor.credit import Signals
from preceptor.credit.ops.sar import self_aligned
from preceptor.generation import Reader
from preceptor.judgement import Question
from preceptor.learn.signals.base import Producer
from preceptor.learn.signals.probe import Ask, Read, ask
from preceptor.trace import Trace


@dataclass(eq=False)
class SelfAligned(Producer):
    name: ClassVar[str] = "self-aligned"
    gives: ClassVar[frozenset[str]] = frozenset({"scalars.ppl", "scalars.ppl_q", "scalars.self_aligned"})
    question: ClassVar[Question] = Question.QUALITY

    reader: Reader
    log: bool = False
    cap: float | None = None
    relative: bool = True

    def signals(self, traces: Sequence[Trace]) -> Signals:
        self.begin()
        live = [t.error is None and bool(t.text) for t in traces]
        asked = [
            Ask(problem, "", t.text)
            for t, fine in zip(traces, live, strict=True)
            if fine
            for problem in (t.problem, replace(t.problem, prompt=""))
        ]
        found = iter(ask(self.reader, asked))
        rows: list[tuple[float | None, float | None, float | None]] = []
        for trace, fine in zip(traces, live, strict=True):
            if fine:
                rows.append(self._row(next(found), next(found)))
            else:
                self.failed["empty" if trace.error is None else trace.error.kind] += 1
                rows.append((None, None, None))
        names = ("ppl_q", "ppl", "self_aligned")
        return Signals(
            question=self.question, scalars={n: tuple(r[k] for r in rows) for k, n in enumerate(names)}
        )

    def _row(self, asking: Read, alone: Read) -> tuple[float | None, float | None, float | None]:
        self.pay((asking.usage, alone.usage))
        with_question, without = _ppl(asking), _ppl(alone)
        for read, value in ((asking, with_question), (alone, without)):
            if value is None:
                self.failed["not-finite" if read.error is None else read.error.kind] += 1
        reward = None
        if with_question is not None and without is not None:
            reward = self_aligned(
                asking.logps, alone.logps, log=self.log, relative=self.relative, cap=self.cap
            )
        return with_question, without, reward


def _ppl(read: Read) -> float | None:
    logp = read.form("logp_mean")
    return None if logp is None or logp < -700 else math.exp(-logp)
