"""Step-level beam search of AlphaMath Almost Zero (SBS).

B = keep places. The root gets `expand` steps; then, level by level, the B best of all candidates are kept. One that is
finished takes its place with it (B shrinks by one), the others get `expand` steps each. Ends when no place or no
candidate is left, or at `max_steps`. The finished solution of greatest value wins. With keep = 1 it is best of
`expand` at every step.

Values are those of the value head at the step's end, in [-1, 1] in the paper; any range will do. A candidate without a
value (published: -100) ranks last; a finished one without an answer takes its place with it too.

Deviations: the published beam drops duplicates by stripped text, here exact ones are merged; a step cut by its token
limit is no candidate; the choice falls back on finished candidates that were not kept where no kept one has an answer;
a level narrows near the end of a token budget as in `StepBeam`.
Cost: `expand` steps, then at most keep * expand a level, each scored with its prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preceptor.generation import Sampling
from preceptor.search.beams.finished import drop, kept
from preceptor.search.state import Search
from preceptor.search.step_beam import StepBeam
from preceptor.search.strategy import Ask
from preceptor.search.tree import Node, Status


@dataclass(frozen=True)
class AlphaMathBeam(StepBeam):
    """Finished solutions use up the beam."""

    keep: int = 1
    """B1; 3 is the other published setting."""
    expand: int = 5
    """B2."""
    max_steps: int = 10
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6), kw_only=True)

    @property
    def asked(self) -> int:
        return self.keep

    def select(self, search: Search) -> list[Ask]:
        asks = super().select(search)
        return [replace(asks[0], count=self.expand)] if search.round == 0 else asks

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        places = search.memory.get("places", self.keep)
        level = [k for k in kids if k.status in (Status.LIVE, Status.DONE)]
        order = self.shortlist(search, level)
        for node in order[places:]:
            drop(node, "not among the best of its level")
        chosen = order[:places]
        search.memory["places"] = places - sum(n.status is Status.DONE for n in chosen)
        if self.level(search) + 1 >= self.max_steps:
            for node in chosen:
                node.status = Status.CUT if node.status is Status.LIVE else node.status

    def stop(self, search: Search) -> str | None:
        return None

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)
