"""PURE: a step answers for the worst that is still to come, not for the sum (arXiv 2504.15275).

The published verifiable reward is c - 1; a leave-one-out baseline makes it equal to c. Left out: the KL penalty
inside the reward (the learner has its own).
"""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.returns import Minimum, RewardToGo
from preceptor.credit.sources import Outcome, StepScore
from preceptor.credit.transform import Signed, Softmin, Whiten, ZeroSeparators

_OUTCOME = Stream(Outcome(), Center("prompt", "leave_one_out"))
_SOFTMIN = (StepScore(), Signed(), Softmin(0.1))

METHODS: dict[str, CreditConfig] = {
    # The strict minimum on steps, outcome coefficient 1, leave-one-out mean per token of the returns.
    "pure": CreditConfig(
        (_OUTCOME, Stream(StepScore(), Signed(), Minimum(), Center("token", "leave_one_out")))
    ),
    # The first published training: softmin rewards, charged the others' reward per token, then summed; 0 on
    # separators.
    "pure_softmin": CreditConfig(
        (_OUTCOME, Stream(*_SOFTMIN, Center("rate", "leave_one_out"), RewardToGo())),
        after=(ZeroSeparators(),),
    ),
    # Its `step` baseline: the others' mean reward per step. It pays for fewer, longer steps (the observed hack).
    "pure_softmin_step": CreditConfig(
        (_OUTCOME, Stream(*_SOFTMIN, Center("rollout", "leave_one_out"), RewardToGo())),
        after=(ZeroSeparators(),),
    ),
    # The later code: returns first, a constant per token subtracted, whitened over the batch. Deviation: the
    # constant is the others' mean return per token they have, where the code divides by the maximal length.
    "pure_whitened": CreditConfig(
        (_OUTCOME, Stream(*_SOFTMIN, RewardToGo(), Center("token", "leave_one_out"))),
        after=(Whiten(), ZeroSeparators()),
    ),
}

MARKS: dict[str, tuple[str, ...]] = {}
