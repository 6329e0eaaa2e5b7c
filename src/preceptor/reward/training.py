"""Train a discriminative PRM from step labels, and prove that the saved model scores as the trained one.

Token classification read at the separators, with `transformers.Trainer` (therefore anything `accelerate
launch` sets up). The split is by problem. Writes the model, its tokenizer and `training.json` to one
directory. Left out: mixed precision, LoRA, checkpoints in the middle of a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from preceptor.errors import InputError
from preceptor.progress import Progress, silent
from preceptor.reward import head, parity
from preceptor.reward.examples import (
    Dropped,
    Example,
    Labelled,
    Labels,
    examples,
    labelled,
    split,
    the_question,
)
from preceptor.reward.head import SEPARATOR
from preceptor.reward.metrics import step_metrics
from preceptor.reward.render import SeparatorRenderer
from preceptor.reward.scorer import PRM
from preceptor.reward.targets import TargetConfig


@dataclass(frozen=True)
class TrainConfig:
    """Defaults follow TRL's PRMTrainer (lr, dropout off); a model of a few million weights wants lr 1e-3."""

    objective: Literal["soft", "hard"] = "soft"
    threshold: float = 0.5
    """A label at or above it is "good" (hard objective, first error)."""
    after_error: Literal["keep", "mask", "wrong"] = "keep"
    """What becomes of the labels after the first bad step."""
    link: Literal["softmax", "sigmoid"] = "softmax"
    separator: str = SEPARATOR
    max_length: int | None = None
    """Tokens of one row; None: the backbone's context."""
    epochs: float = 1.0
    lr: float = 1e-5
    weight_decay: float = 0.0
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; it falls linearly to 0 afterwards."""
    batch_rows: int = 16
    batch_tokens: int = 8192
    """Padded tokens of a batch at most (a longer row is a batch of its own)."""
    held_out: float = 0.1
    """Share of the problems kept back for the figures and the parity check."""
    seed: int = 0

    @property
    def targets(self) -> TargetConfig:
        return TargetConfig(self.objective, self.threshold, self.after_error)


def train(
    labels: Labels, *, backbone: Any, out: str | Path, progress: Progress = silent, **settings: Any
) -> PRM:
    """Train on `labels` and return the reward model as loaded from `out`.

    `backbone`: a model directory, or an object with `model` and `tokenizer`; `settings`: fields of
    `TrainConfig`. Raises InputError when no label is usable or the labels answer several questions,
    ModelError when the backbone does not fit, CheckFailed when serving and training disagree.
    """
    config = TrainConfig(**settings)
    begin = time.perf_counter()
    out, dropped = Path(out), Dropped()
    question = the_question(labels)
    items = labelled(labels, config.targets, dropped)
    trained_on, kept_back = split(items, config.held_out, config.seed)
    _seed(config.seed)
    model, tokenizer, fmt = head.build(
        backbone,
        question=question,
        link=config.link,
        separator=config.separator,
        max_length=config.max_length,
    )
    render = SeparatorRenderer(tokenizer, fmt.separator_id, fmt.max_length)
    rows = examples(trained_on, render, dropped)
    if not rows:
        raise InputError(
            f"labels: got no usable row of {len(labels.judgements)} judgements ({dict(dropped.reasons)}), "
            "expected steps with a score. Label traces first."
        )
    trainer, curve = _fit(model, rows, fmt.link, config, out, progress)
    _save(trainer, tokenizer, out)
    prm = PRM.load(out, device=str(model.device))
    checked = kept_back or trained_on
    traces = [item.trace for item in checked]
    served = prm.score(traces)
    difference = parity.max_difference(traces, render, trainer.score_rows, served)
    figures = step_metrics([j.scores for j in served], [item.targets for item in checked])
    report = {
        "config": asdict(config),
        "question": question.value,
        "rows": len(rows),
        "problems": {"train": _problems(trained_on), "held_out": _problems(kept_back)},
        "held_out_problems": sorted({item.trace.problem.id for item in kept_back}),
        "dropped": dict(sorted(dropped.reasons.items())),
        "loss": curve,
        "held_out": figures if kept_back else None,
        "parity": {"traces": len(checked), "max_difference": difference, "tolerance": parity.TOLERANCE},
        "source": str(prm.source),
        "seed": config.seed,
        "seconds": round(time.perf_counter() - begin, 3),
    }
    if trainer.is_world_process_zero():
        (out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    parity.check(difference)
    return prm


def _fit(
    model: Any, rows: Sequence[Example], link: str, config: TrainConfig, out: Path, progress: Progress
) -> tuple[Any, list[list[float]]]:
    from preceptor.reward.trainer import LossCurve, StepTrainer, training_arguments

    curve = LossCurve(progress)
    trainer = StepTrainer(model, rows, link, training_arguments(config, out), config)
    trainer.add_callback(curve)
    trainer.train()
    return trainer, curve.points


def _save(trainer: Any, tokenizer: Any, out: Path) -> None:
    if trainer.is_world_process_zero():
        with head.quiet():
            trainer.accelerator.unwrap_model(trainer.model).save_pretrained(out)
        tokenizer.save_pretrained(out)
    trainer.accelerator.wait_for_everyone()


def _problems(items: Sequence[Labelled]) -> int:
    return len({item.trace.problem.prompt for item in items})


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed % 2**32)
