"""Objectives that order instead of naming probabilities; their scores only rank.

PAIRWISE  a right solution above a wrong one of the same problem (Bradley-Terry)
PQM       in one solution: right steps rise, wrong ones stand below by a margin (arXiv 2410.11287)
"""

from __future__ import annotations

from preceptor.judgement import Question
from preceptor.reward.head import Linear
from preceptor.reward.link import VALUE
from preceptor.reward.losses import pairwise, pqm
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.rows import solution_pairs

PAIRWISE = Objective(
    loss=lambda outputs, batch: pairwise(outputs, batch["targets"], batch["mask"]),
    head=Linear(1),
    link=VALUE,
    rows=solution_pairs,
    question=Question.VALUE,
    whole=True,
    source="Bradley-Terry on solutions",
)
PQM = Objective(
    loss=lambda outputs, batch: pqm(outputs, batch["targets"], batch["mask"]),
    head=Linear(1),
    link=VALUE,
    labels="hard",
    source="Process Reward Model with Q-Value Rankings (arXiv 2410.11287)",
)
