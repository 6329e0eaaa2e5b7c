"""What to log: enough to see a reward being hacked before the outcome falls.

`process_right` against `process_wrong` shows whether the scorer tells right completions from wrong ones;
`steps_mean`, `steps_max` and `tokens_per_step` show a policy that plays with the step boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.credit.types import Ragged, Rollout


def summarize(
    rollouts: Sequence[Rollout], rewards: Ragged | None, outcome: Ragged, steps: Ragged
) -> dict[str, float]:
    """Figures of one batch. `rewards` are step rewards `(T_i,)`, None for a method without; `outcome` and
    `steps` are the two streams on tokens `(L_i,)`, weights applied. A mean over nothing is left out rather
    than reported as 0; `unjudged` counts decided rollouts that no step score was given for."""
    known = [r.outcome for r in rollouts if r.outcome is not None]
    counts = np.array([len(r.spans) for r in rollouts], dtype=float)
    tokens = np.array([r.mask.sum() for r in rollouts], dtype=float)
    right = np.array([r.outcome is not None and r.outcome > 0 for r in rollouts], dtype=bool)
    wrong = np.array([r.outcome is not None and r.outcome <= 0 for r in rollouts], dtype=bool)
    figures = {
        "rollouts": float(len(rollouts)),
        "undecided": float(len(rollouts) - len(known)),
        "outcome_mean": _mean(np.array(known, dtype=float)),
        "flat_groups": _flat_groups(rollouts),
        "steps_mean": _mean(counts),
        "steps_max": float(counts.max()) if len(counts) else np.nan,
        "tokens_per_step": float(tokens.sum() / counts.sum()) if counts.sum() else np.nan,
        "outcome_rms": _rms(outcome),
    }
    if rewards is not None:
        totals = np.array([np.nan if np.isnan(r).all() else np.nansum(r) for r in rewards])
        figures |= {
            "unjudged": float(np.isnan(totals[right | wrong]).sum()),
            "process_mean": _mean(totals),
            "process_right": _mean(totals[right]),
            "process_wrong": _mean(totals[wrong]),
            "step_rms": _rms(steps),
        }
    return {k: v for k, v in figures.items() if not np.isnan(v)}


def _mean(x: np.ndarray) -> float:
    x = x[~np.isnan(x)]
    return float(x.mean()) if len(x) else np.nan


def _rms(x: Ragged) -> float:
    flat = np.concatenate(x) if x else np.zeros(0)
    return float(np.sqrt(np.mean(np.square(flat)))) if len(flat) else np.nan


def _flat_groups(rollouts: Sequence[Rollout]) -> float:
    """Share of prompts whose decided outcomes are all the same."""
    seen: dict[str, set[float]] = {}
    for r in rollouts:
        if r.outcome is not None:
            seen.setdefault(r.prompt_id, set()).add(r.outcome)
    return float(np.mean([len(s) == 1 for s in seen.values()])) if seen else np.nan
