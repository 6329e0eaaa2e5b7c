"""Label transforms: pure functions from ratings, outcomes, counts and values to training targets.

Targets are one float per step (or token), or None for "no target"; they never hold -100, and undecided is
never wrong. `losses` trains on them.

    ratings.py      PRM800K's -1, 0, 1: neutral steps, three classes
    first_error.py  keep, mask, wrong, truncate after the first error; targets from its index
    outcome.py      outcome copied to all steps, or on the last step only
    token_trie.py   TVM: success rate of the samples that share a token prefix
    rates.py        rollout counts: soft, hard, weighted by likelihood
    sorm.py         SORM: used results, monotone labels, balance per position
    hindsight.py    discounted success
    progress.py     PAV advantages, GenPRM's relative progress
    scan.py         SCAN's soft targets before the error
    trajectory.py   one more target for the whole trajectory
    consensus.py    keep the traces on which two annotators agree
    mixture.py      mixing languages and domains; alignment of translated steps; error positions

No torch here. To add a rule: one function in a file of its own, named here.
"""

from __future__ import annotations

from preceptor.annotate.rules.consensus import Consensus, first_error_consensus, label_consensus
from preceptor.annotate.rules.first_error import after_error, first_error_targets
from preceptor.annotate.rules.hindsight import hindsight_values
from preceptor.annotate.rules.mixture import Alignment, aligned, error_positions, mix, shares
from preceptor.annotate.rules.outcome import copy_outcome, last_only, outcome_target
from preceptor.annotate.rules.progress import (
    advantages,
    best_of,
    effective_rewards,
    progress_labels,
    relative_progress,
)
from preceptor.annotate.rules.rates import any_success, success_rate, weighted_success
from preceptor.annotate.rules.ratings import rating_classes, rating_targets
from preceptor.annotate.rules.scan import scan_targets
from preceptor.annotate.rules.sorm import balance_positions, propagate, result_used, used_success
from preceptor.annotate.rules.token_trie import token_values
from preceptor.annotate.rules.trajectory import combined_score, softmax_mix, with_trajectory

__all__ = [
    "Alignment",
    "Consensus",
    "advantages",
    "after_error",
    "aligned",
    "any_success",
    "balance_positions",
    "best_of",
    "combined_score",
    "copy_outcome",
    "effective_rewards",
    "error_positions",
    "first_error_consensus",
    "first_error_targets",
    "hindsight_values",
    "label_consensus",
    "last_only",
    "mix",
    "outcome_target",
    "progress_labels",
    "propagate",
    "rating_classes",
    "rating_targets",
    "relative_progress",
    "result_used",
    "scan_targets",
    "shares",
    "softmax_mix",
    "success_rate",
    "token_values",
    "used_success",
    "weighted_success",
    "with_trajectory",
]
