"""One training run on TRL: the trainer's settings, a row a step, held-out measurements, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig

from preceptor.credit import CreditConfig
from preceptor.judgement import Scorer
from preceptor.learn.checkpoints import Checkpoints
from preceptor.learn.figures import of_batch
from preceptor.learn.grpo import CreditGRPOTrainer
from preceptor.learn.metrics import FROM_TRAINER, MetricsLog
from preceptor.learn.monitor import HackWarning, Monitor
from preceptor.learn.rollouts import Accuracy, RolloutSource
from preceptor.learn.settings import Settings
from preceptor.progress import Progress, silent
from preceptor.trace import Problem
from preceptor.usage import Ledger, Usage


class Session:
    """State of a run; `train` may be called once. Every process of a run has one; the first one writes."""

    def __init__(
        self,
        source: RolloutSource,
        problems: list[Problem],
        held_out: list[Problem],
        credit: CreditConfig,
        scorer: Scorer | None,
        settings: Settings,
        log: MetricsLog,
        checkpoints: Checkpoints,
        *,
        save_every: int = 0,
        monitor: Monitor | None = None,
        progress: Progress = silent,
        report_to: Sequence[str] = (),
        **hooks: Any,
    ):
        self.source, self.held_out, self.settings = source, held_out, settings
        self.log, self.checkpoints, self.monitor = log, checkpoints, monitor
        self.progress = progress if log.writes else silent
        self.before: Accuracy | None = None
        self.after: Accuracy | None = None
        self.stopped: HackWarning | None = None
        self.undecided = 0
        self.trained_tokens = 0
        self.seen = 0
        self.usage = Ledger()
        self.seconds: dict[str, float] = {}
        self.stateful: dict[str, Any] = {}
        """The scorer, the source and the hooks, whose `state_dict` belongs to a checkpoint where they have one."""
        order = sampling_order(len(problems), settings)
        rows = {"prompt": [problems[i].prompt for i in order], "problem": order}
        self.trainer = CreditGRPOTrainer(
            source=source,
            problems=problems,
            credit=credit,
            scorer=scorer,
            args=grpo_config(settings, checkpoints.directory, save_every, report_to),
            train_dataset=Dataset.from_dict(rows),
            callbacks=[_StepLog(self)],
            peft_config=adapters(settings.lora) if settings.lora else None,
            echo=settings.echo,
            echo_longest=settings.echo_longest,
            ratio_free=settings.ratio_free,
            **hooks,
        )
        self.stateful |= {"scorer": scorer, "source": source}
        self.stateful |= {k: getattr(f, "__self__", f) for k, f in hooks.items()}
        self.trainer.remove_callback(PrinterCallback)

    def train(self, checkpoint: Path | None = None) -> None:
        """From the start, or from where a checkpoint left it."""
        if checkpoint is None:
            self.before = self.after = self.measure(0)
        else:
            self.load_state(self.checkpoints.session(checkpoint))
        self.trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self.source.policy.model.eval()

    def parts(self) -> dict[str, float]:
        """Seconds spent so far in what the trainer calls; the rest of a step is the update."""
        return {**self.source.seconds, **self.trainer.seconds}

    def close_step(self, step: int, seconds: Mapping[str, float], logs: Mapping[str, Any]) -> None:
        """Write the step's row, then measure if it is time."""
        trainer, batch = self.trainer, self.trainer.last_batch
        assert batch is not None
        texts, fresh = trainer.last_written, trainer.batches != self.seen
        self._add_up(seconds)
        accuracy = batch.stats.get("outcome_mean")
        row = {
            "step": step,
            "accuracy": accuracy,
            "trained_tokens": self.trained_tokens + fresh * sum(t.tokens for t in texts),
            "generated_tokens": self.usage.policy.generated,
            "length_mean": sum(t.tokens for t in texts) / len(texts),
            "cut": sum(t.cut for t in texts),
            "failed": sum(t.failed for t in texts),
            **{ours: logs[theirs] for theirs, ours in FROM_TRAINER.items() if theirs in logs},
            "credit": batch.stats,
            "seconds": dict(seconds),
        }
        if trainer.last_notes:
            row["hook"] = dict(sorted(trainer.last_notes.items()))
        warnings = []
        if fresh:
            self.seen = trainer.batches
            self.undecided += int(batch.stats["undecided"])
            self.trained_tokens = row["trained_tokens"]
            warnings = self._watch(step, row, logs.get("kl"))
        if trainer.last_update:
            row["scorer"] = trainer.last_update
        self.log.write(row)
        self.progress(step, self.settings.steps, self._note(row, warnings))
        every = self.settings.eval_every
        if self.stopped or step == self.settings.steps or (every and step % every == 0):
            self.after = self.measure(step)

    def _note(self, row: Mapping[str, Any], warnings: Sequence[HackWarning]) -> str:
        """What a person watches: `accuracy 0.375, 41 tokens in 4.9 steps, held out 0.430, warning: length`."""
        accuracy, held = row["accuracy"], None if self.after is None else self.after.share
        return ", ".join(
            [
                "accuracy unknown" if accuracy is None else f"accuracy {accuracy:.3f}",
                f"{row['length_mean']:.0f} tokens in {row['credit'].get('steps_mean', 0.0):.1f} steps",
                *([] if held is None else [f"held out {held:.3f}"]),
                *(f"warning: {w.kind}" for w in warnings),
            ]
        )

    def _watch(self, step: int, row: dict[str, Any], kl: float | None) -> list[HackWarning]:
        """Put what is watched, and what is wrong with it, into the row."""
        signals = self.trainer.last_signals
        scores = None if signals is None else signals.scores
        figures = of_batch(self.trainer.last_written, self.trainer.last_rollouts, scores, kl)
        row["watched"] = figures
        if self.monitor is None:
            return []
        warnings = self.monitor.see(step, figures)
        self.stopped = self.monitor.stops(warnings)
        if warnings:
            row["warnings"] = [w.to_record() for w in warnings]
        return warnings

    def _add_up(self, seconds: Mapping[str, float]) -> None:
        for part, spent in seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + spent
        parts: list[tuple[Usage, Usage]] = gather_object([(self.source.usage, self.trainer.scored)])
        self.usage = Ledger(sum((p for p, _ in parts), Usage()), sum((s for _, s in parts), Usage()))

    def measure(self, step: int) -> Accuracy | None:
        """Held-out accuracy with the weights as they are, in a row of its own."""
        if not self.held_out:
            return None
        began = time.perf_counter()
        place = self.trainer.accelerator
        share = (place.process_index, place.num_processes)
        found = self.source.accuracy(self.held_out, self.settings.eval_samples, share, gather_object)
        self._add_up({"evaluation": time.perf_counter() - began})
        row = {
            "step": step,
            "held_out_accuracy": found.share,
            "held_out_correct": found.correct,
            "held_out_undecided": found.undecided,
            "held_out_n": found.n,
            "held_out_samples": self.settings.eval_samples or "greedy",
            "trained_tokens": self.trained_tokens,
            "generated_tokens": self.usage.policy.generated,
        }
        self.log.write(row)
        return found

    def checkpoint(self, step: int) -> None:
        """What this session knows beside the trainer's files; the last process to write completes it."""
        self.checkpoints.save_session(step, self.state())
        self.trainer.accelerator.wait_for_everyone()
        if self.log.writes:
            self.checkpoints.commit(step)
        self.trainer.accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        return {
            "metrics_bytes": self.log.size,
            "before": None if self.before is None else self.before.to_record(),
            "after": None if self.after is None else self.after.to_record(),
            "undecided": self.undecided,
            "trained_tokens": self.trained_tokens,
            "batches": self.seen,
            "spent": [self.source.usage.to_record(), self.trainer.scored.to_record()],
            "seconds": self.seconds,
            "watched": [] if self.monitor is None else self.monitor.history,
            "learned": {k: x.state_dict() for k, x in self.stateful.items() if hasattr(x, "state_dict")},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.before, self.after = (Accuracy.from_record(state[k]) for k in ("before", "after"))
        self.undecided, self.trained_tokens = state["undecided"], state["trained_tokens"]
        self.seen = self.trainer.batches = state["batches"]
        self.source.usage, self.trainer.scored = map(Usage.from_record, state["spent"])
        self.seconds = dict(state["seconds"])
        self._add_up({})
        if self.monitor is not None:
            self.monitor.history = list(state["watched"])
        for name, own in state["learned"].items():
            self.stateful[name].load_state_dict(own)


class _StepLog(TrainerCallback):
    """Times each optimizer step, hands its figures to the session, and ends a run that a warning stops."""

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
            control.should_training_stop = control.should_training_stop or self.session.stopped is not None

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.session.checkpoint(state.global_step)


def sampling_order(problems: int, settings: Settings) -> list[int]:
    """Which problem is sampled when: shuffled anew for each pass, without the rest that fills no step.

    Written out for the whole run, so that a resumed one takes up the same order wherever it left.
    """
    order: list[int] = []
    whole = problems - problems % settings.prompts_per_step
    wanted = -(-settings.steps // settings.num_iterations) * settings.prompts_per_step
    shuffled = torch.Generator().manual_seed(settings.seed)
    while len(order) < wanted:
        order += torch.randperm(problems, generator=shuffled).tolist()[:whole]
    return order[:wanted]


def adapters(rank: int) -> Any:
    """LoRA on all linear layers but the head, with alpha twice the rank."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def grpo_config(
    settings: Settings, directory: Path, save_every: int = 0, report_to: Sequence[str] = ()
) -> GRPOConfig:
    """TRL's settings: full precision, no dropout, problems in the order given."""
    return GRPOConfig(
        output_dir=str(directory),
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.accumulation,
        num_iterations=settings.num_iterations,
        num_generations=settings.generations,
        max_completion_length=settings.max_tokens,
        max_steps=settings.steps,
        learning_rate=settings.lr,
        lr_scheduler_type="constant",
        temperature=settings.temperature,
        beta=settings.kl,
        seed=settings.seed,
        data_seed=settings.seed,
        shuffle_dataset=False,
        bf16=False,
        fp16=False,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        disable_dropout=True,
        logging_steps=1,
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or 500,
        report_to=list(report_to),
        disable_tqdm=True,
        ddp_find_unused_parameters=False,
        use_vllm=bool(settings.vllm),
        **settings.vllm,
    )
