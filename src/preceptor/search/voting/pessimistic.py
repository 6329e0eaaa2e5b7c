"""Pessimistic verification: mean score of an answer, less `alpha ln N / (n_c + 1)` for how few have given it.

`alpha` 0 is the mean-reward vote, which favors singletons; a large one is the majority. The published `alpha` was not
found; 1 is ours, for scores in [0, 1]. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

from dataclasses import dataclass

from preceptor.search.vote import Vote, pessimistic
from preceptor.search.voting.scored_vote import ScoredVote


@dataclass(frozen=True)
class PessimisticVote(ScoredVote):
    """The answer with the best lower estimate of its score."""

    alpha: float = 1.0

    def rule(self) -> Vote:
        return pessimistic(self.alpha)
