"""Best of N of DataPRM: the mean over step scores 0 (irrecoverable), 0.5 (correctable grounding error) and 1 (correct).

N is 16, temperature 0.7, top-p 0.9, top-k 20, as published. How steps add up was not found; ours is the mean over the
scored steps, ties to the better last score, then to the first. -1, the published mark of a verdict that could not be
read, is no score and is left out of the mean. The interactive verifier is a scorer, `annotate.judges.DataPRM`
(`data-prm:POLICY`). Cost: n solutions and n scored traces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import elect
from preceptor.search.tree import Node

UNSCORED = -1.0


@dataclass(frozen=True)
class DataPRMBestOfN(Samples):
    """The trajectory with the best mean step score."""

    needs_scorer: ClassVar[bool] = True
    n: int | None = 16
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.7, top_p=0.9, top_k=20), kw_only=True
    )

    def choose(self, search: Search) -> Node | None:
        nodes = [n for n in self.candidates(search) if n.canon is not None]
        for node in nodes:
            node.data["score"] = trajectory_score(node.scores)
        scored = [n for n in nodes if n.data["score"] is not None]
        return max(scored, key=lambda n: tuple(n.data["score"]), default=elect(nodes, "majority"))


def trajectory_score(scores: tuple[float | None, ...] | None) -> list[float] | None:
    """Mean and last of the scored steps; None where there is none.

    >>> trajectory_score((1.0, -1.0, 0.5)), trajectory_score((-1.0,))
    ([0.75, 0.5], None)
    """
    known = [s for s in scores or () if s is not None and s != UNSCORED]
    if any(not 0 <= s <= 1 for s in known):
        raise ValueError(
            f"data-prm best of n: got step scores {known}, expected 0, 0.5 or 1, and -1 for unscored"
        )
    return [math.fsum(known) / len(known), known[-1]] if known else None
