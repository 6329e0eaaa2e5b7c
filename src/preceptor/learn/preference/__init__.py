"""Preference training from process signals: pairs and labels out of traces, judgements and rollouts, then one call.

    records.py    Pair, Attempt, Piece: plain records that keep the sampled ids; files of them
    scoring.py    step scores of a trace -> one number
    builders, one file a method (traces + judgements + rollouts -> Built(records, dropped)):
      step_dpo.py   the first wrong step against steps that lead to the answer
      traj_dpo.py   whole answers by outcome and, among right ones, by process score
      step_kto.py   labels of outcome and steps, no pairs
      orpo_self.py  best against worst by mean step score
      longdpo.py    tree search over chunks of long text, judged by principles
      ipr.py        the agent's step against the expert's, by Monte Carlo step rewards
      ipo_safe.py   a safety trigger in place of the first compliance step
      fcp.py        answers under their critique
      w_dpo.py      StepORLM: verdict first, weights by the gap
      crew_dpo.py   confidence and outcome; drm.py: best and worst reward
    heads.py      MAH-DPO: a head an objective, blended into one model
    losses.py     the losses, pure; objectives.py: LOSSES, which records and parts each one reads
    rows.py       records -> token rows -> batches; trainers.py: TRL's DPO and transformers.Trainer
    config.py     PreferenceConfig; METHODS, the published settings; session.py, train.py: one run

To add a method: a builder file, and its settings in `config.METHODS`. To add a loss: a function in `losses.py` and a
line in `objectives.LOSSES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from preceptor.learn.preference.config import METHODS, PreferenceConfig
from preceptor.learn.preference.crew_dpo import crew_dpo_pairs
from preceptor.learn.preference.drm import best_worst_pairs
from preceptor.learn.preference.fcp import conditioned, fcp_attempts, fcp_round
from preceptor.learn.preference.ipo_safe import InterventionPairs, trigger_pool
from preceptor.learn.preference.ipr import ipr_pairs
from preceptor.learn.preference.longdpo import LongDPO
from preceptor.learn.preference.orpo_self import orpo_pairs
from preceptor.learn.preference.records import Attempt, Built, Pair, Piece, piece, read_records, write_records
from preceptor.learn.preference.step_dpo import step_dpo_pairs
from preceptor.learn.preference.step_kto import step_kto_attempts
from preceptor.learn.preference.train import PreferenceResult, train_preference
from preceptor.learn.preference.traj_dpo import class_value, traj_dpo_pairs
from preceptor.learn.preference.w_dpo import consistent, w_dpo_pairs

if TYPE_CHECKING:
    from preceptor.learn.preference.heads import blend, load_heads, with_heads
    from preceptor.learn.preference.objectives import LOSSES

_HOMES = {"LOSSES": "objectives", "blend": "heads", "load_heads": "heads", "with_heads": "heads"}
"""These need torch, which the rest imports only to train."""

__all__ = [
    "LOSSES",
    "METHODS",
    "Attempt",
    "Built",
    "InterventionPairs",
    "LongDPO",
    "Pair",
    "Piece",
    "PreferenceConfig",
    "PreferenceResult",
    "best_worst_pairs",
    "blend",
    "class_value",
    "conditioned",
    "consistent",
    "crew_dpo_pairs",
    "fcp_attempts",
    "fcp_round",
    "ipr_pairs",
    "load_heads",
    "orpo_pairs",
    "piece",
    "read_records",
    "step_dpo_pairs",
    "step_kto_attempts",
    "train_preference",
    "traj_dpo_pairs",
    "trigger_pool",
    "w_dpo_pairs",
    "with_heads",
    "write_records",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"preceptor.learn.preference.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
