"""`train_supervised`: from rows to a trained policy, resumable from its last checkpoint.

Left out: adapters, several processes, held-out figures (sample from the saved model).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import InputError, ModelError
from preceptor.learn.data.rows import Row
from preceptor.learn.directory import RunDirectory
from preceptor.learn.rollouts import TrainablePolicy, trainable
from preceptor.learn.supervised.encode import Encoded, encode
from preceptor.progress import Progress, silent
from preceptor.trace import content_id

if TYPE_CHECKING:
    from preceptor.learn.supervised.trainer import SupervisedTrainer


@dataclass(frozen=True)
class SupervisedResult:
    model: Path
    """Directory in the Hugging Face format; with `value_weight`, `value_head.safetensors` stands beside it."""
    metrics: Path
    steps: int
    rows: int
    """Rows trained on."""
    dropped: Mapping[str, int]
    """Rows left out: "too-long" for the model's context, "nothing-to-train"."""
    tokens: Mapping[str, int]
    """Trained tokens of each stream, repeats counted."""


def train_supervised(
    policy: str | Path | TrainablePolicy,
    rows: Sequence[Row],
    *,
    out: str | Path,
    lr: float = 1e-5,
    steps: int | None = None,
    epochs: float = 1.0,
    batch: int = 16,
    micro_batch: int | None = None,
    schedule: str = "linear",
    warmup: float = 0.0,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    value_weight: float | None = None,
    stream_weights: Mapping[str, float] | None = None,
    save_every: int = 100,
    seed: int = 0,
    resume: bool = True,
    progress: Progress = silent,
) -> SupervisedResult:
    """Train `policy` on `rows` by weighted likelihood and save it under `out`.

    Loss of a step: for each stream of its `batch` rows, the sum of -weight log pi over trained tokens, divided by the
    number of these tokens, times `stream_weights` (1 where not named); plus `value_weight` times the mean squared
    error of a value head, which is trained where it is given. `steps` wins over `epochs`; `micro_batch`: rows of one
    backward pass, which changes no result. `warmup`: share of the steps.

    `policy`: what `load_policy` takes, or a loaded policy, whose model is then trained in place. Writes `out/model`,
    `out/metrics.jsonl`, `out/settings.json`, `out/result.json`, and checkpoints while it runs (`save_every` 0: none).
    Called again with the same arguments after a kill it goes on and, on a CPU, ends with the same weights and metrics
    as a run that was not killed; a finished run is returned. `resume` False starts anew. Raises InputError for rows
    or settings that cannot work, or an `out` that holds another run.
    """
    settings = {
        "lr": lr,
        "steps": steps,
        "epochs": epochs,
        "batch": batch,
        "schedule": schedule,
        "warmup": warmup,
        "weight_decay": weight_decay,
        "max_grad_norm": max_grad_norm,
        "value_weight": value_weight,
        "stream_weights": dict(stream_weights or {}),
        "save_every": save_every,
        "seed": seed,
    }
    micro = _checked(settings, micro_batch)
    return _run(trainable(policy), rows, settings, micro, RunDirectory(Path(out)), resume, progress)


def _checked(settings: Mapping[str, Any], micro_batch: int | None) -> int:
    """Rows of one backward pass; InputError for settings that cannot work."""
    batch, steps = settings["batch"], settings["steps"]
    micro = batch if micro_batch is None else micro_batch
    if (
        min(batch, micro, steps or 1) < 1
        or steps == 0
        or settings["epochs"] <= 0
        or settings["save_every"] < 0
    ):
        raise InputError(
            f"supervised: got batch={batch}, micro_batch={micro_batch}, steps={steps}, epochs={settings['epochs']}, "
            f"save_every={settings['save_every']}; expected positive numbers (save_every: or 0)."
        )
    return int(min(micro, batch))


def _run(
    policy: TrainablePolicy,
    rows: Sequence[Row],
    settings: Mapping[str, Any],
    micro: int,
    run: RunDirectory,
    resume: bool,
    progress: Progress,
) -> SupervisedResult:
    about = {**settings, "start": policy.fingerprint, "records": content_id([r.to_record() for r in rows])}
    about = json.loads(json.dumps(about))
    if resume:
        run.refuse_other(about)
        if (done := run.finished()) is not None:
            _restore(policy, run.model)
            return _result(run, done)
    valued = settings["value_weight"] is not None
    encoded, dropped = encoded_rows(rows, policy, settings["stream_weights"], valued)
    trainer, tokens, checkpoint = _trainer(policy, encoded, settings, micro, run, about, resume, progress)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    _finish(policy, run, valued)
    steps = trainer.state.global_step
    result = {"steps": steps, "rows": len(encoded), "dropped": dict(dropped), "tokens": dict(tokens)}
    run.close(policy, result)
    return _result(run, result)


def encoded_rows(
    rows: Sequence[Row], policy: TrainablePolicy, stream_weights: Mapping[str, float], valued: bool
) -> tuple[list[Encoded], Counter[str]]:
    """What can be trained on, and how many rows cannot, by reason. InputError when none can."""
    context = getattr(policy.model.config.get_text_config(), "max_position_embeddings", None)
    out, dropped = [], Counter[str]()
    for row in rows:
        made = encode(row, policy.tokenizer)
        made = made if valued else replace(made, values=())
        if context is not None and len(made.ids) > context:
            dropped["too-long"] += 1
        elif not made.tokens and not made.values:
            dropped["nothing-to-train"] += 1
        else:
            factor = stream_weights.get(made.stream, 1.0)
            out.append(replace(made, weights=tuple(factor * w for w in made.weights)))
    if not out:
        raise InputError(
            f"rows: got {len(rows)}, none that can be trained on ({dict(dropped)}), expected at least one."
        )
    return out, dropped


def _trainer(
    policy: TrainablePolicy,
    rows: Sequence[Encoded],
    settings: Mapping[str, Any],
    micro: int,
    run: RunDirectory,
    about: Mapping[str, Any],
    resume: bool,
    progress: Progress,
) -> tuple[SupervisedTrainer, Counter[str], Path | None]:
    from preceptor.learn.supervised import trainer as parts
    from preceptor.learn.supervised import value

    order = parts.orders(
        len(rows), settings["batch"], settings["steps"], settings["epochs"], settings["seed"]
    )
    data = parts.small_batches(rows, order, micro)
    tokens: Counter[str] = Counter()
    for i in (i for step in order for i in step):
        tokens[rows[i].stream] += rows[i].tokens
    checkpoint = run.checkpoints.latest() if resume else None
    log = run.open(about, checkpoint)
    _without_dropout(policy.model)
    if settings["value_weight"] is not None:
        value.attach(policy.model)
    accumulation = -(-settings["batch"] // micro)
    pad = getattr(policy.tokenizer, "pad_token_id", None) or 0
    callback = parts.Rows(log, run.checkpoints, progress)
    made = parts.SupervisedTrainer(
        model=policy.model,
        args=parts.arguments(settings, len(order), accumulation, run.path / "checkpoints"),
        train_dataset=data,
        data_collator=partial(parts.collate, pad=pad),
        callbacks=[callback],
        value_weight=settings["value_weight"],
    )
    callback.trainer = made
    return made, tokens, checkpoint


def _without_dropout(model: Any) -> None:
    """A seed is then enough to repeat a run, in small batches or large."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def _finish(policy: TrainablePolicy, run: RunDirectory, valued: bool) -> None:
    from preceptor.learn.supervised import value

    model: Any = policy.model
    model.eval()
    model.zero_grad(set_to_none=True)
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ModelError(f"{name}: got weights that are not finite after training. Lower `lr`.")
    if valued:
        value.save(value.detach(model), run.path)
    policy.refresh()


def _result(run: RunDirectory, record: Mapping[str, Any]) -> SupervisedResult:
    return SupervisedResult(
        run.model, run.metrics, **{k: record[k] for k in ("steps", "rows", "dropped", "tokens")}
    )


def _restore(policy: TrainablePolicy, saved: Path) -> None:
    """The finished run's weights into the policy that was given."""
    from preceptor.policy.load import load_policy

    found: Any = load_policy(str(saved), dtype="float32")
    model: Any = policy.model
    model.load_state_dict(found.model.state_dict())
    policy.refresh()
