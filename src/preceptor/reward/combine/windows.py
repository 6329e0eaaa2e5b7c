"""Steps judged together with the steps before them (HRM: hierarchical reward model).

Judging two consecutive steps as one lets a wrong step followed by its repair pass. The coarse score of step
t is the scorer's score of steps t - width + 1 .. t merged into one step, with the steps before them as they
were. A chain of T steps has T fine and T - width + 1 coarse scores; the first width - 1 steps have only the
fine one. How the two are joined at scoring time is not found in the paper; the default is the mean.

Two layouts of the coarse examples:

    alone   one trace per coarse score, cut after the merged step: the published data layout (previous
            reasoning, then the window). T - width + 1 further traces.
    tiled   `width` further traces, each with *every* `width` consecutive steps merged, one for each place
            the first window can begin. Cheaper for long traces; for a scorer whose earlier scores or
            separators influence later ones the figures differ from `alone`.

Merging moves no text, so tokens and log-probabilities stay aligned. Left out: HRM's training data and node
compression (`annotate`), and the blank line it puts between merged steps (a renderer's matter).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.parts import ask, combined, names_of, scores_of
from preceptor.trace import Finish, Step, Trace

JOIN: dict[str, Callable[[float, float], float]] = {
    "mean": lambda fine, coarse: (fine + coarse) / 2,
    "max": max,
    "min": min,
    "coarse": lambda fine, coarse: coarse,
}
"""How a fine and a coarse score become one."""


def merged(trace: Trace, first: int, last: int) -> Trace:
    """The trace up to step `last`, with steps `first..last` as one. Text and tokens are those of the trace.

    A trace that ends before its own end has the finish `BOUNDARY`, and no grade or tokens.
    """
    window = trace.steps[first : last + 1]
    step = replace(window[-1], start=window[0].start)
    steps = (*trace.steps[:first], step)
    if last == len(trace.steps) - 1:
        return replace(trace, steps=steps, parent=trace.id)
    return Trace(trace.problem, trace.text[: step.end], steps, Finish.BOUNDARY, parent=trace.id)


def tiled(trace: Trace, width: int, offset: int) -> tuple[Trace, dict[int, int]]:
    """The trace with every `width` consecutive steps from step `offset` on merged, and a map from the last
    step of each merged window to its index there. Steps left over at both ends stay single."""
    steps: list[Step] = list(trace.steps[:offset])
    ends: dict[int, int] = {}
    t = offset
    while t < len(trace.steps):
        window = trace.steps[t : t + width]
        if len(window) == width:
            ends[t + width - 1] = len(steps)
            steps.append(replace(window[-1], start=window[0].start))
        else:
            steps.extend(window)
        t += width
    return replace(trace, steps=tuple(steps), parent=trace.id), ends


@dataclass(frozen=True)
class Windows:
    """Scorer of the member's question, from fine and coarse scores.

    A step whose fine or coarse score is missing where it is needed has none.
    """

    scorer: Scorer
    width: int = 2
    join: Literal["mean", "max", "min", "coarse"] = "mean"
    layout: Literal["alone", "tiled"] = "alone"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"width: got {self.width}, expected at least 1 step in a window")
        if self.join not in JOIN or self.layout not in ("alone", "tiled"):
            raise InputError(
                f"got join={self.join!r} and layout={self.layout!r}, expected a join of {sorted(JOIN)} and a "
                "layout of ['alone', 'tiled']"
            )

    @property
    def question(self) -> Question:
        return self.scorer.question

    @cached_property
    def source(self) -> Source:
        names = names_of([self.scorer])
        return Source.of("windows", members=names, width=self.width, join=self.join, layout=self.layout)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        rows: list[Trace] = []
        places: list[tuple[int, dict[int, tuple[int, int]]]] = []
        for trace in traces:
            begin = len(rows)
            rows.append(trace)
            coarse: dict[int, tuple[int, int]] = {}
            for row, ends in self._coarse_rows(trace):
                coarse |= {t: (len(rows), index) for t, index in ends.items()}
                rows.append(row)
            places.append((begin, coarse))
        judged = ask(self.scorer, rows)
        stops = [begin for begin, _ in places[1:]] + [len(rows)]
        return [
            self._join(trace, judged[begin:stop], {t: (r - begin, k) for t, (r, k) in coarse.items()})
            for trace, (begin, coarse), stop in zip(traces, places, stops, strict=True)
        ]

    def _coarse_rows(self, trace: Trace) -> list[tuple[Trace, dict[int, int]]]:
        """Further traces to score, each with {step t: index of the merged step that ends at t}."""
        count, width = len(trace.steps), self.width
        if width == 1 or count < width:
            return []
        if self.layout == "tiled":
            return [tiled(trace, width, offset) for offset in range(min(width, count - width + 1))]
        firsts = range(count - width + 1)
        return [(merged(trace, f, f + width - 1), {f + width - 1: f}) for f in firsts]

    def _join(self, trace: Trace, parts: list[Judgement], coarse: dict[int, tuple[int, int]]) -> Judgement:
        fine = scores_of(parts[0], len(trace.steps))
        scores: list[float | None] = list(fine)
        for t, (row, index) in coarse.items():
            own = parts[row].scores
            wide = None if own is None else own[index]
            near = fine[t]
            if self.join == "coarse":
                scores[t] = wide
            else:
                scores[t] = None if near is None or wide is None else JOIN[self.join](near, wide)
        return combined(self, trace, scores, parts)
