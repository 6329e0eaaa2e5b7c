"""One label per step, or one per solution: cross entropy on a sigmoid or a two-class softmax.

A target is the probability that the step is good, so hard labels are the targets 0 and 1. The outcome model is
the same thing read once, at the last step, with the graded outcome as its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import Linear
from preceptor.reward.link import SIGMOID, SOFTMAX
from preceptor.reward.losses import bce, ce
from preceptor.reward.objective import Objective
from preceptor.reward.render import Renderer

SOFT_CE = Objective(
    loss=lambda outputs, batch: ce(outputs, batch["targets"], batch["mask"]),
    head=Linear(2),
    link=SOFTMAX,
    source="Math-Shepherd (arXiv 2312.08935), soft estimation",
)
HARD_CE = replace(SOFT_CE, labels="hard", source="Let's Verify Step by Step (arXiv 2305.20050)")
SOFT_BCE = Objective(
    loss=lambda outputs, batch: bce(outputs, batch["targets"], batch["mask"]),
    head=Linear(1),
    link=SIGMOID,
    source="Math-Shepherd (arXiv 2312.08935), soft estimation",
)
HARD_BCE = replace(SOFT_BCE, labels="hard", source="Math-Shepherd (arXiv 2312.08935), hard estimation")


def outcome_rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """The outcome as target of the last step; traces without a decided grade are counted."""
    known = []
    for item in items:
        if item.outcome is None or not item.targets:
            dropped.add("no-outcome")
        else:
            known.append(replace(item, targets=(*[None] * (len(item.targets) - 1), item.outcome)))
    return examples(known, render, dropped)


ORM = replace(
    SOFT_CE,
    rows=outcome_rows,
    question=Question.VALUE,
    whole=True,
    source="Solving math word problems with process- and outcome-based feedback (arXiv 2211.14275)",
)
