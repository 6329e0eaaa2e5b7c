"""One training run on TRL: the trainer's settings, a row a step, held-out measurements, time by part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from preceptor.credit import CreditConfig
from preceptor.judgement import Scorer
from preceptor.learn.grpo import CreditGRPOTrainer
from preceptor.learn.metrics import FROM_TRAINER, MetricsLog
from preceptor.learn.rollouts import Accuracy, RolloutSource
from preceptor.learn.settings import Settings
from preceptor.progress import Progress
from preceptor.trace import Problem
from preceptor.usage import Ledger


class Session:
    """State of a run; `train` may be called once."""

    def __init__(
        self,
        source: RolloutSource,
        problems: list[Problem],
        held_out: list[Problem],
        credit: CreditConfig,
        scorer: Scorer | None,
        settings: Settings,
        log: MetricsLog,
        progress: Progress,
        scratch: Path,
    ):
        self.source, self.held_out, self.settings = source, held_out, settings
        self.log, self.progress = log, progress
        self.before: Accuracy | None = None
        self.after: Accuracy | None = None
        self.undecided = 0
        self.trained_tokens = 0
        self.seconds: dict[str, float] = {}
        rows = {"prompt": [p.prompt for p in problems], "problem": list(range(len(problems)))}
        self.trainer = CreditGRPOTrainer(
            source=source,
            problems=problems,
            credit=credit,
            scorer=scorer,
            args=grpo_config(settings, scratch),
            train_dataset=Dataset.from_dict(rows),
            callbacks=[_StepLog(self)],
        )
        self.trainer.remove_callback(PrinterCallback)

    @property
    def usage(self) -> Ledger:
        return Ledger(self.source.usage, self.trainer.scored)

    def train(self) -> None:
        self.before = self.after = self.measure(0)
        self.trainer.train()
        self.source.policy.model.eval()

    def parts(self) -> dict[str, float]:
        """Seconds spent so far in what the trainer calls; the rest of a step is the update."""
        return {**self.source.seconds, **self.trainer.seconds}

    def close_step(self, step: int, seconds: Mapping[str, float], logs: Mapping[str, Any]) -> None:
        """Write the step's row, then measure if it is time."""
        batch, traces = self.trainer.last_batch, self.trainer.last_traces
        assert batch is not None
        self.undecided += int(batch.stats["undecided"])
        self.trained_tokens += sum(len(t.token_ids or ()) for t in traces)
        for part, spent in seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + spent
        accuracy = batch.stats.get("outcome_mean")
        row = {
            "step": step,
            "accuracy": accuracy,
            "trained_tokens": self.trained_tokens,
            "generated_tokens": self.source.usage.generated,
            "length_mean": sum(len(t.token_ids or ()) for t in traces) / len(traces),
            "cut": sum(t.finish.value == "length" for t in traces),
            "failed": sum(t.error is not None for t in traces),
            **{ours: logs[theirs] for theirs, ours in FROM_TRAINER.items() if theirs in logs},
            "credit": batch.stats,
            "seconds": dict(seconds),
        }
        self.log.write(row)
        note = "accuracy unknown" if accuracy is None else f"accuracy {accuracy:.3f}"
        self.progress(step, self.settings.steps, note)
        every = self.settings.eval_every
        if step == self.settings.steps or (every and step % every == 0):
            self.after = self.measure(step)

    def measure(self, step: int) -> Accuracy | None:
        """Held-out accuracy with the weights as they are, in a row of its own."""
        if not self.held_out:
            return None
        began = time.perf_counter()
        found = self.source.accuracy(self.held_out, self.settings.eval_samples)
        spent = time.perf_counter() - began
        self.seconds["evaluation"] = self.seconds.get("evaluation", 0.0) + spent
        row = {
            "step": step,
            "held_out_accuracy": found.share,
            "held_out_correct": found.correct,
            "held_out_undecided": found.undecided,
            "held_out_n": found.n,
            "held_out_samples": self.settings.eval_samples or "greedy",
            "trained_tokens": self.trained_tokens,
            "generated_tokens": self.source.usage.generated,
        }
        self.log.write(row)
        return found


class _StepLog(TrainerCallback):
    """Times each optimizer step and hands its figures to the session."""

    def __init__(self, session: Session):
        self.session = session
        self.began = 0.0
        self.before: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began, self.before = time.perf_counter(), self.session.parts()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        took = time.perf_counter() - self.began
        spent = {k: v - self.before.get(k, 0.0) for k, v in self.session.parts().items()}
        self.seconds = {**spent, "update": max(0.0, took - sum(spent.values()))}

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "grad_norm" in logs:
            self.session.close_step(state.global_step, self.seconds, logs)


def grpo_config(settings: Settings, scratch: Path) -> GRPOConfig:
    """TRL's settings: full precision, nothing reported, nothing saved."""
    return GRPOConfig(
        output_dir=str(scratch),
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.prompts_per_step * settings.generations // settings.micro_batch,
        num_generations=settings.generations,
        max_completion_length=settings.max_tokens,
        max_steps=settings.steps,
        learning_rate=settings.lr,
        lr_scheduler_type="constant",
        temperature=settings.temperature,
        beta=settings.kl,
        seed=settings.seed,
        data_seed=settings.seed,
        bf16=False,
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        disable_dropout=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
