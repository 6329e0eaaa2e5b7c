"""Step scores to one number.

`aggregate(scores, how)` is the only door; `how` is a name of `AGGREGATORS`, a name with its arguments
(`"window:3:min"`, `"discounted:0.9"`, `"neg_count:0.5"`, `"first_error:0.5"`), or any function of a list of
floats. No score at all gives None, which means *unscored*: not 0, not 0.5, not -1. Scores are required to be
probabilities only where the formula needs that; products are taken in log space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Aggregate = Callable[[list[float]], float]
"""Maps a non-empty list of finite scores, in the order of the steps, to one number."""

PROD_FLOOR = 1e-12
LOGIT_CLIP = 1e-7
ODDS_CLIP = 1e-6


def _probabilities(scores: Sequence[float], low: float = 0.0, high: float = 1.0) -> list[float]:
    """`scores` clipped to [low, high]; anything outside [0, 1] is refused."""
    for t, score in enumerate(scores):
        if not 0 <= score <= 1:
            raise ValueError(
                f"aggregate: got score {score} at step {t}, expected a probability in [0, 1]. Use an "
                "aggregator that takes any number (last, min, mean, sum), or map the scores with a sigmoid."
            )
    return [min(max(score, low), high) for score in scores]


def _log_sum(scores: Sequence[float]) -> float:
    # fsum is exact, so permuted steps tie exactly
    return math.fsum(math.log(p) for p in _probabilities(scores, low=PROD_FLOOR))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _logits(scores: Sequence[float], clip: float) -> list[float]:
    return [math.log(p / (1 - p)) for p in _probabilities(scores, clip, 1 - clip)]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def mean_odds(scores: list[float]) -> float:
    return _mean([p / (1 - p) for p in _probabilities(scores, ODDS_CLIP, 1 - ODDS_CLIP)])


def sum_adv(scores: list[float], start: float = 0.0) -> float:
    """Sum of the gains `r_t - r_(t-1)` with `r_0 = start`; telescopes."""
    return scores[-1] - start


def window(k: int, how: str | Aggregate = "mean") -> Aggregate:
    """`how` over the last `k` steps (all of them when there are fewer)."""
    if k < 1:
        raise ValueError(f"window: got k={k}, expected at least one step")
    inner = resolve(how)
    return lambda scores: inner(scores[-k:])


def discounted(gamma: float) -> Aggregate:
    """Mean with weight `gamma^(T-t)`: 1 is the plain mean, towards 0 the last step decides."""
    if not 0 < gamma <= 1:
        raise ValueError(f"discounted: got gamma={gamma}, expected 0 < gamma <= 1")

    def apply(scores: list[float]) -> float:
        weights = [gamma ** (len(scores) - 1 - t) for t in range(len(scores))]
        return math.fsum(w * r for w, r in zip(weights, scores, strict=True)) / math.fsum(weights)

    return apply


def neg_count(theta: float) -> Aggregate:
    """Minus the number of steps scored strictly below `theta`."""
    return lambda scores: -float(sum(r < theta for r in scores))


def first_error(theta: float) -> Aggregate:
    """0-based index of the first step scored strictly below `theta`, over the number of steps; 1 if none."""
    return lambda scores: next((t / len(scores) for t, r in enumerate(scores) if r < theta), 1.0)


AGGREGATORS: dict[str, Aggregate] = {
    "first": lambda r: r[0],
    "geomean": lambda r: math.exp(_log_sum(r) / len(r)),
    "last": lambda r: r[-1],
    "max": max,
    "mean": _mean,
    "mean_logit": lambda r: _sigmoid(_mean(_logits(r, ODDS_CLIP))),
    "mean_odds": mean_odds,
    "min": min,
    "prod": lambda r: math.exp(_log_sum(r)),
    "sum": math.fsum,
    "sum_adv": sum_adv,
    "sum_log": _log_sum,
    "sum_logit": lambda r: math.fsum(_logits(r, LOGIT_CLIP)),
}

PARAMETRIC: dict[str, Callable[..., Aggregate]] = {
    "discounted": discounted,
    "first_error": first_error,
    "neg_count": neg_count,
    "window": window,
}


def resolve(how: str | Aggregate) -> Aggregate:
    """The function behind a name; unknown names raise a ValueError that lists the known ones."""
    if not isinstance(how, str):
        return how
    name, *arguments = how.split(":")
    if name in AGGREGATORS and not arguments:
        return AGGREGATORS[name]
    if name in PARAMETRIC and arguments:
        try:
            values: list[Any] = [int(arguments[0]) if name == "window" else float(arguments[0])]
        except ValueError:
            values = []
        if values and len(arguments) <= (2 if name == "window" else 1):
            return PARAMETRIC[name](*values, *arguments[1:])
    raise ValueError(
        f"aggregate: got {how!r}, expected one of {sorted(AGGREGATORS)} or discounted:GAMMA, "
        "first_error:THETA, neg_count:THETA, window:K[:NAME]"
    )


def aggregate(
    scores: Sequence[float | None] | None,
    how: str | Aggregate = "last",
    *,
    missing: str | float = "skip",
) -> float | None:
    """One number for the steps of one trace, or None when nothing was scored.

    `missing` says what an absent score (None or NaN) inside the vector becomes: `"skip"` leaves the step
    out, `"error"` raises, a number takes its place.

    >>> aggregate([0.9, 0.5, 0.8], "min")
    0.5
    >>> aggregate([], "min") is None
    True
    """
    known: list[float] = []
    for t, score in enumerate(scores or ()):
        if score is not None and not math.isnan(score):
            known.append(score)
        elif missing == "error":
            raise ValueError(f"aggregate: step {t} has no score. Use missing='skip' or a number instead.")
        elif missing != "skip":
            known.append(float(missing))
    function = resolve(how)
    return function(known) if known else None


def graded_probability(good: float, neutral: float, bad: float, *, neutral_is_good: bool) -> float:
    """One step score from a three-class reward model.

    `neutral_is_good` has no default: both readings are published, and they rank solutions differently.
    """
    total = good + neutral + bad
    if min(good, neutral, bad) < 0 or total <= 0:
        raise ValueError(f"graded_probability: got ({good}, {neutral}, {bad}), expected weights >= 0")
    return (good + (neutral if neutral_is_good else 0.0)) / total
