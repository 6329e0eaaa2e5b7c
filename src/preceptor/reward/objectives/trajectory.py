"""Every step and the whole trajectory, each at a readout of its own.

reasonflux(...)  squared errors of one probability (ReasonFlux-PRM, arXiv 2506.18896; formulas from memory)
finprm(...)      two classes, cross entropy, one plain mean over all readouts (Fin-PRM, arXiv 2508.15202)

A finished trace with T steps has T + 1 readouts: one per step, and one behind them at a tag of its own. Each
row carries its own trajectory target at its own last readout (a published collator gives all rows of a batch
that of the last one). The served score of a step is r_t + alpha * r_final, so that the mean over the steps is
the published mean_t r_t + alpha * r_final; alpha = 0 is a plain PRM. A trace that is not finished has no
trajectory readout and is scored by its steps alone.

The trajectory's target is the outcome; ReasonFlux' share of solutions that a template of it leads to, or
Fin-PRM's knowledge coverage, come in as `target`. Cost: one token more per trace.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from preceptor.annotate.rules import with_trajectory
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, Target
from preceptor.reward.head import Linear, Mlp
from preceptor.reward.layout import Tagged
from preceptor.reward.link import SIGMOID, SOFTMAX
from preceptor.reward.losses import ce, steps_and_trajectory
from preceptor.reward.objective import Batch, Objective
from preceptor.reward.objectives.rows import channel_rows
from preceptor.reward.render import Renderer
from preceptor.trace import Finish

if TYPE_CHECKING:
    from torch import Tensor

END = "<|trajectory|>"
LAYOUT = Tagged("<|step|>", strip="right", end=END)
Rule = Callable[[Labelled], float | None]


def trajectory_rows(target: Rule) -> Callable[[Sequence[Labelled], Renderer, Dropped], list[Group]]:
    """Rows with two channels: the steps' targets, and the trajectory's at its readout where it has one."""

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        finished = [i for i in items if i.trace.finish is Finish.STOP and target(i) is not None]
        if len(finished) < len(items):
            dropped.add("no-trajectory-target", len(items) - len(finished))

        def channels(item: Labelled) -> Sequence[Target]:
            both = with_trajectory(item.targets, target(item))
            return both if item.trace.finish is Finish.STOP else both[:-1]

        return channel_rows(items, channels, render, dropped)

    return rows


def outcome(item: Labelled) -> float | None:
    return item.outcome


def reasonflux(
    alpha: float = 1.0, lambda_s: float = 1.0, lambda_f: float = 1.0, target: Rule = outcome
) -> Objective:
    """`alpha`: the trajectory's part of the score (published 1); `lambda_s`, `lambda_f` weigh the two losses
    (values not found, 1 is a default of ours)."""

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        return steps_and_trajectory(
            outputs, batch["targets"], batch["mask"], lambda_s=lambda_s, lambda_f=lambda_f
        )

    return Objective(
        loss=loss,
        head=Linear(1),
        link=SIGMOID,
        layout=LAYOUT,
        trajectory=alpha,
        rows=trajectory_rows(target),
        question=Question.QUALITY if alpha else None,
        source="ReasonFlux-PRM (arXiv 2506.18896)",
    )


def finprm(alpha: float = 1.0, target: Rule = outcome) -> Objective:
    """Labels are cut to 0 and 1, the head is Linear-ReLU-Linear(2), and all T + 1 readouts weigh the same.
    The text is this package's: the published one has headings and the answer apart."""

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        targets, mask = (batch[name].sum(-1, keepdim=True) for name in ("targets", "mask"))
        return ce(outputs, targets, mask.bool())

    def cut(item: Labelled) -> float | None:
        found = target(item)
        return None if found is None else float(found >= 0.5)

    return Objective(
        loss=loss,
        head=Mlp(2),
        link=SOFTMAX,
        labels="hard",
        layout=LAYOUT,
        trajectory=alpha,
        rows=trajectory_rows(cut),
        question=Question.QUALITY if alpha else None,
        source="Fin-PRM (arXiv 2508.15202)",
    )


REASONFLUX = reasonflux()
FINPRM = finprm()
