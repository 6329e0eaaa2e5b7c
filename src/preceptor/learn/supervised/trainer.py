"""The part of supervised training that is `transformers.Trainer`: batches, loss, a metrics row a step, checkpoints.

Every optimizer step is laid out before training: which rows, in which small batches, and the denominators of its
streams over all of them. So one large batch and several small ones give the same step, and a run that goes on from a
checkpoint sees the rows that it would have seen. Left out: several processes.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from preceptor.errors import InputError, ModelError
from preceptor.learn.checkpoints import Checkpoints
from preceptor.learn.metrics import MetricsLog
from preceptor.learn.supervised import value
from preceptor.learn.supervised.encode import Encoded
from preceptor.learn.supervised.losses import masked_mean
from preceptor.progress import Progress
from preceptor.trace import stream_seed


@dataclass(frozen=True)
class Small:
    """Rows of one backward pass, and what their sums are divided by: the whole optimizer step's counts."""

    rows: tuple[Encoded, ...]
    tokens: Mapping[str, int]
    """Trained tokens of each stream."""
    values: int
    """Value targets."""


def orders(rows: int, batch: int, steps: int | None, epochs: float, seed: int) -> list[list[int]]:
    """Rows of each optimizer step: every epoch in an order of its own, cut into batches that run across epochs."""
    wanted = steps * batch if steps is not None else max(1, round(epochs * rows))
    flat: list[int] = []
    while len(flat) < wanted:
        order = list(range(rows))
        random.Random(stream_seed("supervised", seed, len(flat) // rows)).shuffle(order)
        flat += order
    return [flat[k : min(k + batch, wanted)] for k in range(0, wanted, batch)]


def small_batches(rows: Sequence[Encoded], order: Sequence[Sequence[int]], micro: int) -> list[Small]:
    out = []
    for step in order:
        mine = [rows[i] for i in step]
        tokens: Counter[str] = Counter()
        for row in mine:
            tokens[row.stream] += row.tokens
        values = sum(len(row.values) for row in mine)
        out += [Small(tuple(mine[k : k + micro]), tokens, values) for k in range(0, len(mine), micro)]
    return out


def collate(items: Sequence[Small], pad: int) -> dict[str, Any]:
    """`ids`, `mask`, `trained`, `scale`, `targets`, `valued` (B, L); `scale`: weight over its stream's
    denominator."""
    (small,) = items
    shape = (len(small.rows), max(len(r.ids) for r in small.rows))
    out: dict[str, Any] = {"ids": torch.full(shape, pad), "mask": torch.zeros(shape, dtype=torch.long)}
    out |= {k: torch.zeros(shape) for k in ("scale", "targets", "valued")}
    out |= {"trained": torch.zeros(shape, dtype=torch.bool)}
    for i, row in enumerate(small.rows):
        n = len(row.ids)
        out["ids"][i, :n] = torch.tensor(row.ids)
        out["mask"][i, :n] = 1
        out["trained"][i, :n] = torch.tensor(row.trained)
        out["scale"][i, :n] = torch.tensor(row.weights) / max(1, small.tokens[row.stream])
        for at, target in row.values:
            out["targets"][i, at] = target
            out["valued"][i, at] = 1.0 / max(1, small.values)
    out["streams"] = [row.stream for row in small.rows]
    return out


def token_logps(logits: Tensor, ids: Tensor) -> Tensor:
    """(B, L): log-probability of each token given those before it; 0 for the first."""
    picked = logits[:, :-1].float().log_softmax(-1).gather(2, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return torch.nn.functional.pad(picked, (1, 0))


class SupervisedTrainer(Trainer):
    """`value_weight` None: no value head."""

    loss_is_scaled_for_ga = True  # by the denominators of the whole step

    def __init__(self, *args: Any, value_weight: float | None, **options: Any):
        self.value_weight = value_weight
        self.sums: defaultdict[str, float] = defaultdict(float)
        super().__init__(*args, **options)
        if self.args.world_size > 1 or self.args.n_gpu > 1:
            raise InputError(
                f"supervised: got {self.args.world_size} processes with {self.args.n_gpu} GPUs each, expected one: "
                "denominators are counted here. Set CUDA_VISIBLE_DEVICES to one GPU."
            )
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        data: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(data)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        read = None
        if self.value_weight is None:
            logits = model(input_ids=inputs["ids"], attention_mask=inputs["mask"], use_cache=False).logits
        else:
            read, logits = value.outputs(model, value.attach(model), inputs["ids"], inputs["mask"])
        logps = token_logps(logits, inputs["ids"])
        loss = -torch.where(inputs["trained"], logps * inputs["scale"], 0.0).sum()
        if read is not None and self.value_weight is not None:
            error = ((read.tanh() - inputs["targets"]) ** 2 * inputs["valued"]).sum()
            self.sums["value_error"] += float(error.detach())
            loss = loss + self.value_weight * error
        self._count(inputs, logps.detach())
        return (loss, {"logits": logits}) if return_outputs else loss

    def _count(self, inputs: dict[str, Any], logps: Tensor) -> None:
        """Unweighted figures of the step, by stream."""
        for stream in set(inputs["streams"]):
            mine = inputs["trained"] & torch.tensor(
                [[s == stream] for s in inputs["streams"]], device=logps.device
            )
            tokens = int(mine.sum())
            self.sums[f"tokens/{stream}"] += tokens
            self.sums[f"nll/{stream}"] += float(masked_mean(-logps, mine)) * tokens

    def take_figures(self) -> dict[str, Any]:
        """Figures since the last call."""
        sums, self.sums = self.sums, defaultdict(float)
        streams = sorted(k.partition("/")[2] for k in sums if k.startswith("tokens/") and sums[k])
        out: dict[str, Any] = {
            "tokens": {s: int(sums[f"tokens/{s}"]) for s in streams},
            "nll": {s: sums[f"nll/{s}"] / sums[f"tokens/{s}"] for s in streams},
        }
        if self.value_weight is not None:
            out["value_error"] = sums["value_error"]
        return out


class Rows(TrainerCallback):
    """A metrics row a step, and what is saved with a checkpoint."""

    def __init__(self, log: MetricsLog, checkpoints: Checkpoints, progress: Progress):
        self.log, self.checkpoints, self.progress = log, checkpoints, progress
        self.trainer: SupervisedTrainer | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if not logs or "grad_norm" not in logs or self.trainer is None:
            return
        loss = float(logs["loss"])
        row = {
            "step": state.global_step,
            "loss": loss,
            "lr": logs["learning_rate"],
            "grad_norm": float(logs["grad_norm"]),
            **self.trainer.take_figures(),
        }
        self.log.write(row)
        if not torch.isfinite(torch.tensor([loss, row["grad_norm"]])).all():
            raise ModelError(
                f"step {state.global_step}: got loss {loss}, expected a finite number. Lower `lr`."
            )
        self.progress(state.global_step, state.max_steps, f"loss {loss:.4f}")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.checkpoints.save_session(state.global_step, {"metrics_bytes": self.log.size})
        self.checkpoints.commit(state.global_step)


def arguments(settings: Mapping[str, Any], steps: int, accumulation: int, scratch: Path) -> TrainingArguments:
    every = settings["save_every"]
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=accumulation,
        learning_rate=settings["lr"],
        lr_scheduler_type=settings["schedule"],
        warmup_steps=settings["warmup"],
        weight_decay=settings["weight_decay"],
        max_grad_norm=settings["max_grad_norm"],
        seed=settings["seed"] % 2**32,
        bf16=False,
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="steps" if every else "no",
        save_steps=every or 500,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
