"""Scores that choose what is trained on and never enter a gradient, or only by their sign."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.brpo import Against, Balanced
from preceptor.credit.ops.prof import Consistency
from preceptor.credit.sources import Outcome, Scalar

_OUTCOME = Stream(Outcome(), Center("prompt", "mean", "std"))

METHODS: dict[str, CreditConfig] = {
    # PROF: before any statistic, drop right answers with low process scores and wrong ones with high ones.
    "prof": CreditConfig((_OUTCOME,), before=Consistency("both")),
    # Wrong ones at random: the safest with an unreliable scorer.
    "prof_correct_only": CreditConfig((_OUTCOME,), before=Consistency("correct_only")),
    "prof_incorrect_only": CreditConfig((_OUTCOME,), before=Consistency("incorrect_only")),
    # Without separation; worse as published.
    "prof_together": CreditConfig((_OUTCOME,), before=Consistency("together")),
    # BRPO: better or worse than one of the group, without mean or deviation.
    "brpo": CreditConfig(
        (Stream(Scalar("preferred"), Against()),), before=Balanced(bound=0.8), keep="judged"
    ),
}

_PROF = (
    "n 8, m 4: not found, ours (half of the rollouts stay)",
    "rounding of m / 2: ours",
    "unjudged first: ours",
)

MARKS: dict[str, tuple[str, ...]] = {
    "prof": _PROF,
    "prof_correct_only": _PROF,
    "prof_incorrect_only": _PROF,
    "prof_together": (*_PROF, "joint rank by s and 1 - s: ours"),
    "brpo": ("bound 0.8: not found, ours",),
}
