"""Weighted reward frequency vote (UnPRM): the reward of an answer against how often it was given.

The published formula was not found; ours is `rho^alpha * phi^(1 - alpha)`, rho the mean (or max) score of the
answer's samples, min-max normalised over the answers, phi their share. `alpha` 0 is the majority, 1 the best mean
score. The worst-scored answer gets rho 0 and so cannot win the geometric form, however frequent; the additive form
has no such veto. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from preceptor.search.vote import Vote, reward_frequency
from preceptor.search.voting.scored_vote import ScoredVote


@dataclass(frozen=True)
class RewardFrequencyVote(ScoredVote):
    """The answer with the best product of reward and frequency."""

    alpha: float = 0.5
    reward: str = field(default="mean", kw_only=True)
    """ "mean" or "max" over the samples of an answer."""
    form: str = field(default="geometric", kw_only=True)
    """ "geometric" or "additive"."""

    def rule(self) -> Vote:
        return reward_frequency(self.alpha, self.reward, self.form)
