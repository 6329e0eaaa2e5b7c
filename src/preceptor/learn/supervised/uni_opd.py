"""Uni-OPD: teacher log-ratios as advantages, calibrated so that right trajectories stay above wrong ones (abstract
index 167).

Token advantage A = log pi_T - log pi_S; a trajectory's score is its mean. Per prompt gap = mean right - mean wrong
(`margin` "mean") or least right - greatest wrong ("extremes"). Where gap < delta every token is shifted by delta -
gap: up for right ones, down for wrong ones, or half each ("both"); afterwards the gap is delta. Groups that are apart
far enough, or have one side only, are untouched; delta = -inf is plain on-policy distillation. Instead of shifting,
`greedy_masked` drops the worst right or best wrong trajectory, whichever raises the gap most, until it is delta.

Tokens with |A| >= 10 and trajectories the teacher failed on are masked. Published: delta 0.4, both, mean, n = 16. The
least share that greedy masking keeps, the band of medium prompts and how often they repeat: not found, ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError
from preceptor.learn.data.rows import Row, token_row
from preceptor.learn.supervised.reading import Logps
from preceptor.trace import Trace

Margin = Literal["mean", "extremes"]
Direction = Literal["correct_up", "incorrect_down", "both"]
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
SHARES = {"correct_up": (1.0, 0.0), "incorrect_down": (0.0, 1.0), "both": (0.5, 0.5)}


def token_advantages(
    teacher: Sequence[Logps], student: Sequence[Sequence[float]], limit: float = 10.0
) -> tuple[list[Array], list[Mask]]:
    """(L_i,) each: log-ratios, and which of them train. A failed teacher call masks the whole trajectory."""
    values, masks = [], []
    for t, s in zip(teacher, student, strict=True):
        gap = np.zeros(len(s)) if t is None else np.asarray(t) - np.asarray(s)
        fine = np.isfinite(gap) & (np.abs(gap) < limit) & (t is not None)
        values.append(np.where(fine, gap, 0.0))
        masks.append(fine)
    return values, masks


def scores(values: Sequence[Array], masks: Sequence[Mask]) -> Array:
    """(N,) mean over unmasked tokens; NaN without one."""
    return np.array([v[m].mean() if m.any() else np.nan for v, m in zip(values, masks, strict=True)])


def gap_of(right: Array, wrong: Array, margin: Margin = "mean") -> float | None:
    """Between the scores of two sides; None when one is empty."""
    right, wrong = right[~np.isnan(right)], wrong[~np.isnan(wrong)]
    if not len(right) or not len(wrong):
        return None
    return float(right.mean() - wrong.mean() if margin == "mean" else right.min() - wrong.max())


def calibrated(
    values: Sequence[Array],
    masks: Sequence[Mask],
    correct: Sequence[bool],
    groups: Sequence[str],
    *,
    delta: float = 0.4,
    margin: Margin = "mean",
    direction: Direction = "both",
) -> list[Array]:
    """The advantages, shifted where the gap of a group is below `delta`. One group for all: the global scope."""
    if direction not in SHARES or margin not in ("mean", "extremes"):
        raise InputError(
            f"uni-opd: got {direction!r} and {margin!r}, expected one of {sorted(SHARES)} and a margin."
        )
    out, found, good = [v.copy() for v in values], scores(values, masks), np.asarray(correct, dtype=bool)
    for mine in _members(groups):
        gap = gap_of(found[mine & good], found[mine & ~good], margin)
        if gap is None or gap >= delta:
            continue
        up, down = (share * (delta - gap) for share in SHARES[direction])
        for i in map(int, np.flatnonzero(mine)):
            out[i] = np.where(masks[i], out[i] + (up if good[i] else -down), 0.0)
    return out


def greedy_masked(
    values: Sequence[Array],
    masks: Sequence[Mask],
    correct: Sequence[bool],
    groups: Sequence[str],
    *,
    delta: float = 0.4,
    margin: Margin = "mean",
    least: float = 0.5,
) -> list[Mask]:
    """The masks with trajectories dropped whole; of each group at least the share `least` of trajectories stays, and
    one of each side."""
    out, found, good = [m.copy() for m in masks], scores(values, masks), np.asarray(correct, dtype=bool)
    for mine in _members(groups):
        floor = least * np.count_nonzero(mine & ~np.isnan(found))
        while (gap := gap_of(found[mine & good], found[mine & ~good], margin)) is not None and gap < delta:
            tries = {}
            for side, pick in ((mine & good, np.nanargmin), (mine & ~good, np.nanargmax)):
                places = np.flatnonzero(side & ~np.isnan(found))
                if len(places) > 1:
                    i = int(places[pick(found[places])])
                    after = np.where(np.arange(len(found)) == i, np.nan, found)
                    tries[i] = gap_of(after[mine & good], after[mine & ~good], margin) or 0.0
            best = max(tries, key=lambda i: tries[i], default=None)
            if best is None or np.count_nonzero(mine & ~np.isnan(found)) - 1 < floor or tries[best] <= gap:
                break
            found[best], out[best] = np.nan, np.zeros_like(out[best])
    return out


def _members(groups: Sequence[str]) -> list[Mask]:
    names = np.asarray(groups, dtype=object)
    return [names == g for g in dict.fromkeys(groups)]


def uni_rows(traces: Sequence[Trace], values: Sequence[Array], masks: Sequence[Mask]) -> list[Row]:
    """Rows for one update of `train_supervised`; masked tokens are context, wholly masked trajectories give none."""
    return [
        token_row(t, v.tolist(), m.tolist(), "opd")
        for t, v, m in zip(traces, values, masks, strict=True)
        if m.any() and t.token_ids is not None
    ]


def repeats(
    pass_rates: Sequence[float | None], low: float = 0.2, high: float = 0.8, times: int = 2
) -> list[int]:
    """How often each prompt stands in the data: `times` where its pass rate is in [low, high], else once."""
    return [times if r is not None and low <= r <= high else 1 for r in pass_rates]


def balanced(correct: Sequence[bool], ratio: float = 1.0) -> list[bool]:
    """Which rollouts to keep so that right : wrong is at most `ratio` and at least 1 / `ratio`; the first ones stay.
    A batch of one side only is kept whole."""
    right, wrong = sum(correct), len(correct) - sum(correct)
    if not right or not wrong:
        return [True] * len(correct)
    most = {True: int(wrong * max(ratio, 1 / ratio)), False: int(right * max(ratio, 1 / ratio))}
    seen = {True: 0, False: 0}
    keep = []
    for c in correct:
        seen[bool(c)] += 1
        keep.append(seen[bool(c)] <= most[bool(c)])
    return keep
