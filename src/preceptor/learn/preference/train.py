"""`train_preference`: from records to a trained policy, resumable from its last checkpoint.

The reference is the policy as it is given. Left out: adapters, several processes, held-out accuracy during training
(sample from the saved model).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.learn.directory import RunDirectory
from preceptor.learn.preference.config import PreferenceConfig
from preceptor.learn.preference.records import Attempt, Pair
from preceptor.learn.rollouts import TrainablePolicy, needs_trl, trainable
from preceptor.progress import Progress, silent
from preceptor.trace import content_id


@dataclass(frozen=True)
class PreferenceResult:
    model: Path
    """Directory in the Hugging Face format."""
    metrics: Path
    steps: int
    records: int
    """Records trained on."""
    encoded: int
    """Pieces without ids, whose text was encoded."""
    dropped: Mapping[str, int]
    """Records left out, by reason."""
    processed_tokens: int
    """Tokens that went through the model, prompts and prefixes included."""
    trained_tokens: int
    """Those that the loss reads."""
    seconds: float = field(compare=False, default=0.0)
    """Of the last start."""


def train_preference(
    policy: str | Path | TrainablePolicy,
    records: Sequence[Pair] | Sequence[Attempt],
    *,
    out: str | Path,
    loss: str = "dpo",
    save_every: int = 0,
    resume: bool = False,
    progress: Progress = silent,
    **settings: Any,
) -> PreferenceResult:
    """Train `policy` on `records` and save it under `out`; `settings` are fields of `PreferenceConfig`.

    `policy`: what `load_policy` takes, or a loaded policy, whose model is then trained in place. `loss`: a name in
    `LOSSES`; `METHODS` has the published settings of the methods.

    `save_every` N: a checkpoint every N optimizer steps; after a kill the same call with `resume=True` goes on from
    the last whole one and, on a CPU, ends with the same weights and rows as if nothing had happened. A finished run
    is read, not repeated, and leaves the policy alone.

    Writes `out/model`, `out/metrics.jsonl` (a row an optimizer step), `out/settings.json` and `out/result.json`.
    Raises InputError for records or settings that cannot work, or that are not those of the run to resume, and
    MissingExtra without the extra `rl`.
    """
    config, began = PreferenceConfig(loss=loss, **settings), time.perf_counter()
    _check(records, config)
    if save_every < 0:
        raise InputError(f"save_every: got {save_every}, expected a number of steps, or 0 for no checkpoints")
    needs_trl("preference training")
    loaded, here = trainable(policy), RunDirectory(Path(out))
    about = {**config.to_record(), "start": loaded.fingerprint, **_about(records)}
    checkpoint = None
    if resume:
        here.refuse_other(about)
        if (done := here.finished()) is not None:
            return PreferenceResult(here.model, here.metrics, **done)
        checkpoint = here.checkpoints.latest()
    from preceptor.learn.preference.session import PreferenceSession

    session = PreferenceSession(loaded, records, config, here, save_every, progress)
    session.train(here.open(about, checkpoint), checkpoint)
    session.finish()
    result = {**session.figures(), "seconds": round(time.perf_counter() - began, 3)}
    here.close(loaded, result)
    loaded.refresh()
    return PreferenceResult(here.model, here.metrics, **result)


def _check(records: Sequence[Pair] | Sequence[Attempt], config: PreferenceConfig) -> None:
    from preceptor.learn.preference.objectives import LOSSES

    objective = LOSSES.get(config.loss)
    if objective is None:
        raise InputError(f"loss: got {config.loss!r}, expected one of {sorted(LOSSES)}")
    if not records:
        raise InputError("records: got none, expected at least one. Why builders drop: see `Built.dropped`.")
    for record in records:
        if not isinstance(record, objective.record):
            raise InputError(
                f"loss {config.loss!r}: got a {type(record).__name__}, expected {objective.record.__name__}s"
            )
        if record.weight != 1.0 and not objective.weighted:
            weighted = [name for name, o in LOSSES.items() if o.weighted]
            raise InputError(
                f"loss {config.loss!r}: got a weight of {record.weight}, which it does not read. Use one of "
                f"{weighted}, or weights of 1."
            )
        head = record.meta.get("head", 0)
        if config.loss == "mah_dpo" and not 0 <= head < config.heads:
            raise InputError(f"mah_dpo: got a pair of head {head}, expected less than heads={config.heads}")


def _about(records: Sequence[Pair] | Sequence[Attempt]) -> dict[str, Any]:
    """A run goes on only with the same records in the same order."""
    digest = content_id([content_id(r.to_record()) for r in records])
    return {"records": len(records), "records_id": digest}
