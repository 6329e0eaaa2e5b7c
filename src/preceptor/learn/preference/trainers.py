"""The trainers behind `train_preference`: TRL's for DPO, `transformers.Trainer` with our losses for the rest.

TRL appends an end-of-text token to plain-text `chosen` and `rejected` and encodes them itself: on a step that
teaches to stop after it. Its data preparation is therefore skipped, and rows come with ids and reference
log-probabilities. Two private methods are overridden; `tests/learn/preference/test_trl_contract.py` pins them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainingArguments
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from preceptor.learn.preference.config import PreferenceConfig
from preceptor.learn.preference.heads import head_logits
from preceptor.learn.preference.objectives import Compute
from preceptor.learn.preference.rows import Row, collate, part_sums


class Counted:
    """Tokens of a run: `processed` went through the model, `trained` are those that a loss reads."""

    def __init__(self) -> None:
        self.processed = 0
        self.trained = 0

    def add(self, mask: Tensor, trained: Tensor | int) -> None:
        self.processed += int(mask.sum())
        self.trained += int(trained)


class TokenDPOTrainer(DPOTrainer):
    """TRL's DPO on token ids as they were sampled."""

    def __init__(self, rows: Sequence[Row], counted: Counted, **options: Any):
        self.counted = counted
        super().__init__(train_dataset=Dataset.from_list([trl_row(row) for row in rows]), **options)

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _send_telemetry(self) -> None:
        pass

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        pass

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self.counted.add(inputs["attention_mask"], inputs["completion_mask"].sum())
        trl: Any = super()
        return trl.compute_loss(model, inputs, *args, **kwargs)


def trl_row(row: Row) -> dict[str, Any]:
    """What TRL's collator reads."""
    (chosen, rejected), at = row.sequences, row.parts[0].start
    return {
        "prompt_ids": list(chosen[:at]),
        "chosen_ids": list(chosen[at:]),
        "rejected_ids": list(rejected[at:]),
        "ref_chosen_logps": row.reference[0],
        "ref_rejected_logps": row.reference[1],
    }


class PartTrainer(Trainer):
    """Our losses on the parts of rows; `heads` as in `heads.py`."""

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        rows: Sequence[Row],
        counted: Counted,
        compute: Compute,
        config: PreferenceConfig,
        pad: int,
        **options: Any,
    ):
        self.counted, self.compute, self.config = counted, compute, config
        self.figures: dict[str, list[float]] = {}
        super().__init__(
            train_dataset=list(rows),
            data_collator=lambda some: collate(some, pad),
            **options,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        loss, figures = self.compute(part_sums(self._logits(model, inputs), inputs), inputs, self.config)
        own = inputs["parts"][~inputs["mismatched"]]
        self.counted.add(inputs["attention_mask"], _union(own))
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(float(value))
        return (loss, {}) if return_outputs else loss

    def _logits(self, model: Any, inputs: dict[str, Tensor]) -> Tensor:
        if self.config.heads > 1:
            return head_logits(model, inputs)
        asked = {k: inputs[k] for k in ("input_ids", "attention_mask")}
        logits: Tensor = model(**asked, use_cache=False).logits
        return logits

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log({**logs, **{k: sum(v) / len(v) for k, v in self.figures.items()}}, start_time)
        self.figures.clear()


def _union(parts: Tensor) -> int:
    """Tokens in any of the parts (P, 3)."""
    covered: dict[int, set[int]] = {}
    for sequence, start, end in parts.tolist():
        covered.setdefault(sequence, set()).update(range(start, end))
    return sum(map(len, covered.values()))


def make_trainer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Row],
    counted: Counted,
    compute: Compute | None,
    config: PreferenceConfig,
    directory: Path,
    save_every: int = 0,
) -> Any:
    """The trainer of a run; checkpoints go to `directory`."""
    common = _arguments(config, directory, save_every)
    if compute is None:
        dpo = DPOConfig(
            **common,
            beta=config.beta,
            loss_type=["sigmoid"],
            max_length=None,
            precompute_ref_log_probs=True,
            disable_dropout=True,
        )
        trainer: Any = TokenDPOTrainer(rows, counted, model=model, processing_class=tokenizer, args=dpo)
    else:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        args = TrainingArguments(**common, remove_unused_columns=False)
        pad = pad_id(tokenizer)
        trainer = PartTrainer(rows, counted, compute, config, pad, model=model, args=args)
    trainer.remove_callback(PrinterCallback)
    return trainer


def pad_id(tokenizer: Any) -> int:
    """Any id will do where the attention mask is 0."""
    return int(next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None))


def _arguments(config: PreferenceConfig, directory: Path, save_every: int) -> dict[str, Any]:
    """Full precision, nothing reported."""
    micro = config.micro_batch or config.batch
    return {
        "output_dir": str(directory),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": config.batch // micro,
        "max_steps": config.steps or -1,
        "num_train_epochs": config.epochs,
        "learning_rate": config.lr,
        "lr_scheduler_type": config.schedule,
        "warmup_steps": config.warmup,
        "optim": config.optimizer,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed % 2**32,
        "data_seed": config.seed % 2**32,
        "bf16": False,
        "fp16": False,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps" if save_every else "no",
        "save_steps": save_every or 500,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
