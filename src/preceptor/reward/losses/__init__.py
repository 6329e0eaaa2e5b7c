"""Training losses, all of the form `loss(outputs, targets, mask, **settings) -> scalar`.

outputs (B, T, C) are the head's raw outputs at T readouts of B rows; targets (B, T, K) floats, 0 where there
is none; mask (B, T, K) bool says which exist. Computed in fp32; the mean over masked entries unless a method
says otherwise; 0 with a gradient where nothing is labelled; what stands outside the mask, NaN included, has
no influence. Losses on pairs take rows [chosen_0, rejected_0, chosen_1, rejected_1, ...].

    binary.py       bce, ce, class_index; class and position balance
    value.py        mse, ovm, tvm: squared errors of a scalar head
    buffer.py       freeprm: copied outcomes with a buffer class
    ranking.py      pairwise (solutions), pqm (steps of one solution)
    two_heads.py    birm: backward and forward head
    ensemble.py     ensemble (ActPRM): many heads, their spread, which traces need a label
    implicit.py     implicit_ce, dpo, kto, nca: log-ratios of two language models
    preference.py   token_pairs (LLM2), cooper
    regression.py   channels, saffron, steps_and_trajectory, hindsight
    bilevel.py      domain_mse, meta_mse, hypergradient (DreamPRM)
    likelihood.py   sft
    masked.py       what they share

To add one: a function in the file of its family, and a row in `tests/reward/losses/table.py`, which holds it to what
all have in common. The targets are made by `preceptor.annotate.rules`.
"""

from __future__ import annotations

from preceptor.reward.losses.bilevel import domain_mse, domain_weights, hypergradient, meta_mse
from preceptor.reward.losses.binary import balance, bce, ce, class_index, position_weights
from preceptor.reward.losses.buffer import buffer_score, freeprm
from preceptor.reward.losses.ensemble import (
    ensemble,
    head_distance,
    needs_label,
    participation,
    trusted,
    uncertainty,
)
from preceptor.reward.losses.implicit import (
    dpo,
    implicit_ce,
    kto,
    nca,
    prefix_values,
    response_reward,
    step_rewards,
)
from preceptor.reward.losses.likelihood import sft
from preceptor.reward.losses.preference import cooper, token_pairs
from preceptor.reward.losses.ranking import pairwise, pqm, solution_scores
from preceptor.reward.losses.regression import channels, hindsight, saffron, steps_and_trajectory
from preceptor.reward.losses.two_heads import birm, birm_solution, birm_value
from preceptor.reward.losses.value import mse, ovm, tvm

__all__ = [
    "balance",
    "bce",
    "birm",
    "birm_solution",
    "birm_value",
    "buffer_score",
    "ce",
    "channels",
    "class_index",
    "cooper",
    "domain_mse",
    "domain_weights",
    "dpo",
    "ensemble",
    "freeprm",
    "head_distance",
    "hindsight",
    "hypergradient",
    "implicit_ce",
    "kto",
    "meta_mse",
    "mse",
    "nca",
    "needs_label",
    "ovm",
    "pairwise",
    "participation",
    "position_weights",
    "pqm",
    "prefix_values",
    "response_reward",
    "saffron",
    "sft",
    "solution_scores",
    "step_rewards",
    "steps_and_trajectory",
    "token_pairs",
    "trusted",
    "tvm",
    "uncertainty",
]
