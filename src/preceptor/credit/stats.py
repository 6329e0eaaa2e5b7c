"""What to log: enough to see a reward being hacked before the outcome falls.

`process_right` against `process_wrong` shows whether the scorer tells right completions from wrong ones;
`steps_mean`, `steps_max` and `tokens_per_step` show a policy that plays with the step boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.config import CreditConfig, total
from preceptor.credit.sources import Outcome
from preceptor.credit.types import Array, Ragged, Rollout


def summarize(batch: Batch, config: CreditConfig, streams: list[Ragged]) -> dict[str, float]:
    """Figures of one batch. `streams` are on tokens `(L_i,)`, weights applied, in the order of the method's.

    `process_*` are totals of the first source that is not the outcome, before any operation; `outcome_rms`
    and `step_rms` are of the streams from the outcome and from anything else. A mean over nothing is left out
    rather than reported as 0; `unjudged` counts decided rollouts of which that source says nothing.
    """
    rollouts = batch.rollouts
    known = [r.outcome for r in rollouts if r.outcome is not None]
    counts = np.array([len(r.spans) for r in rollouts], dtype=float)
    tokens = np.array([r.mask.sum() for r in rollouts], dtype=float)
    right, wrong = batch.outcomes > 0, batch.outcomes <= 0
    from_outcome = [isinstance(s.source, Outcome) for s in config.streams]
    figures = {
        "rollouts": float(len(rollouts)),
        "undecided": float(len(rollouts) - len(known)),
        "outcome_mean": _mean(np.array(known, dtype=float)),
        "flat_groups": _flat_groups(rollouts),
        "steps_mean": _mean(counts),
        "steps_max": float(counts.max()) if len(counts) else np.nan,
        "tokens_per_step": float(tokens.sum() / counts.sum()) if counts.sum() else np.nan,
        "outcome_rms": _rms(total([x for x, own in zip(streams, from_outcome, strict=True) if own], batch)),
    }
    others = [s for s, own in zip(config.streams, from_outcome, strict=True) if not own]
    if others:
        rewards = others[0].source.of(batch)
        totals = np.array([np.nan if np.isnan(r).all() else np.nansum(r) for r in rewards])
        figures |= {
            "unjudged": float(np.isnan(totals[right | wrong]).sum()),
            "process_mean": _mean(totals),
            "process_right": _mean(totals[right]),
            "process_wrong": _mean(totals[wrong]),
            "step_rms": _rms(
                total([x for x, own in zip(streams, from_outcome, strict=True) if not own], batch)
            ),
        }
    if config.before is not None:
        figures["dropped"] = float(len(known) - batch.present.sum())
    return {k: v for k, v in figures.items() if not np.isnan(v)}


def pair_accuracy(scores: Sequence[float | None], rollouts: Sequence[Rollout]) -> float | None:
    """How well a scorer of whole rollouts orders each prompt's rollouts by outcome (PRIME's metric).

    Over all pairs with different outcomes: the share with the same order of scores, a tie counting half,
    weighted by the difference of the outcomes; averaged over prompts, 0.5 for a prompt without such a pair.
    None without any scored and decided rollout.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for score, r in zip(scores, rollouts, strict=True):
        if score is not None and r.outcome is not None:
            groups.setdefault(r.prompt_id, []).append((score, r.outcome))
    accuracies = []
    for members in groups.values():
        pairs = [(a, b) for i, a in enumerate(members) for b in members[i + 1 :] if a[1] != b[1]]
        weight = sum(abs(a[1] - b[1]) for a, b in pairs)
        agreed = sum(abs(a[1] - b[1]) * _ordered(a, b) for a, b in pairs)
        accuracies.append(agreed / weight if pairs else 0.5)
    return float(np.mean(accuracies)) if accuracies else None


def _ordered(a: tuple[float, float], b: tuple[float, float]) -> float:
    return 0.5 if a[0] == b[0] else float((a[0] > b[0]) == (a[1] > b[1]))


def _mean(x: Array) -> float:
    x = x[~np.isnan(x)]
    return float(x.mean()) if len(x) else np.nan


def _rms(x: Ragged) -> float:
    flat = np.nan_to_num(np.concatenate(x)) if x else np.zeros(0)
    return float(np.sqrt(np.mean(np.square(flat)))) if len(flat) else np.nan


def _flat_groups(rollouts: Sequence[Rollout]) -> float:
    """Share of prompts whose decided outcomes are all the same."""
    seen: dict[str, set[float]] = {}
    for r in rollouts:
        if r.outcome is not None:
            seen.setdefault(r.prompt_id, set()).add(r.outcome)
    return float(np.mean([len(s) == 1 for s in seen.values()])) if seen else np.nan
