"""One small batch for every loss in `LOSSES`, with its mask, for the properties that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tests.reward.losses.table import LOSSES

ROWS, STEPS = 6, 5
WIDTHS = {"class_index": 3, "ensemble": 4, "channels": 3, "saffron": 7, "token_pairs": 3}
CHANNELS = {"channels": 3, "saffron": 7, "token_pairs": 2}


@dataclass
class Case:
    outputs: Tensor
    targets: Tensor
    mask: Tensor
    settings: dict[str, Any] = field(default_factory=dict)

    def loss(self, name: str, outputs: Tensor | None = None, **changed: Any) -> Tensor:
        given = {"targets": self.targets, "mask": self.mask, **self.settings, **changed}
        return LOSSES[name].loss(self.outputs if outputs is None else outputs, **given)


def case(name: str, seed: int = 0) -> Case:
    """Random outputs and labels; about a third of the entries unlabelled, every row with at least one label."""
    draw = torch.Generator().manual_seed(seed)
    objective = LOSSES[name]
    width = objective.width or WIDTHS[name]
    channels = objective.channels or CHANNELS[name]
    outputs = 2 * torch.randn(ROWS, STEPS, width, generator=draw)
    targets = torch.rand(ROWS, STEPS, channels, generator=draw)
    mask = torch.rand(ROWS, STEPS, channels, generator=draw) < 0.66
    mask[:, 1] = True
    if name == "class_index":
        targets = torch.randint(0, width, targets.shape, generator=draw).float()
    if objective.logprobs:
        outputs, targets = -outputs.abs(), -targets
    settings: dict[str, Any] = {}
    if "outcome" in objective.needs:
        settings["outcome"] = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    if name == "domain_mse":
        settings |= {"domains": torch.tensor([0, 1, 2, 0, 1, 2]), "a": torch.tensor([0.5, -0.3, 0.0])}
    if name == "freeprm":
        settings["factor"] = 0.5
    return Case(outputs, targets.masked_fill(~mask, 0.0), mask, settings)
