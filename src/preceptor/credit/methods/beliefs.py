"""Credit per turn: what a turn did to the belief in an answer, or what an oracle or a grader says of the turn itself.

The scores of belief methods are beliefs after each turn, with the prompt's in `Signals.start`. Streams of
different kinds are normalised each for itself, then added, except where a row says otherwise.
"""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.a2tgpo import RescaledReturn, TurnClip, TurnGroup
from preceptor.credit.ops.beliefs import Gains, PooledScale, Through
from preceptor.credit.ops.grpo_vps import WholeSegment
from preceptor.credit.ops.igpo import Answer
from preceptor.credit.ops.scrl import Positions
from preceptor.credit.ops.siop import ClusterReward, OutcomePotential
from preceptor.credit.ops.vpr import OracleNoise
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome, StepScore

_GRPO = Center("prompt", "mean", "std")
_OUTCOME = Stream(Outcome(), _GRPO)
_POOLED = (Center("steps"), PooledScale("population", inside=1e-8))
_SIOP = (Center("steps"), PooledScale("std", least=1e-6), Through(), RewardToGo(1.0))

METHODS: dict[str, CreditConfig] = {
    # IGPO `separate`: gains in one pool, outcomes in another. gamma 1: the outcome reaches every turn as it is.
    "igpo": CreditConfig(
        (
            Stream(Outcome(), *_POOLED),
            Stream(Gains(answer=False), *_POOLED, Through(), RewardToGo(1.0)),
        )
    ),
    # `joint`: one pool of gains and outcomes.
    "igpo_joint": CreditConfig(
        (Stream(Gains(answer=False), Answer(), *_POOLED, Through(), RewardToGo(1.0)),)
    ),
    "a2tgpo": CreditConfig(
        (_OUTCOME, Stream(Gains(answer=False), TurnGroup(), RescaledReturn(1.0))), clip=TurnClip()
    ),
    # No gold answer: undecided rollouts take part, and outcomes are not looked at.
    "siop": CreditConfig((Stream(OutcomePotential(), *_SIOP),), keep="judged"),
    # Without reliabilities (nothing to entail an answer from, e.g. no tools): a cluster weighs its mass.
    "siop_mass": CreditConfig((Stream(OutcomePotential(reliability=None), *_SIOP),), keep="judged"),
    # Its baselines: TTRL (1 in the largest cluster, else 0) and EMPO (the cluster's mass).
    "siop_ttrl": CreditConfig((Stream(ClusterReward("majority"), _GRPO),), keep="judged"),
    "siop_empo": CreditConfig((Stream(ClusterReward("mass"), _GRPO),), keep="judged"),
    "grpo_vps": CreditConfig(
        (_OUTCOME, Stream(Gains(), Center("steps", "mean", "std", 1e-6), WholeSegment(), weight=0.5))
    ),
    "p2s": CreditConfig((_OUTCOME, Stream(StepScore(), Center("steps", "mean", "std"), weight=0.5))),
    # One position a subproblem, the last is the original problem.
    "scrl": CreditConfig((Stream(StepScore(), Positions()),)),
    # Bits of an oracle by turn index, for comparable states; pooled over the prompt's turns; with the outcome.
    "vpr": CreditConfig((Stream(StepScore(), OracleNoise(0.0), Center("turn", "mean", "std")),)),
    "vpr_pooled": CreditConfig((Stream(StepScore(), OracleNoise(0.0), Center("steps", "mean", "std")),)),
    "vpr_outcome": CreditConfig(
        (_OUTCOME, Stream(StepScore(), OracleNoise(0.0), Center("turn", "mean", "std")))
    ),
    # Its option `sum`: a turn answers for the later ones too.
    "vpr_sum": CreditConfig(
        (Stream(StepScore(), OracleNoise(0.0), Center("turn", "mean", "std"), Through(), RewardToGo(1.0)),)
    ),
}

_SIOP_MARKS = ("gamma 1.0: not found, ours",)
_VPR = ("baseline per turn index with deviation: not found, ours",)

_IGPO = ("outcomes of 0 and 1 for F1, no -2 for a malformed answer: ours",)

MARKS: dict[str, tuple[str, ...]] = {
    "igpo": _IGPO,
    "igpo_joint": _IGPO,
    "a2tgpo": (
        "map of the clip range, kappa 0.25 in [0.5, 1.5]: not found, ours",
        "weight 1 of the gains: not found, ours",
        "gamma 1.0: not found, ours",
    ),
    "siop": _SIOP_MARKS,
    "siop_mass": (*_SIOP_MARKS, "weight by mass alone: ours"),
    "siop_ttrl": ("ties all count: ours",),
    "grpo_vps": ("sum with weight 0.5: not found, ours", "segments: not found, ours"),
    "p2s": (
        "start of the rest: not found, ours",
        "weight 0.5: not found, ours",
        "baseline: not found, ours",
    ),
    "scrl": ("J 2-4, G 8: not found, ours",),
    "vpr": _VPR,
    "vpr_pooled": _VPR,
    "vpr_outcome": (*_VPR, "outcome weight 1: not found, ours"),
    "vpr_sum": _VPR,
}
