"""One run of preference training: rows, reference, trainer, a metrics row a step, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from preceptor.errors import InputError, ModelError
from preceptor.learn.directory import RunDirectory
from preceptor.learn.metrics import MetricsLog
from preceptor.learn.preference import heads
from preceptor.learn.preference.config import PreferenceConfig
from preceptor.learn.preference.objectives import LOSSES
from preceptor.learn.preference.records import Attempt, Pair
from preceptor.learn.preference.rows import Encoder, with_reference
from preceptor.learn.preference.trainers import Counted, make_trainer, pad_id
from preceptor.learn.rollouts import TrainablePolicy
from preceptor.progress import Progress

FROM_TRAINER = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "lr",
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "logps/chosen": "chosen_logp",
    "logps/rejected": "rejected_logp",
    **{name: name for name in ("margin", "accuracy", "chosen_logp", "rejected_logp")},
    **{name: name for name in ("z0", "good_ratio", "bad_ratio")},
}
"""Names in the trainers' logs -> names in ours. A margin is in units of the loss: beta times nats, or log odds."""


class PreferenceSession:
    """State of a run; `train` may be called once, then `finish`."""

    def __init__(
        self,
        policy: TrainablePolicy,
        records: Sequence[Pair] | Sequence[Attempt],
        config: PreferenceConfig,
        here: RunDirectory,
        save_every: int,
        progress: Progress,
    ):
        self.policy, self.config, self.here, self.progress = policy, config, here, progress
        self.log: MetricsLog | None = None
        objective = LOSSES[config.loss]
        self.encoder = Encoder(policy)
        self.rows = getattr(self.encoder, objective.rows)(records)
        if not self.rows:
            raise InputError(f"records: got none that can be trained on: {dict(self.encoder.dropped)}")
        pad, micro = pad_id(policy.tokenizer), config.micro_batch or config.batch
        if objective.reference:
            self.rows = with_reference(policy.model, self.rows, pad, micro)
        if config.heads > 1:
            if heads.rescales(policy.model):
                raise ModelError("mah_dpo: got a model that rescales its logits, expected a linear head")
            heads.attach(policy.model, config.heads, config.head_noise, config.seed)
        self.counted = Counted()
        directory = here.checkpoints.directory
        self.trainer = make_trainer(
            policy.model,
            policy.tokenizer,
            self.rows,
            self.counted,
            objective.compute,
            config,
            directory,
            save_every,
        )
        self.trainer.add_callback(_Steps(self))

    def train(self, log: MetricsLog, checkpoint: Path | None = None) -> None:
        """From the start, or from where a checkpoint left it."""
        self.log = log
        if checkpoint is not None:
            state = self.here.checkpoints.session(checkpoint)
            self.counted.processed, self.counted.trained = state["processed"], state["trained"]
        self.trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        model: Any = self.policy.model
        model.eval()

    def finish(self) -> None:
        """Leave an ordinary model behind, or say that it is none."""
        model: Any = self.policy.model
        model.zero_grad(set_to_none=True)
        vars(model).pop("forward", None)  # TRL's fused head
        if self.config.heads > 1:
            trained = heads.detach(model)
            heads.save_heads(self.here.path / "heads.safetensors", trained)
            equal = (1 / len(trained),) * len(trained)
            heads.blend(model, trained, self.config.head_weights or equal)
        for name, parameter in model.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise ModelError(f"{name}: got weights that are not finite after training. Lower `lr`.")

    def figures(self) -> dict[str, Any]:
        return {
            "steps": int(self.trainer.state.global_step),
            "records": len(self.rows),
            "encoded": self.encoder.encoded,
            "dropped": dict(self.encoder.dropped),
            "processed_tokens": self.counted.processed,
            "trained_tokens": self.counted.trained,
        }

    def close_step(self, step: int, total: int, logs: dict[str, Any], seconds: float) -> None:
        assert self.log is not None
        row: dict[str, Any] = {
            "step": step,
            **{ours: logs[theirs] for theirs, ours in FROM_TRAINER.items() if theirs in logs},
            "processed_tokens": self.counted.processed,
            "trained_tokens": self.counted.trained,
            "seconds": seconds,
        }
        self.log.write(row)
        if not math.isfinite(row["loss"]):
            raise ModelError(f"step {step}: got loss {row['loss']}, expected a finite number. Lower `lr`.")
        self.progress(step, total, f"loss {row['loss']:.4f}")

    def checkpoint(self, step: int) -> None:
        """What this session knows beside the trainer's files."""
        assert self.log is not None
        counted = {"processed": self.counted.processed, "trained": self.counted.trained}
        self.here.checkpoints.save_session(step, {"metrics_bytes": self.log.size, **counted})
        self.here.checkpoints.commit(step)


class _Steps(TrainerCallback):
    """Times each optimizer step and hands its figures to the session."""

    def __init__(self, session: PreferenceSession):
        self.session = session
        self.began = self.took = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.took = time.perf_counter() - self.began

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if logs and "grad_norm" in logs:
            self.session.close_step(state.global_step, state.max_steps, logs, self.took)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.session.checkpoint(state.global_step)
