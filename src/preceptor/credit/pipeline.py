"""Rollouts and signals -> per-token advantages.

    before -> streams: source -> op -> ... -> op -> broadcast, times weight -+-> sum -> after -> keep, weights

No trainer and no tensor library in here; every array is float64. Left out: critics, losses, and anything
that needs a second forward pass (that is a scorer's work).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import CreditConfig, total
from preceptor.credit.filter import KEEP, token_weights
from preceptor.credit.stats import summarize
from preceptor.credit.types import AdvantageBatch, Rollout, Signals
from preceptor.errors import InputError

_GIVE = {
    "scores": ("step scores", "Give a scorer, or use a method of the outcome alone."),
    "tokens": (
        "token scores",
        "Give `Signals.tokens`: a number a token, e.g. an implicit reward's log-ratios.",
    ),
    "verdicts": ("verdicts", "Give `Signals.verdicts`: for each rollout the flags of each critique."),
    "nodes": ("tree nodes", "Give `Rollout.nodes`: an id a step, equal for shared prefixes."),
    "answer": ("answers", "Give `Rollout.answer`: the final answer in canonical form."),
}


def compute(rollouts: Sequence[Rollout], signals: Signals | None, config: CreditConfig) -> AdvantageBatch:
    """Advantages for N rollouts, in their order; groups are the rollouts with equal `prompt_id`.

    `signals` may be None for a method that needs none; `config.needs` names what must be given. Rollouts
    without an outcome are in no statistic and get advantage 0 and weight 0 (but see `keep="judged"`).
    """
    batch = Batch.of(rollouts, signals, undecided=config.keep == "judged")
    _check(batch, config)
    if config.before is not None:
        batch = batch.only(config.before(batch))
    streams = [stream.tokens(batch) for stream in config.streams]
    if config.keep == "judged":
        said = [any(not np.isnan(s[i]).all() for s in streams) for i in range(len(batch))]
        batch = batch.only(np.array(said, dtype=bool))
    combined = total(streams, batch)
    for op in config.after:
        combined = op(combined, batch.at("token"))
    keep = KEEP[config.keep](batch, combined)
    weights = token_weights(batch, keep, config.shared == "once")
    low, high = (None, None) if config.clip is None else config.clip(batch)
    return AdvantageBatch(
        advantages=[np.nan_to_num(a) * (w > 0) for a, w in zip(combined, weights, strict=True)],
        token_weights=weights,
        keep=tuple(bool(k) for k in keep),
        stats=summarize(batch, config, streams),
        clip_low=low,
        clip_high=high,
    )


def _check(batch: Batch, config: CreditConfig) -> None:
    """Refuses a batch that lacks what the method reads. One rollout may lack it; all of them may not."""
    signals = batch.signals
    for field in sorted(config.needs):
        if field == "outcome" or (field in ("nodes", "answer") and not len(batch)):
            continue
        if field.startswith("scalars."):
            name = field.removeprefix("scalars.")
            what, how = f"scalars {name!r}", f'Give `Signals.scalars={{"{name}": ...}}`: a number a rollout.'
            given = name in (signals.scalars or {})
        else:
            what, how = _GIVE[field]
            if field in ("nodes", "answer"):
                given = field == "answer" or any(r.nodes is not None for r in batch.rollouts)
            else:
                given = getattr(signals, field) is not None
        if not given:
            raise InputError(f"credit: got no {what}, expected some: the method reads {field!r}. {how}")
