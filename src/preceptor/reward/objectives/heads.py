"""Several heads on one backbone.

birm(c, beta)  validity of the steps so far and chance of success; score = g + beta * h (BiRM)
ENSEMBLE       32 small heads, kept apart by a penalty; score = their mean (ActPRM, arXiv 2504.10559)
channels(...)  one output per objective, each trained where its label exists, weighted at scoring
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, Target
from preceptor.reward.head import Ensemble, Linear
from preceptor.reward.link import SIGMOID, Link
from preceptor.reward.losses import birm as birm_loss
from preceptor.reward.losses import channels as channels_loss
from preceptor.reward.losses import ensemble, head_distance
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.rows import channel_rows
from preceptor.reward.render import Renderer

if TYPE_CHECKING:
    from torch import Tensor

    from preceptor.reward.model import StepModel


def birm(c: float = 1.0, beta: float = 1.0) -> Objective:
    """`c` weighs the forward head's loss; `beta` its part of the score (not found: 1 is a default of ours).

    The forward target is the outcome, copied to every step. With beta = 0 the score is the plain PRM's.
    """

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        return channel_rows(items, lambda i: [(y, i.outcome) for y in i.targets], render, dropped)

    return Objective(
        loss=lambda outputs, batch: birm_loss(outputs, batch["targets"], batch["mask"], c=c),
        head=Linear(2),
        link=Link("sigmoid", (1.0, beta)),
        rows=rows,
        question=Question.QUALITY if beta else None,
        source="BiRM (arXiv 2503.04618)",
    )


def channels(
    targets: Callable[[Labelled], Sequence[Target]], weights: Sequence[float], source: str = ""
) -> Objective:
    """One sigmoid output per channel of `targets(item)` (K per step, None where there is none); the score is
    their sum with `weights`. Trained by binary cross entropy."""

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        return channel_rows(items, targets, render, dropped)

    return Objective(
        loss=lambda outputs, batch: channels_loss(outputs, batch["targets"], batch["mask"], kind="bce"),
        head=Linear(len(weights)),
        link=Link("sigmoid", tuple(weights)),
        rows=rows,
        question=Question.QUALITY,
        source=source,
    )


def apart(penalty: float) -> Callable[[StepModel, Mapping[str, Tensor]], Tensor]:
    """lambda times the mean squared distance of the head from its initial values."""

    def distance(model: StepModel, initial: Mapping[str, Tensor]) -> Tensor:
        names = list(initial)
        now = dict(model.head.named_parameters())
        return penalty * head_distance([now[n] for n in names], [initial[n] for n in names])

    return distance


BIRM = birm()
ENSEMBLE = Objective(
    loss=lambda outputs, batch: ensemble(outputs, batch["targets"], batch["mask"]),
    head=Ensemble(),
    link=SIGMOID,
    penalty=apart(0.5),
    source="ActPRM (arXiv 2504.10559)",
)
MULTI = channels(
    lambda i: [(y, i.outcome) for y in i.targets], (0.5, 0.5), "one output per objective: validity, outcome"
)
