"""A generative judge's word on steps or on the whole, from `Signals.verdicts`, scores or a named scalar."""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.capo import CritiqueReward, SequenceNorm
from preceptor.credit.ops.ppr_renorm import ReNorm
from preceptor.credit.ops.rrm import Rubric
from preceptor.credit.ops.scalars import Plus
from preceptor.credit.ops.spark import FormatGate, Selective
from preceptor.credit.ops.tp_grpo import ThoughtNorm, ThoughtReward
from preceptor.credit.pool import Pool
from preceptor.credit.returns import RewardToGo
from preceptor.credit.sources import Outcome, Scalar, StepScore
from preceptor.credit.transform import Scale

_GRPO = Center("prompt", "mean", "std")
_TOKENS = Center("steps", "mean", "std")

METHODS: dict[str, CreditConfig] = {
    # CAPO: C 2, P 1; every sampled token of the prompt counts once in the mean and the deviation.
    "capo": CreditConfig((Stream(CritiqueReward("majority"), _TOKENS),)),
    "capo_union": CreditConfig((Stream(CritiqueReward("union"), _TOKENS),)),
    "capo_intersection": CreditConfig((Stream(CritiqueReward("intersection"), _TOKENS),)),
    "capo_average": CreditConfig((Stream(CritiqueReward("average"), _TOKENS),)),
    # Mean and deviation of the rollouts' means instead: without a flag this is GRPO on C times the outcome, exactly.
    "capo_sequence": CreditConfig((Stream(CritiqueReward("majority"), SequenceNorm()),)),
    # TP-GRPO: thoughts beside the outcome.
    "tp_grpo": CreditConfig((Stream(Outcome(), _GRPO), Stream(ThoughtReward(), ThoughtNorm(), weight=0.5))),
    # SPARK, without gold answers: the final verdict; with the mean step; the verdict's advantage on steps that agree.
    "spark": CreditConfig((Stream(Scalar("verdict"), FormatGate(), _GRPO),), keep="judged"),
    "spark_steps": CreditConfig(
        (Stream(StepScore(), Pool("mean"), Scale(0.6), Plus(Scalar("verdict"), 0.4), FormatGate(), _GRPO),),
        keep="judged",
    ),
    "spark_selective": CreditConfig(
        (Stream(Scalar("verdict"), FormatGate(), _GRPO, Selective()),), keep="judged"
    ),
    # PPR: every step compared with all steps of the prompt.
    "ppr_renorm": CreditConfig((Stream(StepScore(), ReNorm("renorm"), Center("steps", "mean")),)),
    # The same rewards summed from each step to the end.
    "ppr_renorm_return": CreditConfig(
        (Stream(StepScore(), ReNorm("renorm"), Center("steps", "mean"), RewardToGo()),)
    ),
    "ppr_renorm_gate": CreditConfig((Stream(StepScore(), ReNorm("gate"), Center("steps", "mean")),)),
    # What ReNorm is against: positive for a failure's steps. With the mean it would be ppr_renorm.
    "ppr_renorm_sum": CreditConfig((Stream(StepScore(), ReNorm("sum")),)),
    # RRM: the rubric's score in place of the outcome.
    "rrm": CreditConfig((Stream(Rubric(), _GRPO),), keep="judged"),
    # Not the published one: a right answer is needed too.
    "rrm_outcome": CreditConfig((Stream(Rubric(), ReNorm("gate"), _GRPO),)),
}

_CAPO = ("K 4 critiques: (from memory)", "C 2, P 1: (from memory)")
_PPR = ("formula: not found, ours",)

MARKS: dict[str, tuple[str, ...]] = {
    "capo": (*_CAPO, "default vote: not found, ours"),
    "capo_union": _CAPO,
    "capo_intersection": _CAPO,
    "capo_average": _CAPO,
    "capo_sequence": (*_CAPO, "default vote: not found, ours"),
    "tp_grpo": (
        "reward table: not found, ours",
        "weight 0.5: not found, ours",
        "vote of several critiques: ours",
    ),
    "spark_steps": ("weights 0.6 and 0.4: (from memory)",),
    "spark_selective": ("a step is right from 0.5 on: ours",),
    "ppr_renorm": _PPR,
    "ppr_renorm_return": _PPR,
    "ppr_renorm_gate": _PPR,
    "ppr_renorm_sum": _PPR,
    "rrm_outcome": ("rubric times outcome: ours",),
}
