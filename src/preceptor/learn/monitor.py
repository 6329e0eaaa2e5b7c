"""Signs that a policy is being paid for something else than right answers, told while it happens.

Every detector compares the mean of the last `window` batches with the mean of the first `warmup`, so slow
drift shows and one odd batch does not. A change counts when it is larger than the detector's own limit and
than `NOISE` standard errors of the reference batches. Limits: not found, ours; wide on purpose, since a
warning that comes in healthy runs is not read. What each looks for (pitfalls of the process-reward papers):

    divergence      the scorer's scores rise and the verifier's verdicts do not (arXiv 2410.15115, 2504.15275)
    wrong_reward    scores of wrong completions come as close to those of right ones as to lose their meaning
    steps, length   twice or half as many as at the start
    separators      steps per token twice or half: the policy plays with the step boundary (arXiv 2504.15275)
    repetition      the same runs of tokens, or the same steps, over and over (arXiv 2410.15115)
    answers         several answers in one completion, written for a judge to choose from
    kl              distance to the starting policy; needs `kl` > 0, else it is not known
    falling         fewer right answers than at the start; compared are the first and the last third of the run,
                    since batches of different problems differ more than a slow fall in a few of them
    flat_groups     groups come out all right or all wrong and nothing is left to learn from

A warning says that a person should read completions, not that the run is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.errors import InputError
from preceptor.learn.figures import Figures

NOISE = 4.0


@dataclass(frozen=True)
class HackWarning:
    """`value` is what the detector measured last, `reference` what it is compared with."""

    kind: str
    step: int
    value: float
    reference: float

    def to_record(self) -> dict[str, Any]:
        return {"kind": self.kind, "value": self.value, "reference": self.reference}


@dataclass(frozen=True)
class Drift:
    """One figure then and now."""

    reference: float
    now: float
    error: float
    """Standard error of `now - reference`, from how much the reference batches differ."""

    @property
    def change(self) -> float:
        return self.now - self.reference

    @property
    def real(self) -> bool:
        return abs(self.change) > NOISE * self.error


def drift(history: Sequence[Figures], name: str, warmup: int, window: int) -> Drift | None:
    """None while there are fewer than `warmup + window` batches that have the figure."""
    values = [f[name] for f in history if name in f]
    if len(values) < warmup + window:
        return None
    first, last = values[:warmup], values[-window:]
    spread = float(np.std(first, ddof=1)) if warmup > 1 else 0.0
    error = spread * math.sqrt(1 / warmup + 1 / window)
    return Drift(float(np.mean(first)), float(np.mean(last)), error)


Finding = tuple[float, float] | None
"""(value, reference), or None when there is nothing to say."""


def doubled(name: str, factor: float = 2.0) -> Callable[[Sequence[Figures], int, int], Finding]:
    """The figure is `factor` times, or one `factor`-th of, what it was."""

    def look(history: Sequence[Figures], warmup: int, window: int) -> Finding:
        found = drift(history, name, warmup, window)
        if found is None or not found.real or found.reference <= 0:
            return None
        inside = found.reference / factor < found.now < found.reference * factor
        return None if inside else (found.now, found.reference)

    return look


def risen(*names: str, by: float) -> Callable[[Sequence[Figures], int, int], Finding]:
    """One of the figures is higher by `by` than it was."""

    def look(history: Sequence[Figures], warmup: int, window: int) -> Finding:
        for name in names:
            found = drift(history, name, warmup, window)
            if found is not None and found.real and found.change > by:
                return found.now, found.reference
        return None

    return look


def above(name: str, limit: float) -> Callable[[Sequence[Figures], int, int], Finding]:
    """The last `window` values are above a limit that needs no reference."""

    def look(history: Sequence[Figures], warmup: int, window: int) -> Finding:
        values = [f[name] for f in history if name in f][-window:]
        return (float(np.mean(values)), limit) if len(values) == window and np.mean(values) > limit else None

    return look


def divergence(history: Sequence[Figures], warmup: int, window: int, limit: float = 0.75) -> Finding:
    """Scores rose by `limit` standard deviations of a completion, outcomes by less than a quarter of that.

    Each is measured in its own standard deviation over the completions of the reference batches, so the
    scale of the scorer does not matter."""
    score, outcome = (drift(history, name, warmup, window) for name in ("score", "outcome"))
    spread = drift(history, "score_std", warmup, window)
    if score is None or outcome is None or spread is None or spread.reference <= 0:
        return None
    risen_by = score.change / spread.reference
    rate = min(max(outcome.reference, 0.01), 0.99)
    learned = outcome.change / math.sqrt(rate * (1 - rate))
    paid_for_nothing = score.real and risen_by > limit and learned < risen_by / 4
    return (score.now, score.reference) if paid_for_nothing else None


def wrong_reward(history: Sequence[Figures], warmup: int, window: int, least: float = 0.25) -> Finding:
    """The gap between scores of right and of wrong completions has shrunk to a quarter, having been at
    least `least` standard deviations. Value and reference are gaps."""
    both = [f for f in history if {"score_right", "score_wrong", "score_std"} <= set(f)]
    gaps = [{"gap": f["score_right"] - f["score_wrong"], "std": f["score_std"]} for f in both]
    gap, spread = drift(gaps, "gap", warmup, window), drift(gaps, "std", warmup, window)
    if gap is None or spread is None or gap.reference <= least * spread.reference:
        return None
    return (gap.now, gap.reference) if gap.real and gap.now < gap.reference / 4 else None


def flat_groups(history: Sequence[Figures], warmup: int, window: int, limit: float = 0.9) -> Finding:
    """Nearly all groups have become flat while the problems are not solved."""
    flat, outcome = (drift(history, name, warmup, window) for name in ("flat_groups", "outcome"))
    if flat is None or outcome is None or not flat.real or flat.reference > limit:
        return None
    return (flat.now, flat.reference) if flat.now > limit and outcome.now < limit else None


def falling(
    history: Sequence[Figures], warmup: int, window: int, share: float = 0.1, noise: float = 3.0
) -> Finding:
    """Outcomes of the last third are lower than those of the first by `share` of them and by `noise` standard errors,
    each third taken with its own spread."""
    values = np.array([f["outcome"] for f in history if "outcome" in f])
    third = max(len(values) // 3, 2 * warmup, 2 * window)
    if len(values) < 2 * third:
        return None
    first, last = values[:third], values[-third:]
    error = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / third)
    was, now = float(first.mean()), float(last.mean())
    return (now, was) if now < min((1 - share) * was, was - noise * error) else None


DETECTORS: dict[str, Callable[[Sequence[Figures], int, int], Finding]] = {
    "divergence": divergence,
    "wrong_reward": wrong_reward,
    "steps": doubled("steps"),
    "length": doubled("length"),
    "separators": doubled("separators"),
    "repetition": risen("repetition", "repeated_steps", by=0.15),
    "answers": risen("answers", by=0.5),
    "kl": above("kl", limit=0.5),
    "falling": falling,
    "flat_groups": flat_groups,
}


class Monitor:
    """Watches a run. `stop_on`: the kinds that end it; the model is then saved as it is."""

    def __init__(self, *, stop_on: Collection[str] = (), warmup: int = 5, window: int = 5):
        unknown = sorted(set(stop_on) - set(DETECTORS))
        if unknown:
            raise InputError(f"stop_on: got {unknown}, expected some of {sorted(DETECTORS)}.")
        if warmup < 2 or window < 1:
            raise InputError(f"warmup, window: got {warmup}, {window}, expected at least 2 and 1.")
        self.stop_on, self.warmup, self.window = frozenset(stop_on), warmup, window
        self.history: list[dict[str, float]] = []

    def see(self, step: int, figures: Figures) -> list[HackWarning]:
        """Takes in one batch and says what is wrong after it."""
        self.history.append(dict(figures))
        found = {kind: look(self.history, self.warmup, self.window) for kind, look in DETECTORS.items()}
        return [HackWarning(kind, step, *hit) for kind, hit in found.items() if hit is not None]

    def stops(self, warnings: Sequence[HackWarning]) -> HackWarning | None:
        """The first warning that ends the run."""
        return next((w for w in warnings if w.kind in self.stop_on), None)
