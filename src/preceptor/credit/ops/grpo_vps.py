"""GRPO-VPS: the change of belief over each segment refines the outcome's advantage (GRPO with verifiable process
supervision).

The signals are beliefs in the reference answer at the end of each segment (`beliefs.Gains`); the segment's gain,
normalised over all segments of the prompt, is added to the outcome's advantage with weight 0.5. The combination is not
found, ours. So are the segments: paragraphs, merged so that at most 16 beliefs are read (a producer's setting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preceptor.credit.config import RowOp
from preceptor.credit.types import Array


@dataclass(frozen=True)
class WholeSegment(RowOp):
    """A segment ends at a step that was judged; the unjudged steps before it get its value. Behind the last judged
    step values stay absent."""

    def row(self, x: Array) -> Array:
        known = np.flatnonzero(~np.isnan(x))
        nearest = np.searchsorted(known, np.arange(len(x)))
        return np.append(x[known], np.nan)[nearest]
