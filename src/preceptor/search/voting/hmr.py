"""Hybrid majority reward vote (UnPRM): the majority where it is sure of itself, the best-scored sample elsewhere.

The published formula was not found; ours gates on the majority's share of those who answered (`gate="share"`), or on
1 - normalised entropy of the answers (`gate="agreement"`). `threshold <= 1/n` is the majority, a threshold above 1
best of n. Cost: n solutions and n scored traces, those of sure problems included.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from preceptor.search.vote import Vote, hybrid
from preceptor.search.voting.scored_vote import ScoredVote


@dataclass(frozen=True)
class HybridVote(ScoredVote):
    """Majority or best of n, by how sure the majority is."""

    threshold: float = 0.5
    gate: str = field(default="share", kw_only=True)
    """ "share" or "agreement", a name in `vote.GATES`."""

    def rule(self) -> Vote:
        return hybrid(self.threshold, self.gate)
