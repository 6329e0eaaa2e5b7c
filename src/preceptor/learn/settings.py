"""What a run was asked to do, checked, as it is written to `settings.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from preceptor.credit import CreditConfig, Rollout
from preceptor.errors import InputError


def wanted(credit: CreditConfig) -> frozenset[str]:
    """Fields of `Signals` that the method reads; empty for one of the rollouts alone."""
    return credit.needs - {f.name for f in fields(Rollout)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that decides what comes out; a run is resumed only with the same."""

    method: str
    steps: int
    """Optimizer steps."""
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
    """Completions in one backward pass of one process; times `processes` it divides
    prompts_per_step x generations."""
    eval_every: int
    """Steps between two held-out measurements; 0: only before and after."""
    eval_samples: int
    """Draws a held-out problem at the training temperature; 0: greedy."""
    seed: int
    num_iterations: int = 1
    """Steps made with one sampled batch. 1: ratios are 1; more: they are clipped from the second on."""
    echo: float = 0.0
    """Weight of the cross-entropy on what an environment wrote, a loss of its own (`supervised.echo`); 0: none."""
    echo_longest: int | None = None
    """Tokens of a reply that count in it at most, from its first on; None: all."""
    ratio_free: bool = False
    """Every ratio is 1 and nothing is clipped, in every update: the loss's gradient is that of -A log pi, whoever
    wrote the text (R^3L)."""
    lora: int = 0
    """Rank of adapters on all linear layers but the head; 0: all weights are trained."""
    vllm: Mapping[str, Any] = field(default_factory=dict)
    """TRL's own `vllm_*` settings; empty: the embedded engine generates."""
    processes: int = 1

    @property
    def batch(self) -> int:
        return self.prompts_per_step * self.generations

    @property
    def accumulation(self) -> int:
        """Backward passes a step, in each process."""
        return self.batch // (self.micro_batch * self.processes)

    def __post_init__(self) -> None:
        if self.generations < 2:
            raise InputError(
                f"generations: got {self.generations}, expected at least 2: a group is its own baseline."
            )
        if min(self.prompts_per_step, self.steps, self.num_iterations) < 1:
            raise InputError(
                f"steps, prompts_per_step and num_iterations: got {self.steps}, {self.prompts_per_step} and "
                f"{self.num_iterations}, expected at least 1 each."
            )
        if self.micro_batch < 1 or self.batch % (self.micro_batch * self.processes):
            raise InputError(
                f"micro_batch: got {self.micro_batch} in each of {self.processes} process(es), expected a "
                f"divisor of the {self.batch} completions of a step."
            )
        if self.echo < 0 or (self.echo_longest is not None and self.echo_longest < 1):
            raise InputError(
                f"echo and echo_longest: got {self.echo} and {self.echo_longest}, expected a weight of 0 or more and "
                "at least 1 token, or None for all."
            )
        if self.lora < 0:
            raise InputError(f"lora: got rank {self.lora}, expected 0 (no adapters) or more.")
        unknown = sorted(k for k in self.vllm if not k.startswith("vllm_"))
        if unknown:
            raise InputError(f"vllm: got {unknown}, expected TRL's settings, whose names begin with `vllm_`.")
