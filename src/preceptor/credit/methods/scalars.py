"""One number a rollout in place of the outcome or added to it, then GRPO.

Where a row reads nothing of a gold answer, undecided rollouts take part (`keep="judged"`).
"""

from __future__ import annotations

from preceptor.credit.baseline import Center
from preceptor.credit.config import CreditConfig, Stream
from preceptor.credit.ops.drm import Dimensions
from preceptor.credit.ops.noisy_rpr import FlipGroups, Soften
from preceptor.credit.ops.outcome_explore import Novelty, Repetition
from preceptor.credit.ops.rlpr import Debias, Lively
from preceptor.credit.ops.scalars import Plus
from preceptor.credit.sources import Outcome, Scalar
from preceptor.credit.transform import Scale

_GRPO = Center("prompt", "mean", "std")
_RLPR = (Scalar("probability"), Debias(), Scale(0.9), Plus(Scalar("format"), 0.1))

METHODS: dict[str, CreditConfig] = {
    # SAR: how much likelier the question makes the response.
    "sar": CreditConfig((Stream(Outcome(), Plus(Scalar("self_aligned"), 0.2), _GRPO),)),
    # RLPR: the probability of the reference answer; the filter needs a floor that a learner keeps.
    "rlpr": CreditConfig((Stream(*_RLPR, _GRPO),), keep="judged"),
    "rlpr_filtered": CreditConfig((Stream(*_RLPR, _GRPO),), before=Lively(Stream(*_RLPR)), keep="judged"),
    # A noisy reward model, softened by phrases of careful reasoning; those phrases alone.
    "noisy_rpr": CreditConfig((Stream(Scalar("reward"), Soften(weight=0.1), _GRPO),), keep="judged"),
    "noisy_rpr_alone": CreditConfig((Stream(Scalar("pattern"), _GRPO),), keep="judged"),
    # The robustness test: outcomes of whole groups flipped.
    "noisy_rpr_flips": CreditConfig((Stream(Outcome(), FlipGroups(0.4), _GRPO),)),
    # ReFIne: four equal terms.
    "refine": CreditConfig(
        (
            Stream(
                Outcome(),
                Plus(Scalar("structure")),
                Plus(Scalar("references")),
                Plus(Scalar("calibration")),
                Scale(0.25),
                _GRPO,
            ),
        )
    ),
    # Cooper: a reference-based reward model that a learner trains beside the policy.
    "cooper": CreditConfig((Stream(Scalar("reward"), _GRPO),), keep="judged"),
    # Outcome-based exploration: answers seldom given, in earlier batches or in this one.
    "outcome_explore": CreditConfig((Stream(Outcome(), Plus(Novelty("ucb")), _GRPO),)),
    "outcome_explore_mean": CreditConfig((Stream(Outcome(), _GRPO), Stream(Novelty("mean")))),
    "outcome_explore_con": CreditConfig((Stream(Outcome(), _GRPO), Stream(Novelty("constant")))),
    "outcome_explore_batch": CreditConfig((Stream(Outcome(), Plus(Repetition()), _GRPO),)),
    # DRM: three dimensions without gold answers.
    "drm": CreditConfig((Stream(Dimensions(), _GRPO),), keep="judged"),
}

_EXPLORE = ("c 0.1: (from memory)",)
_BESIDE = (*_EXPLORE, "bonus beside the normalised outcome instead of in the reward: ours")

MARKS: dict[str, tuple[str, ...]] = {
    "rlpr": ("left out: the repetition penalty (formula not found)",),
    "rlpr_filtered": (
        "left out: the repetition penalty (formula not found)",
        "beta 1.0 (Gemma; script-specific)",
        "start of the moving mean: not found, ours",
    ),
    "noisy_rpr": (
        "0.1 below 0: not found, ours",
        "phrases beyond the first seven: ours",
        "charge for a user turn: not found, ours",
    ),
    "noisy_rpr_alone": ("phrases beyond the first seven: ours", "charge for a user turn: not found, ours"),
    "refine": ("where the confidence and the names are looked for: ours",),
    "cooper": ("reward model lr 1e-6, one pair a prompt (in the learner): not found, ours",),
    "outcome_explore": _EXPLORE,
    "outcome_explore_mean": _BESIDE,
    "outcome_explore_con": (*_BESIDE, "b0 0.5: (from memory)", "b0 in units of the bonus before c: ours"),
    "outcome_explore_batch": _EXPLORE,
    "drm": ("weights 1/3: not found, ours",),
}
