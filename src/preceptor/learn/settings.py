"""What a run was asked to do, checked, as it is written to `settings.json`."""

from __future__ import annotations

from dataclasses import dataclass

from preceptor.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Settings:
    method: str
    steps: int
    """Optimizer steps; each trains once on one freshly sampled batch, so ratios are 1."""
    prompts_per_step: int
    generations: int
    """Completions a prompt: the group that is its own baseline."""
    lr: float
    temperature: float
    max_tokens: int
    """Completions cut here are graded and trained on as they are."""
    kl: float
    """Weight of the KL term against the starting policy; 0: none, and no second model in memory."""
    micro_batch: int
    """Completions in one backward pass; divides prompts_per_step x generations."""
    eval_every: int
    """Steps between two held-out measurements; 0: only before and after."""
    eval_samples: int
    """Draws a held-out problem at the training temperature; 0: greedy."""
    seed: int

    def __post_init__(self) -> None:
        if self.generations < 2:
            raise InputError(
                f"generations: got {self.generations}, expected at least 2: a group is its own baseline."
            )
        if self.prompts_per_step < 1 or self.steps < 1:
            raise InputError(
                f"steps and prompts_per_step: got {self.steps} and {self.prompts_per_step}, "
                "expected at least 1 each."
            )
        batch = self.prompts_per_step * self.generations
        if self.micro_batch < 1 or batch % self.micro_batch:
            raise InputError(
                f"micro_batch: got {self.micro_batch}, expected a divisor of the {batch} completions of "
                "a step."
            )
