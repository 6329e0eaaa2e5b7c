"""The outcome with a weight or a charge of its own on tokens, and off-policy text."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.r3l import Exploit
from preceptor.credit.ops.rlfr import Deviations
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome, TokenScore

_OUTCOME = Stream(Outcome(), Center("prompt", "mean", "std"))

METHODS: dict[str, CreditConfig] = {
    # ECHO trains as GRPO; its cross-entropy on observation tokens is the learner's.
    "echo": CreditConfig((_OUTCOME,)),
    # OPMD with tau 1: 1 / (1 + tau) = 0.5. For a learner's loss without ratio and clipping.
    "r3l": CreditConfig((Stream(Outcome(), Exploit(3.0), weight=0.5),)),
    "rlfr": CreditConfig((_OUTCOME, Stream(TokenScore(), Deviations(), RewardToGo(1.0)))),
}

MARKS: dict[str, tuple[str, ...]] = {
    "echo": ("lambda 0.1 of the learner's loss: not found, ours",),
    "r3l": ("prompts, one retry instead of up to 3: ours",),
}
