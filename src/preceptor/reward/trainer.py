"""The part of training that is `transformers.Trainer`: forward, loss, batches, arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from preceptor.progress import Progress
from preceptor.reward.examples import Example
from preceptor.reward.link import LINKS
from preceptor.reward.readout import collate, looks_right, read, token_batches
from preceptor.reward.render import Row

if TYPE_CHECKING:
    from preceptor.reward.training import TrainConfig


class StepTrainer(Trainer):
    """Loss at the readouts. One item of its data set is a whole batch of rows of similar length, so
    batches keep to a budget of tokens and are shared out among processes as they are."""

    def __init__(
        self, model: Any, rows: Sequence[Example], link: str, args: TrainingArguments, config: TrainConfig
    ):
        self.limits = (config.batch_tokens, config.batch_rows)
        self.causal = not looks_right(model)
        self.link = LINKS[link]
        batches = token_batches([len(e.row.token_ids) for e in rows], *self.limits)
        data = [[rows[i] for i in batch] for batch in batches]
        super().__init__(model=model, args=args, train_dataset=data, data_collator=collate_batch)
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        logits = read(model, inputs, causal=self.causal)
        loss = self.link.loss(logits, inputs["targets"], inputs["mask"])
        return (loss, {"logits": logits}) if return_outputs else loss

    def score_rows(self, rows: Sequence[Row]) -> list[list[float]]:
        """Scores of the model as trained, through the same collator, batches and forward pass."""
        out: list[list[float]] = [[] for _ in rows]
        model: Any = self.model
        model.eval()
        for indices in token_batches([len(r.token_ids) for r in rows], *self.limits):
            batch = [Example(rows[i], (None,) * len(rows[i].steps)) for i in indices]
            with torch.no_grad():
                logits = read(model, self._prepare_inputs(collate_batch([batch])), causal=self.causal)
            for i, values in zip(indices, self.link.score(logits).tolist(), strict=True):
                out[i] = values[: len(rows[i].positions)]
        return out


def collate_batch(items: Sequence[Sequence[Example]]) -> dict[str, torch.Tensor]:
    """The loader hands over lists of batches of length one."""
    batch = [example for item in items for example in item]
    return collate([e.row for e in batch], [e.targets for e in batch])


def training_arguments(config: TrainConfig, out: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(out),
        num_train_epochs=config.epochs,
        learning_rate=config.lr,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        lr_scheduler_type="linear",
        per_device_train_batch_size=1,
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
