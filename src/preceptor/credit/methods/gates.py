"""Rewards beside the outcome that count only as far as the outcome lets them."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.fapo import Flawed
from preceptor.credit.ops.g_ra import Accumulate
from preceptor.credit.ops.p_grpo import Posterior
from preceptor.credit.ops.scalars import Plus
from preceptor.credit.ops.trust_grpo import Trusted
from preceptor.credit.sources import Outcome, Scalar, StepScore
from preceptor.credit.transform import Signed

_GRPO = Center("prompt", "mean", "std")
_DONE = Plus(Scalar("completed"))
_ANY = float("-inf")

METHODS: dict[str, CreditConfig] = {
    # SophiaVL-R1: a thinking score, trusted as far as it prefers right answers, faded out.
    "trust_grpo": CreditConfig((Stream(Outcome(), Trusted(alpha=0.3, horizon=500.0), _GRPO),)),
    # FAPO: right answers by flawed steps get 0 instead of 1; wrong ones -1.
    "fapo": CreditConfig((Stream(Outcome(), Signed(), Flawed(penalty=1.0), _GRPO),)),
    # Posterior-GRPO: the thinking score of right answers only.
    "p_grpo": CreditConfig((Stream(Outcome(), Posterior(), Plus(Scalar("format")), _GRPO),)),
    # Its baseline, which verbose thinking can hack.
    "p_grpo_sum": CreditConfig((Stream(Outcome(), Plus(Scalar("thinking")), Plus(Scalar("format")), _GRPO),)),
    # G-RA: done + right (0, 1 or 2) is the long-term reward; step rewards count from "done" on.
    "g_ra": CreditConfig((Stream(Outcome(), _DONE, Accumulate((StepScore(),), (1.0,)), _GRPO),)),
    # Gates in a row: right, then done, then steps.
    "g_ra_nested": CreditConfig(
        (Stream(Outcome(), Accumulate((Scalar("completed"), StepScore()), (1.0, 1.0)), _GRPO),)
    ),
    # Their baseline: a well-formed agent that does nothing wins.
    "g_ra_sum": CreditConfig((Stream(Outcome(), _DONE, Accumulate((StepScore(),), (_ANY,)), _GRPO),)),
}

_TAU = ("tau = done: not found, ours", "long-term reward = outcome + completed: ours")

MARKS: dict[str, tuple[str, ...]] = {
    "trust_grpo": ("horizon 500 is the code's constant; the run has 1500 steps",),
    "fapo": ("vote of several critiques: ours",),
    "p_grpo": ("weights 1, format in {0, 1}: not found, ours",),
    "p_grpo_sum": ("weights 1, format in {0, 1}: not found, ours",),
    "g_ra": _TAU,
    "g_ra_nested": ("tau = done: not found, ours", "levels: ours"),
    "g_ra_sum": ("long-term reward = outcome + completed: ours",),
}
