"""Optimal log-odds vote: calibrated scores of independent samples added up as evidence for and against answers.

`w = logit(p) + ln(q (m - 1) / (1 - q))`, q the policy's accuracy, m the number of answers it may give; a negative w
speaks against the sample's answer. The form is derived (the published calibrated version was not read in full) and
takes p as calibrated at even odds; `base` corrects for scores calibrated on samples of which that share was right.
With `accuracy=base` only `logit(p) + ln(m - 1)` remains. Uncalibrated scores make it overconfident: see
`reward/combine/calibrated.py`. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from preceptor.search.vote import Vote, log_odds
from preceptor.search.voting.scored_vote import ScoredVote


@dataclass(frozen=True)
class LogOddsVote(ScoredVote):
    """The answer with the most evidence."""

    accuracy: float = 0.5
    """q: how often one sample of the policy is right (ours; measure it on other problems)."""
    choices: int | None = field(default=None, kw_only=True)
    """m; None: the different answers seen, at least 2."""
    base: float = field(default=0.5, kw_only=True)

    def rule(self) -> Vote:
        return log_odds(self.accuracy, self.choices, self.base)
