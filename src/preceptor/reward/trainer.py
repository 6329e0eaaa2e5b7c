"""The part of training that is `transformers.Trainer`: forward, loss, batches, arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from preceptor.progress import Progress
from preceptor.reward.examples import Group
from preceptor.reward.link import Link
from preceptor.reward.objective import Objective
from preceptor.reward.readout import collate, looks_right, read, token_batches
from preceptor.reward.render import Row

if TYPE_CHECKING:
    from preceptor.reward.model import StepModel
    from preceptor.reward.training import TrainConfig


class StepTrainer(Trainer):
    """Loss at the readouts. One item of its data set is a whole batch of groups of similar length, so
    batches keep to a budget of tokens and are shared out among processes as they are."""

    def __init__(
        self,
        model: StepModel,
        groups: Sequence[Group],
        objective: Objective,
        args: TrainingArguments,
        config: TrainConfig,
    ):
        self.limits = (config.batch_tokens, config.batch_rows)
        self.causal = not looks_right(model)
        self.objective: Objective = objective
        self.initial = {name: p.detach().clone() for name, p in model.head.named_parameters()}
        batches = token_batches([size(group) for group in groups], *self.limits)
        data = [[groups[i] for i in batch] for batch in batches]
        super().__init__(model=model, args=args, train_dataset=data, data_collator=collate_batch)
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        outputs = read(model, inputs, causal=self.causal)
        loss = self.objective.loss(outputs, inputs)
        if self.objective.penalty is not None:
            loss = loss + self.objective.penalty(self.accelerator.unwrap_model(model), self.initial)
        return (loss, {"logits": outputs}) if return_outputs else loss

    def report(self) -> dict[str, Any]:
        """What a loop of its own adds to `training.json`."""
        return {}

    def score_rows(self, rows: Sequence[Row], link: Link) -> list[list[float]]:
        """Scores of the model as trained, through the same collator, batches and forward pass.

        In full precision, as it is served: mixed precision is how it was trained, not what was learned.
        """
        out: list[list[float]] = [[] for _ in rows]
        model: Any = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        model.eval()
        for indices in token_batches([len(r.token_ids) for r in rows], *self.limits):
            batch = self._prepare_inputs(collate([rows[i] for i in indices]))
            with torch.no_grad():
                outputs = read(model, batch, causal=self.causal)
            for i, values in zip(indices, link.score(outputs).tolist(), strict=True):
                out[i] = values[: len(rows[i].positions)]
        return out


def size(group: Group) -> int:
    """Tokens of a group, padded."""
    return len(group) * max(len(e.row.token_ids) for e in group)


def collate_batch(items: Sequence[Sequence[Group]]) -> dict[str, torch.Tensor]:
    """The loader hands over lists of batches of length one."""
    rows = [example for item in items for group in item for example in group]
    batch = collate([e.row for e in rows], [e.targets for e in rows])
    for name in sorted({name for e in rows for name in e.extra}):
        batch[name] = torch.tensor([float(e.extra[name]) for e in rows])
    return batch


def training_arguments(config: TrainConfig, out: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps,
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type="linear",
        per_device_train_batch_size=1,
        bf16=config.bf16,
        use_cpu=not torch.accelerator.is_available(),
        ddp_find_unused_parameters=False,
        seed=config.seed % 2**32,
        logging_strategy="steps",
        logging_steps=10,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


class LossCurve(TrainerCallback):
    """Keeps (step, mean loss since the last point) and tells the progress."""

    def __init__(self, progress: Progress):
        self.progress = progress
        self.points: list[list[float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.points.append([state.global_step, float(logs["loss"])])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        note = f"loss {self.points[-1][1]:.3f}" if self.points else ""
        self.progress(state.global_step, state.max_steps, note)
