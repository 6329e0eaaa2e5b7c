"""The training loop with two levels (DreamPRM, arXiv 2505.20241).

Every `unroll` steps, before the model's own step: d meta loss / d domain parameters by a finite difference
(`losses/bilevel.py`), and one AdamW step on them. It costs three extra gradients on the step's batch and one on
a meta batch. Meta rows are in no lower batch; meta batches are taken in turn. One process only: the weights are
not shared among several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from preceptor.errors import InputError
from preceptor.reward.examples import Group
from preceptor.reward.losses.bilevel import domain_mse, domain_weights, hypergradient, meta_mse
from preceptor.reward.objective import Objective
from preceptor.reward.readout import read, token_batches
from preceptor.reward.trainer import StepTrainer, collate_batch, size

if TYPE_CHECKING:
    from preceptor.reward.model import StepModel
    from preceptor.reward.training import TrainConfig


class BilevelTrainer(StepTrainer):
    """`StepTrainer` on the rows whose extra `meta` is 0, with a weight per `domain` that the others decide."""

    def __init__(
        self,
        model: StepModel,
        groups: Sequence[Group],
        objective: Objective,
        args: TrainingArguments,
        config: TrainConfig,
        *,
        domains: tuple[str, ...],
        weights_lr: float,
        unroll: int,
    ):
        lower = [g for g in groups if not g[0].extra["meta"]]
        meta = [g for g in groups if g[0].extra["meta"]]
        if not lower or not meta:
            raise InputError(
                f"bi-level training: got {len(lower)} rows and {len(meta)} meta rows, expected some of both. "
                "Raise the share of the meta set, or grade its traces."
            )
        super().__init__(model, lower, objective, args, config)
        batches = token_batches([size(g) for g in meta], *self.limits)
        self.meta = [collate_batch([[meta[i] for i in batch]]) for batch in batches]
        self.domains, self.unroll, self.seen = domains, unroll, 0
        self.a = torch.zeros(len(domains), device=args.device, requires_grad=True)
        self.weights_optimizer = torch.optim.AdamW([self.a], lr=weights_lr)
        # One domain has weight 1 whatever its parameter.
        self.moves = weights_lr > 0 and len(domains) > 1
        self.history: list[list[float]] = [self.weights()]

    def weights(self) -> list[float]:
        """Per domain; their mean is 1."""
        found: list[float] = domain_weights(self.a.detach()).tolist()
        return found

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        if model.training:
            if self.moves and self.seen % self.unroll == 0:
                self._update_weights(model, inputs)
            self.seen += 1
        outputs = read(model, inputs, causal=self.causal)
        loss = self._lower(outputs, inputs, self.a.detach())
        return (loss, {"logits": outputs}) if return_outputs else loss

    def _lower(self, outputs: torch.Tensor, batch: dict[str, Any], a: torch.Tensor) -> torch.Tensor:
        return domain_mse(outputs, batch["targets"], batch["mask"], domains=batch["domain"].long(), a=a)

    def _update_weights(self, model: Any, batch: dict[str, Any]) -> None:
        meta = self._prepare_inputs(self.meta[(self.seen // self.unroll) % len(self.meta)])

        def upper() -> torch.Tensor:
            outputs = read(model, meta, causal=self.causal)
            return meta_mse(outputs, meta["targets"], meta["mask"], outcome=meta["outcome"])

        def lower() -> torch.Tensor:
            return self._lower(read(model, batch, causal=self.causal), batch, self.a)

        trained = [p for p in model.parameters() if p.requires_grad]
        lr = self._get_learning_rate() if self.lr_scheduler is not None else self.args.learning_rate
        (self.a.grad,) = hypergradient(lower, upper, trained, [self.a], lr=max(lr, 1e-8))
        self.weights_optimizer.step()
        self.history.append(self.weights())

    def report(self) -> dict[str, Any]:
        return {"domain_weights": dict(zip(self.domains, self.weights(), strict=True)), "unroll": self.unroll}
