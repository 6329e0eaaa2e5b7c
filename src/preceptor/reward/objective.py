"""What a model is trained to say: the head, the link that serves it, the rows and the loss.

A training run is an objective on labels and a backbone. The named ones are in `objectives/`; each is a
composition of a target rule (`labels/`), a loss (`losses/`), a head and a link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import HeadSpec, Linear
from preceptor.reward.layout import Tagged
from preceptor.reward.link import SOFTMAX, Link
from preceptor.reward.render import Renderer

if TYPE_CHECKING:
    from torch import Tensor

    from preceptor.reward.model import StepModel
    from preceptor.reward.trainer import StepTrainer

Batch = Mapping[str, "Tensor"]
"""`targets`, `mask` (B, T, K); what the examples' `extra` holds, (B,) each; see `readout.collate`."""


@dataclass(frozen=True)
class Objective:
    """`loss(outputs, batch)`: outputs (B, T, C) of the head; a scalar."""

    loss: Callable[[Tensor, Batch], Tensor]
    head: HeadSpec = field(default_factory=Linear)
    link: Link = SOFTMAX
    labels: Literal["soft", "hard"] = "soft"
    """soft: success rates, else the scores themselves; hard: 1 where that reaches the threshold."""
    rows: Callable[[Sequence[Labelled], Renderer, Dropped], list[Group]] = examples
    question: Question | None = None
    """What the trained model answers; None: what its labels answer."""
    whole: bool = False
    """An outcome model: reads the solution as one step."""
    layout: Tagged | None = None
    """Another layout than a separator after every step; its tag, if any, stands for the run's separator."""
    trajectory: float = 0.0
    """How much of the whole trajectory's score is added to each step's, for layouts that read it."""
    threshold: float | None = None
    """At or above it a label is good, where the labels' scale demands another value than the run's."""
    bind: Callable[[Any], Objective] | None = None
    """From the backbone to the objective that is trained, where the rows depend on what it says."""
    prepare: Callable[[StepModel, Sequence[Group]], None] | None = None
    """Called once with the new model and its rows, before training."""
    trainer: Callable[..., StepTrainer] | None = None
    """Another training loop, with the arguments of `trainer.StepTrainer`; None: that one."""
    describe: Callable[[Sequence[Labelled]], Mapping[str, Any]] | None = None
    """Entries of `training.json` about the labelled traces."""
    penalty: Callable[[StepModel, Mapping[str, Tensor]], Tensor] | None = None
    """Added to the loss: of the model and its head's initial weights."""
    source: str = ""
    """The paper."""
