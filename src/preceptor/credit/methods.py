"""The settings of each method: one row a method, nothing else.

All rows keep the six invariants of `tests/credit/test_invariants.py`: environment tokens get 0; a group
depends on itself alone; order does not matter; one step whose score is the outcome gives back the plain
outcome method, times 1 + weight (`pure`: for completions of one length, and times 2 for its signed score);
a constant added to every outcome (and to every potential) changes nothing; no NaN.

A row that sums step scores and averages over steps is left out on purpose: it pays for more steps
(arXiv 2410.15115) or, with a per-step baseline, for fewer and longer ones (arXiv 2504.15275).
"""

from __future__ import annotations

from preceptor.credit.types import Baseline, CreditConfig

METHODS: dict[str, CreditConfig] = {
    # GRPO (arXiv 2402.03300) with the token-mean loss of DAPO, as in TRL.
    "outcome": CreditConfig(),
    # REINFORCE leave-one-out (arXiv 2402.14740).
    "rloo": CreditConfig(outcome=Baseline("prompt", "leave_one_out")),
    # Dr. GRPO (arXiv 2503.20783): no division by the deviation, a constant denominator.
    "dr_grpo": CreditConfig(outcome=Baseline("prompt", "mean"), aggregation="constant"),
    # Progress (arXiv 2410.08146) as a second stream. Both streams stay in units of success probability, so
    # weight 1 makes a lost solution as bad as a lost answer; dividing by a deviation would blow up scorer
    # noise in groups that progress alike. Deviation from the paper: the charge by token share.
    "progress": CreditConfig(
        outcome=Baseline("prompt", "leave_one_out"),
        step_reward="progress",
        steps=Baseline("share", "leave_one_out"),
        step_weight=1.0,
    ),
    # PURE's strict minimum (arXiv 2504.15275), outcome coefficient 1, leave-one-out mean per token.
    "pure": CreditConfig(
        outcome=Baseline("prompt", "leave_one_out"),
        step_reward="score",
        transform="signed",
        returns="min",
        steps=Baseline("token", "leave_one_out"),
    ),
}
