"""Progress: what a step changed in the chance of success, under a prover (arXiv 2410.08146)."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.mix import Add
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome, Progress
from preceptor.credit.transform import Scale

_OUTCOME = Stream(Outcome(), Center("prompt", "leave_one_out"))

METHODS: dict[str, CreditConfig] = {
    # Ours. Both streams stay in units of success probability, so weight 1 makes a lost solution as bad as a lost
    # answer; dividing by a deviation would blow up scorer noise in groups that progress alike. Deviation from
    # the paper: the charge by token share, and the policy as its own prover.
    "progress": CreditConfig((_OUTCOME, Stream(Progress(), Center("share", "leave_one_out")))),
    # PAV: progress under the best of K attempts is an advantage already: added to the outcome's as it is.
    "pav": CreditConfig((_OUTCOME, Stream(Progress(best_of=4), weight=5.0))),
    # The same rewards summed to the end telescope to V(end) - V(before), which is why summing does not help.
    "pav_sum": CreditConfig(
        (Stream(Progress(best_of=4), Scale(5.0), Add(), RewardToGo(), Center("prompt", "leave_one_out")),)
    ),
}

MARKS: dict[str, tuple[str, ...]] = {
    "progress": ("charge by token share: ours",),
    "pav": ("prover best of 4: (from memory)", "weight 5.0 (Gemma-2B; 3.0 for 9B): (from memory)"),
    "pav_sum": ("prover best of 4: (from memory)", "weight 5.0 (Gemma-2B; 3.0 for 9B): (from memory)"),
}
