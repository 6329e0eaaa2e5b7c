"""What the scores after the first error are worth: nothing, wrong by rule, or no more than before.

Supervision in PRM800K stops at the first wrong step, so later scores of a model trained on it mean little
(Let's Verify Step by Step). `after`:

    mask          None: not judged
    wrong         0, also where the member gave nothing: "all steps so far are right" cannot come back, and
                  Dyve stops at the first step that is not good
    running_min   the lowest score so far; a step the member did not judge stays unjudged

The first error is the first score below `threshold`, whether or not a step before it was left unscored
(whatever that step was, what comes after an error comes after an error); `first_error` is then unknown. With
`threshold=None` it is the member's own `first_error`; where that is unknown nothing changes, and the
judgement is flagged `"unknown-first-error"`. Cost: the member's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR, Judgement, Question, Scorer, Source, first_below
from preceptor.reward.combine.parts import Scores, ask, combined, names_of, scores_of
from preceptor.trace import Trace


@dataclass(frozen=True)
class Masked:
    """Scorer of the member's question; scores up to and including the first error are the member's."""

    scorer: Scorer
    threshold: float | None = 0.5
    after: Literal["mask", "wrong", "running_min"] = "mask"

    def __post_init__(self) -> None:
        if self.after not in ("mask", "wrong", "running_min"):
            raise InputError(f"after: got {self.after!r}, expected 'mask', 'wrong' or 'running_min'")

    @property
    def question(self) -> Question:
        return self.scorer.question

    @cached_property
    def source(self) -> Source:
        names = names_of([self.scorer])
        return Source.of("masked", members=names, threshold=self.threshold, after=self.after)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [self._mask(t, j) for t, j in zip(traces, ask(self.scorer, traces), strict=True)]

    def _mask(self, trace: Trace, judged: Judgement) -> Judgement:
        scores = scores_of(judged, len(trace.steps))
        if self.threshold is None:
            first, at = judged.first_error, judged.first_error
        else:
            limit = self.threshold
            first = first_below(scores, limit)
            low = [t for t, s in enumerate(scores) if s is not None and s < limit]
            at = low[0] if low else NO_ERROR
        unknown = at is None and judged.scores is not None
        if at is not None and at != NO_ERROR:
            scores = (*scores[: at + 1], *self._later(scores, at))
        flags = ("unknown-first-error",) if unknown else ()
        why = judged.rationale
        return combined(self, trace, scores, [judged], first_error=first, flags=flags, rationale=why)

    def _later(self, scores: Scores, at: int) -> list[float | None]:
        later = scores[at + 1 :]
        if self.after == "mask":
            return [None] * len(later)
        if self.after == "wrong":
            return [0.0] * len(later)
        low = min((s for s in scores[: at + 1] if s is not None), default=None)
        out: list[float | None] = []
        for s in later:
            if s is not None:
                low = s if low is None else min(low, s)
            out.append(None if s is None else low)
        return out
