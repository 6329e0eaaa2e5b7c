"""The outcome alone, as the published group estimators use it."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.sources import Outcome

METHODS: dict[str, CreditConfig] = {
    # GRPO (arXiv 2402.03300) with the token-mean loss of DAPO, as in TRL.
    "outcome": CreditConfig((Stream(Outcome(), Center("prompt", "mean", "std")),)),
    # REINFORCE leave-one-out (arXiv 2402.14740).
    "rloo": CreditConfig((Stream(Outcome(), Center("prompt", "leave_one_out")),)),
    # Dr. GRPO (arXiv 2503.20783): no division by the deviation, a constant denominator.
    "dr_grpo": CreditConfig((Stream(Outcome(), Center("prompt", "mean")),), aggregation="constant"),
}

MARKS: dict[str, tuple[str, ...]] = {}
