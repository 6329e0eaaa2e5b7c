"""Value-guided beam: Outcome-supervised Value Models for planning (OVM).

K = keep * expand candidates: from the root at first, then K / b = expand steps for each unfinished one of the b = keep
that were kept. A finished sequence stays in the pool with its value, takes a place, and may be pushed out again. Ends
when all that are kept are finished or after `max_steps`; the finished sequence of greatest value wins.

The score is the value at the last token of the prefix (`aggregate="last"`). "prefer-distinct" is the published option
for Game of 24: equal sequences rank behind different ones and only fill what is left. Defaults are the script's for
GSM8K (K = 20, b = 4). With keep = N and expand = 1 it is best of N.

Deviations: an unfinished sequence never wins; the choice falls back on finished ones that left the pool where the pool
has no answer; a level narrows near the end of a token budget as in `StepBeam`. The published limit of 400 new tokens is
a budget here. Cost: at most K steps a level, each scored with its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from preceptor.generation import Sampling
from preceptor.search.beams.finished import drop, kept
from preceptor.search.state import Search
from preceptor.search.step_beam import StepBeam
from preceptor.search.tree import Node


@dataclass(frozen=True)
class OvmBeam(StepBeam):
    """Finished sequences stay in the pool and compete."""

    keep: int = 4
    """b, the size of the pool."""
    expand: int = 5
    """K / b."""
    max_steps: int = 10
    duplicates: str = field(default="keep", kw_only=True)
    sampling: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.7, top_k=50, max_tokens=100), kw_only=True
    )

    @property
    def asked(self) -> int:
        return self.keep

    def narrow(self, search: Search, standing: Sequence[Node]) -> None:
        pool = [n for n in search.done if "why" not in n.data]
        members = sorted([*pool, *standing], key=lambda n: n.id)
        for node in self.shortlist(search, members)[self.keep :]:
            drop(node, "left the pool")

    def stop(self, search: Search) -> str | None:
        return None

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)
