"""Implicit reward models: the score of a token is `log pi_phi - log pi_ref`, in `Signals.tokens`, without beta.

Training the reward model (its cross-entropy or pairwise loss, before or after the policy's step) is the learner's.
"""

from __future__ import annotations

from preceptor.credit.baseline import Center, LeaveOneOutScale
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.filter import AccuracyRange
from preceptor.credit.pool import Pool, StepSums
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome, TokenScore
from preceptor.credit.transform import MaxReturnScale, Whiten

_OUTCOME = Stream(Outcome(), Center("prompt", "leave_one_out"))

METHODS: dict[str, CreditConfig] = {
    # PRIME in the paper's form: a token is compared with the mean token of the others. The
    # second filter (drop prompts with a cut-off response) is left out: a rollout does not say that it was cut.
    "prime": CreditConfig(
        (_OUTCOME, Stream(TokenScore(), MaxReturnScale(), Center("rollout", "leave_one_out"), RewardToGo())),
        before=AccuracyRange(0.2, 0.8),
        after=(Whiten(),),
    ),
    # The published code: x K/(K-1) - (sum of all means)/(K-1), which adds (x - own mean)/(K-1) to the above.
    "prime_repo": CreditConfig(
        (
            _OUTCOME,
            Stream(
                TokenScore(), MaxReturnScale(), Center("rollout", "mean"), LeaveOneOutScale(), RewardToGo()
            ),
        ),
        before=AccuracyRange(0.2, 0.8),
        after=(Whiten(),),
    ),
    # Its granularity `whole`: the sum of the token scores as one reward at the end.
    "prime_whole": CreditConfig(
        (_OUTCOME, Stream(TokenScore(), Pool("sum"), MaxReturnScale(), Center("prompt", "leave_one_out"))),
        before=AccuracyRange(0.2, 0.8),
        after=(Whiten(),),
    ),
    # OPRL / iStar: episode and step advantages, leave-one-out each, all steps of the prompt pooled, weight 1.
    "oprl": CreditConfig((_OUTCOME, Stream(TokenScore(), StepSums(), Center("steps", "leave_one_out")))),
    # The published code takes the step baseline over each trajectory's first step only.
    "oprl_repo": CreditConfig(
        (_OUTCOME, Stream(TokenScore(), StepSums(), Center("prompt", "leave_one_out")))
    ),
}

MARKS: dict[str, tuple[str, ...]] = {
    "oprl": ("left out: a reference that follows the policy (from memory)",),
}
