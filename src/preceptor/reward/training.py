"""Train a reward model from labels, and prove that the saved model scores as the trained one.

One objective (`objectives/`), one backbone, `transformers.Trainer` (therefore anything `accelerate launch` sets
up). The split is by problem. Writes the model, its tokenizer and `training.json` to one directory. Left out:
checkpoints in the middle of a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import InputError
from preceptor.progress import Progress, silent
from preceptor.reward import model as models
from preceptor.reward import parity
from preceptor.reward.examples import Dropped, Group, Labelled, Labels, labelled, split, the_question
from preceptor.reward.metrics import step_metrics
from preceptor.reward.model import SEPARATOR
from preceptor.reward.objective import Objective
from preceptor.reward.objectives import OBJECTIVES
from preceptor.reward.objectives.language import LANGUAGE_OBJECTIVES, LanguageObjective
from preceptor.reward.render import Renderer
from preceptor.reward.scorer import PRM
from preceptor.reward.targets import TargetConfig

if TYPE_CHECKING:
    from preceptor.reward.model import StepModel


@dataclass(frozen=True)
class TrainConfig:
    """Defaults follow TRL's PRMTrainer (lr, dropout off); a model of a few million weights wants lr 1e-3."""

    threshold: float = 0.5
    """A label at or above it is "good" (hard labels, first error)."""
    after_error: Literal["keep", "mask", "wrong"] = "keep"
    """What becomes of the labels after the first bad step."""
    separator: str = SEPARATOR
    max_length: int | None = None
    """Tokens of one row; None: the backbone's context."""
    epochs: float = 1.0
    lr: float = 1e-5
    weight_decay: float = 0.0
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; it falls linearly to 0 afterwards."""
    max_steps: int = -1
    """Updates at most; -1: as many as the epochs have."""
    max_grad_norm: float = 1.0
    batch_rows: int = 16
    batch_tokens: int = 8192
    """Padded tokens of a batch at most (a longer row is a batch of its own)."""
    held_out: float = 0.1
    """Share of the problems kept back for the figures and the parity check."""
    lora: int = 0
    """Rank of LoRA adapters on the body's linear layers (needs peft); 0 trains all weights. They are merged
    into the saved model."""
    train_body: bool = True
    """False trains the head alone (the first stage of PURE's recipe)."""
    bf16: bool = False
    """Mixed precision."""
    seed: int = 0


def train(
    labels: Labels,
    *,
    backbone: Any,
    out: str | Path,
    objective: str | Objective | LanguageObjective = "soft-ce",
    progress: Progress = silent,
    **settings: Any,
) -> Any:
    """Train on `labels` and return the reward model as loaded from `out`: a `PRM`, or for an objective of
    `objectives.language` the scorer that reads the trained language model (`language.py`).

    `backbone`: a model directory, or an object with `model` and `tokenizer`; `objective`: a name of
    `preceptor.reward.objectives.OBJECTIVES` or one of your own; `settings`: fields of `TrainConfig`. Raises
    InputError when no label is usable or the labels answer several questions, ModelError when the backbone
    does not fit, CheckFailed when serving and training disagree.
    """
    if isinstance(objective, LanguageObjective) or objective in LANGUAGE_OBJECTIVES:
        from preceptor.reward.language import train_language

        return train_language(
            labels, backbone=backbone, out=out, objective=objective, progress=progress, **settings
        )
    config, aim = TrainConfig(**settings), find_objective(objective)
    begin = time.perf_counter()
    out, dropped = Path(out), Dropped()
    question = aim.question or the_question(labels)
    if aim.bind is not None:
        aim = aim.bind(backbone)
    threshold = config.threshold if aim.threshold is None else aim.threshold
    items = labelled(labels, TargetConfig(aim.labels, threshold, config.after_error), dropped)
    trained_on, kept_back = split(items, config.held_out, config.seed)
    _seed(config.seed)
    model, tokenizer, fmt = models.build(
        backbone,
        question=question,
        head=aim.head,
        link=aim.link,
        separator=config.separator,
        max_length=config.max_length,
        whole=aim.whole,
        layout=aim.layout,
        trajectory=aim.trajectory,
    )
    render = Renderer(tokenizer, fmt.layout, fmt.max_length, whole=fmt.whole)
    groups = aim.rows(trained_on, render, dropped)
    if not groups:
        raise InputError(
            f"labels: got no usable row of {len(labels.judgements)} judgements ({dict(dropped.reasons)}), "
            "expected steps with a score. Label traces first."
        )
    if aim.prepare is not None:
        aim.prepare(model, groups)
    tags = tuple(tag for tag in (fmt.layout.tag, getattr(fmt.layout, "end", "")) if tag)
    trainer, curve = _fit(model, tokenizer, groups, aim, config, out, progress, tags)
    _save(trainer, tokenizer, out)
    prm = PRM.load(out, device=str(model.device))
    checked = kept_back or trained_on
    traces = [item.trace for item in checked]
    served = prm.score(traces)
    difference = parity.max_difference(
        traces, render, lambda rows: trainer.score_rows(rows, fmt.link), served, fmt.trajectory
    )
    figures = step_metrics([j.scores for j in served], [item.targets for item in checked])
    report = {
        "objective": objective if isinstance(objective, str) else aim.source or "custom",
        "config": asdict(config),
        "question": question.value,
        "rows": sum(map(len, groups)),
        "problems": {"train": _problems(trained_on), "held_out": _problems(kept_back)},
        "held_out_problems": sorted({item.trace.problem.id for item in kept_back}),
        "dropped": dict(sorted(dropped.reasons.items())),
        **(aim.describe(items) if aim.describe is not None else {}),
        **trainer.report(),
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


def find_objective(objective: str | Objective) -> Objective:
    if isinstance(objective, Objective):
        return objective
    if objective not in OBJECTIVES:
        names = sorted([*OBJECTIVES, *LANGUAGE_OBJECTIVES])
        raise InputError(f"objective: got {objective!r}, expected one of {names}")
    return OBJECTIVES[objective]


def _fit(
    model: StepModel,
    tokenizer: Any,
    groups: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    out: Path,
    progress: Progress,
    tags: tuple[str, ...],
) -> tuple[Any, list[list[float]]]:
    from preceptor.reward.trainer import LossCurve, StepTrainer, training_arguments

    if not config.train_body:
        model.body.requires_grad_(False)
    elif config.lora:
        model.add_lora(config.lora, tokenizer, *tags)
    curve = LossCurve(progress)
    trainer = (objective.trainer or StepTrainer)(
        model, groups, objective, training_arguments(config, out), config
    )
    trainer.add_callback(curve)
    trainer.train()
    return trainer, curve.points


def _save(trainer: Any, tokenizer: Any, out: Path) -> None:
    if trainer.is_world_process_zero():
        trainer.accelerator.unwrap_model(trainer.model).save(out)
        tokenizer.save_pretrained(out)
    trainer.accelerator.wait_for_everyone()


def _problems(items: Sequence[Labelled]) -> int:
    return len({item.trace.problem.prompt for item in items})


def _seed(seed: int) -> None:
    from transformers import set_seed

    set_seed(seed % 2**32)
