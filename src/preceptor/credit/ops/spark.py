r"""SPARK: a generative process reward model in place of the gold answer (abstract index 83).

Three rewards: its final verdict; `0.6 mean step + 0.4 verdict`; or the verdict's advantage kept only where step and
sign agree (`Selective`). A judge without a reference is easily fooled by form, so a text that is not `well_formed` gets
reward 0 whatever the verdict: exactly one answer block, exactly one `\boxed{}`, in it, and nothing after it.

`Signals.scalars`: "verdict" (None: unreadable) and "format" (`well_formed` of the completion's text).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op, Source
from preceptor.credit.sources import Scalar, StepScore
from preceptor.credit.types import Level, Ragged

_BOX = re.compile(r"\\f?box(?:ed)?(?![a-z])")
_BRACE = re.compile(r"[{}]")
_CLOSING = re.compile(r"[\s$.]{0,16}(?:\\[\])])?[\s$.]{0,16}")
"""All that may stand between the box and the end of the block: the end of a formula or of a sentence."""


def well_formed(text: str, tag: str | None = "answer") -> bool:
    r"""One `<tag>` block at the very end, with one `\boxed{}` at its very end. `tag=None`: the box alone.

    >>> well_formed(r"6*7=42 <answer>\boxed{42}</answer>")
    True
    >>> well_formed(r"6*7=42 <answer>\boxed{42}</answer> Surely right.")
    False
    """
    start, end = 0, len(text)
    if tag is not None:
        opened, closed = (
            list(re.finditer(re.escape(mark), text, re.IGNORECASE)) for mark in (f"<{tag}>", f"</{tag}>")
        )
        if len(opened) != 1 or len(closed) != 1:
            return False
        start, end = opened[0].end(), closed[0].start()
        if end < start or text[closed[0].end() :].strip():
            return False
    boxes = list(_BOX.finditer(text))
    if (
        len(boxes) != 1
        or not start <= boxes[0].start() < end
        or text[boxes[0].end() : boxes[0].end() + 1] != "{"
    ):
        return False
    after = _box_end(text, boxes[0].end(), end)
    if after is None or not text[boxes[0].end() + 1 : after - 1].strip():
        return False
    return _CLOSING.fullmatch(text, after, end) is not None


def _box_end(text: str, at: int, end: int) -> int | None:
    depth = 0
    for brace in _BRACE.finditer(text, at, end):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return None


@dataclass(frozen=True)
class FormatGate(Op):
    """0 for a rollout whose format is not 1, whatever its value; where the format is absent, so is the value."""

    source: Source = field(default_factory=lambda: Scalar("format"))

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        formats = [float(x[0]) for x in self.source.of(batch)]
        return [
            np.full(len(x), np.nan) if np.isnan(f) else x if f >= 1 else np.zeros(len(x))
            for x, f in zip(values, formats, strict=True)
        ]


@dataclass(frozen=True)
class Selective(Op):
    """A rollout's advantage on its steps: positive only on right ones, negative only on wrong ones, else 0.

    An unjudged step gets NaN.
    """

    level: ClassVar[Level] = "step"
    threshold: float = 0.5
    """A step with this score is right."""
    source: Source = field(default_factory=StepScore)

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = []
        for x, scores in zip(values, self.source.of(batch), strict=True):
            agrees = (scores >= self.threshold) == (x[0] > 0)
            out.append(np.where(np.isnan(scores), np.nan, np.where(agrees, x[0], x[0] * 0.0)))
        return out
