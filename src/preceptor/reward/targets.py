"""From a judgement to training targets, one per step: a probability of "good", or None for "no label".

A step without evidence has no target. It is never 0, never -100, and never a bool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from preceptor.annotate.rules import after_error
from preceptor.judgement import Judgement, Question


@dataclass(frozen=True)
class TargetConfig:
    objective: Literal["soft", "hard"] = "soft"
    """soft: the score, or the success rate behind a hard label of value; hard: 1 if that reaches `threshold`."""
    threshold: float = 0.5
    after_error: Literal["keep", "mask", "wrong"] = "keep"
    """What becomes of the steps after the first one below `threshold`: as labelled, no target, or 0."""

    def __post_init__(self) -> None:
        if self.objective not in ("soft", "hard") or self.after_error not in ("keep", "mask", "wrong"):
            raise ValueError(
                f"targets: got {self}, expected objective soft|hard, after_error keep|mask|wrong"
            )


def step_targets(judgement: Judgement, config: TargetConfig) -> tuple[float | None, ...]:
    """Targets of a judged trace; raises ValueError for a soft target outside [0, 1]."""
    if judgement.scores is None:
        return ()
    values = [_evidence(judgement, t, score) for t, score in enumerate(judgement.scores)]
    threshold = config.threshold
    if config.objective == "hard":
        values = [None if v is None else float(v >= threshold) for v in values]
        threshold = 0.5
    values = list(after_error(values, config.after_error, threshold=threshold))
    for t, value in enumerate(values):
        if value is not None and not 0 <= value <= 1:
            raise ValueError(
                f"target of step {t}: got {value}, expected a probability. Use the hard objective for scores "
                "on another scale."
            )
    return tuple(values)


def _evidence(judgement: Judgement, t: int, score: float | None) -> float | None:
    """The rate behind a hard label of value; a score that is soft already says more than its counts."""
    counts = judgement.counts[t] if judgement.counts is not None else None
    hard = score is None or score in (0.0, 1.0)
    if counts is None or counts[1] == 0 or not hard or judgement.question is Question.PROGRESS:
        return score
    return counts[0] / counts[1]
