"""VisualPRM's text path ("VisualPRM: An Effective Process Reward Model for Multimodal Reasoning", arXiv
2503.10291): chat turns answered by `+` or `-`, without the image.

The authors score at most 12 steps: of n > 12 steps, ceil(n/12) consecutive ones are merged. That makes the
score of a step depend on how many follow, so it is an option here (`max_steps=12`): every step of a merged
piece then gets the piece's score, and the judgement carries the flag `merged-steps`.

Left out: images, and opening the InternVL container (remote code); save its language model apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.formats.rlhflow import FIRST_OF_TWO
from preceptor.reward.formats.turns import TurnsFormat
from preceptor.reward.head import Verbalizer
from preceptor.reward.layout import Turns
from preceptor.trace import Step, Trace

SYSTEM = (
    "You check solutions of visual problems step by step. The first turn holds the problem and the first step, "
    "every later turn the next step. Answer `+` when the step is right and `-` when it is not."
)


@dataclass(frozen=True)
class AtMost:
    """A scorer that sees at most `max_steps` steps of a trace, consecutive ones merged evenly."""

    scorer: Scorer
    max_steps: int = 12

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise InputError(f"max_steps: got {self.max_steps}, expected at least 1")

    @property
    def question(self) -> Question:
        return self.scorer.question

    @cached_property
    def source(self) -> Source:
        return Source.of("at-most", scorer=str(self.scorer.source), max_steps=self.max_steps)

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace; every step of a merged piece has the piece's score."""
        widths = [math.ceil(len(t.steps) / self.max_steps) for t in traces]
        seen = [t if w <= 1 else replace(t, steps=pieces(t, w)) for t, w in zip(traces, widths, strict=True)]
        judged = self.scorer.score(seen)
        return [self._spread(*item) for item in zip(traces, widths, judged, strict=True)]

    def _spread(self, trace: Trace, width: int, judged: Judgement) -> Judgement:
        if width <= 1:
            return replace(judged, source=self.source)
        scores = judged.scores
        return replace(
            judged,
            trace=trace.id,
            source=self.source,
            scores=None if scores is None else tuple(scores[t // width] for t in range(len(trace.steps))),
            first_error=None,
            flags=(*judged.flags, "merged-steps"),
        )


def pieces(trace: Trace, width: int) -> tuple[Step, ...]:
    """Every `width` consecutive steps as one, with the observations inside it joined by line breaks."""
    found = []
    for k in range(0, len(trace.steps), width):
        part = trace.steps[k : k + width]
        seen = [s.observation for s in part if s.observation is not None]
        found.append(Step(part[0].start, part[-1].end, part[-1].kind, "\n".join(seen) if seen else None))
    return tuple(found)


@dataclass(frozen=True)
class VisualPRM(TurnsFormat):
    """`open(directory, max_steps=12)` merges as the authors do; None judges every step."""

    def open(self, directory: str, *, max_steps: int | None = None, **options: Any) -> Any:
        prm = TurnsFormat.open(self, directory, **options)
        return prm if max_steps is None else AtMost(prm, max_steps)


VISUALPRM = VisualPRM(
    name="visualprm",
    models=("OpenGVLab/VisualPRM-8B", "OpenGVLab/VisualPRM-8B-v1.1"),
    layout=Turns("### Question:\n{problem}\n\n### Solution Process:\n{step}", system=SYSTEM),
    head=Verbalizer(("+", "-")),
    link=FIRST_OF_TWO,
    question=Question.VALUE,
    aggregate="mean",
    paraphrased="system",
    source="the model's repository",
    unsure=(
        "system message: the authors' text is not in our source; the default is a paraphrase",
        "link, two-way softmax: from memory",
        "aggregation, mean over steps: from memory",
        "at most 12 steps: from memory",
        "threshold: not found; 0.5 is a default",
    ),
    notes=(
        "Text path only: no image is read. Compare with the full model before trusting it on visual problems.",
        "The checkpoint is a container with remote code: give the directory of its language model.",
        "`+` stands in every earlier turn, never the model's own verdict.",
        "`+` in training meant that at least one rollout from there succeeded: a value, not a validity.",
        "open(max_steps=12) merges ceil(n/12) consecutive steps as the authors do.",
    ),
)
