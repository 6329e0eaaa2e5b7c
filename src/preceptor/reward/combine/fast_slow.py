"""A cheap scorer for every step, a dear one where the cheap one is unsure (Dyve: fast and slow thinking).

Dyve trains one model to answer an easy step with a bare `+` and a hard one after thinking. Our deviation:
two scorers and an explicit rule in place of a model that chooses by itself. A step is unsure when its fast
score lies in [low, high] or is missing. What goes to the slow scorer:

    steps         the unsure steps: it reads the trace up to the last of them, and only their scores change
    traces        whole traces with an unsure step: all their scores become the slow ones
    first_error   whole traces whose first error is unsure: an unsure step stands before the first step that
                  is surely wrong (fast score below `low`). What comes after that step does not matter

Flags count the routing: `"slow"` once per trace that was sent and `"slow-step"` once per step that got its
score there, so a `Counter` over all flags gives both numbers. Dyve's own protocol, in which everything after
the first wrong step scores 0, is `Masked(FastSlow(...), after="wrong")`. The bounds 0.3 and 0.7 are ours.
Cost: one fast call for all traces, and one slow call for those sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.parts import Scores, ask, combined, names_of, one_question, scores_of
from preceptor.trace import Finish, Trace


@dataclass(frozen=True)
class FastSlow:
    """Scorer of the question both members answer, or of `answers` where they differ.

    Where the slow scorer fails, the step has no score and the judgement its error; with `fallback` it keeps
    the fast score and the judgement is flagged `"slow-failed"`.
    """

    fast: Scorer
    slow: Scorer
    low: float = 0.3
    high: float = 0.7
    unit: Literal["steps", "traces", "first_error"] = "steps"
    fallback: bool = False
    answers: Question | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise InputError(f"got low={self.low} and high={self.high}, expected low <= high")
        if self.unit not in ("steps", "traces", "first_error"):
            raise InputError(f"unit: got {self.unit!r}, expected 'steps', 'traces' or 'first_error'")
        one_question([self.fast, self.slow], self.answers)

    @property
    def question(self) -> Question:
        return one_question([self.fast, self.slow], self.answers)

    @cached_property
    def source(self) -> Source:
        return Source.of(
            "fast-slow",
            members=names_of([self.fast, self.slow]),
            low=self.low,
            high=self.high,
            unit=self.unit,
            fallback=self.fallback,
            question=self.question.value,
        )

    def unsure(self, scores: Scores) -> list[int]:
        """The steps that make a trace go to the slow scorer, given the fast scores; empty when none does."""
        doubtful = [t for t, s in enumerate(scores) if s is None or self.low <= s <= self.high]
        if self.unit != "first_error":
            return doubtful
        wrong = next((t for t, s in enumerate(scores) if s is not None and s < self.low), len(scores))
        return [t for t in doubtful if t < wrong]

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        quick = ask(self.fast, traces)
        fast = [scores_of(j, len(t.steps)) for j, t in zip(quick, traces, strict=True)]
        unsure = [self.unsure(scores) for scores in fast]
        sent = [i for i, steps in enumerate(unsure) if steps]
        rows = [self._row(traces[i], unsure[i][-1]) for i in sent]
        slow = dict(zip(sent, ask(self.slow, rows), strict=True))
        return [
            self._join(trace, quick[i], slow[i], fast[i], unsure[i])
            if i in slow
            else combined(self, trace, fast[i], [quick[i]])
            for i, trace in enumerate(traces)
        ]

    def _row(self, trace: Trace, last: int) -> Trace:
        if self.unit != "steps" or last == len(trace.steps) - 1:
            return trace
        text, steps = trace.prefix(last + 1), trace.steps[: last + 1]
        return Trace(trace.problem, text, steps, Finish.BOUNDARY, parent=trace.id)

    def _join(
        self, trace: Trace, quick: Judgement, slow: Judgement, fast: Scores, unsure: list[int]
    ) -> Judgement:
        count = len(trace.steps)
        seen = scores_of(slow, count)
        scores = list(fast)
        flags = ["slow"]
        for t in unsure if self.unit == "steps" else range(count):
            got = seen[t]
            if got is None and self.fallback and fast[t] is not None:
                if "slow-failed" not in flags:
                    flags.append("slow-failed")
                continue
            scores[t] = got
        replaced = unsure if self.unit == "steps" else range(count)
        flags += ["slow-step"] * sum(seen[t] is not None for t in replaced)
        return combined(self, trace, scores, [slow, quick], flags=flags)
