"""What a method pays for besides rightness, found out on a few texts of which everything is known.

Four checks of a `CreditConfig`, each exact: the same every time, no sampling.

- `step_count`: one solution written in 2, 4 and 8 steps of the same tokens, right and wrong, all in one group:
  which cut gets the higher advantage? Asked at three levels of scores, since many a bias turns with their sign.
- `shift`: what a constant added to all signals changes (a scorer that is a little too kind everywhere).
- `telescopes`: whether an inner score matters to what a text earns in total.
- `repetition`: what the first of n repeated good steps earns beside the step that goes on instead.

Differences are in units of the gap between right and wrong texts, so methods of different scales compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from preceptor.credit.config import CreditConfig
from preceptor.credit.pipeline import compute
from preceptor.credit.synthetic import Text, pair, reads_potentials
from preceptor.credit.types import Array, Ragged

BODY, ANSWER = 21, 3
"""Tokens of a solution and of its answer step."""
CUTS = (2, 4, 8)
"""Steps, the answer step included; 1, 3 and 7 divide the body."""
SEPARATORS = {at * BODY // (n - 1) - 1 for n in CUTS for at in range(1, n)}
INSIDE = [at for at in range(BODY) if at not in SEPARATORS]
"""Tokens that no cut makes the end of a step."""
LEVELS = {"low": (0.4, 0.1), "middle": (0.65, 0.35), "high": (0.95, 0.65)}
"""Rating of right and wrong steps."""
INNER = 1
"""Of the 4 steps: neither the first, nor the answer, nor the one before it."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class StepCount:
    """Advantage of 2, 4 and 8 steps by level, in units of the gap between right and wrong; `(3,)` each."""

    right: dict[str, Array]
    wrong: dict[str, Array]

    @property
    def size(self) -> float:
        """The largest difference between two cuts of the same text."""
        rows = [*self.right.values(), *self.wrong.values()]
        return float(max(np.ptp(row) for row in rows))

    @property
    def verdict(self) -> str:
        """`none`, `more`, `fewer`, `about 4`, `not 4`, on what it depends, or `mixed`."""
        right = {level: trend(row) for level, row in self.right.items()}
        wrong = {level: trend(row) for level, row in self.wrong.items()}
        if len(both := _ways(right) | _ways(wrong)) <= 1:
            return next(iter(both), "none")
        if len(_ways(right)) <= 1 and len(_ways(wrong)) <= 1:
            named = (("right", _ways(right)), ("wrong", _ways(wrong)))
            return ", ".join(f"{next(iter(way))} when {name}" for name, way in named if way)
        ends = {level: {right[level], wrong[level]} for level in ("low", "high")}
        if all(len(way) == 1 for way in ends.values()) and ends["low"] != ends["high"]:
            return ", ".join(f"{next(iter(way))} at {level} scores" for level, way in ends.items())
        return "mixed"


def _ways(trends: dict[str, str]) -> set[str]:
    return set(trends.values()) - {"none"}


def trend(row: Array) -> str:
    """Of the advantages of 2, 4 and 8 steps."""
    up = np.sign(np.where(np.abs(np.diff(row)) < TOLERANCE, 0.0, np.diff(row))).tolist()
    if min(up) >= 0:
        return "more" if max(up) > 0 else "none"
    if max(up) <= 0:
        return "fewer"
    return "about 4" if up[0] > 0 else "not 4"


def step_count(config: CreditConfig) -> StepCount:
    """Mean advantage on tokens that no cut makes a separator of."""
    right, wrong = {}, {}
    for level in LEVELS:
        texts = [written(ok, n, level) for ok in (True, False) for n in CUTS]
        means = np.array([a[INSIDE].mean() for a in _advantages(config, texts)])
        gap = _gap(means[:3].mean() - means[3:].mean(), means)
        right[level], wrong[level] = means[:3] / gap, means[3:] / gap
    return StepCount(right, wrong)


def shift(config: CreditConfig, by: float = 0.1) -> float:
    """Largest change of an advantage, in units of the gap, when `by` is added to every process signal (to the
    outcome, for a method that reads nothing else)."""
    texts = [written(ok, n, "middle") for ok in (True, False) for n in CUTS]
    moved = [
        replace(
            t,
            outcome=t.outcome if config.needs - {"outcome", "nodes", "answer"} else t.outcome + by,
            ratings=tuple(r + by for r in t.ratings),
            potentials=tuple(p + by for p in t.potentials),
            tokens=tuple(x + by for x in t.tokens),
        )
        for t in texts
    ]
    before, after = _advantages(config, texts), _advantages(config, moved, start=0.5 + by)
    means = np.array([a.mean() for a in before])
    return float(
        max(np.abs(a - b).max() for a, b in zip(after, before, strict=True))
        / _gap(means[:3].mean() - means[3:].mean(), means)
    )


def telescopes(config: CreditConfig) -> str:
    """What becomes of a text when the score of an inner step is moved and its neighbours stay.

    `sum`: its steps together earn the same; `own`: that step's credit moves and no other; `return`: the first step,
    which answers for all, earns the same; `ignored`: nothing moves; `no`: none of it, an inner score counts for the
    whole; `-` for a method whose advantages hold no score of a step or token. Token scores are moved between two steps,
    which is the same. Each stream by itself, whitening left off: scales are another matter.
    """
    streams = [s for s in config.streams if s.needs & {"scores", "tokens"}]
    found = [_kind(replace(config, streams=(s,), before=None, after=())) for s in streams]
    return ", ".join(dict.fromkeys(found)) or "-"


def _kind(config: CreditConfig) -> str:
    texts = [written(ok, 4, "middle", less) for ok in (True, False) for less in (0.0, 0.03)]
    before = _advantages(config, texts)
    kept = dict.fromkeys(("ignored", "sum", "own", "return"), True)
    for by in (0.25, -0.25):
        after = _advantages(config, [_bumped(config, texts[0], by), *texts[1:]])
        old, new = _relative(before), _relative(after)
        kept["ignored"] &= all(np.allclose(a, b) for a, b in zip(after, before, strict=True))
        kept["sum"] &= bool(np.isclose(old.sum(), new.sum()))
        kept["own"] &= bool(np.allclose(np.delete(old, INNER), np.delete(new, INNER)))
        kept["return"] &= bool(np.isclose(old[0], new[0]))
    return next((kind for kind, still in kept.items() if still), "no")


def repetition(config: CreditConfig, times: Sequence[int] = (1, 2, 4, 8)) -> Array:
    """`(len(times),)` advantage of the first of n repeated good steps over that of the step that goes on, in units of
    the gap. Positive: repeating pays. Growing with n: without bound."""
    gains = []
    for n in times:
        texts = [*(written(ok, 4, "middle", k) for ok in (True, False) for k in (0.0, 0.03)), _repeating(n)]
        rows = _advantages(config, texts)
        third = np.array([a[14:20].mean() for a in rows])
        gains.append((third[4] - third[0]) / _gap(third[:2].mean() - third[2:4].mean(), third))
    return np.array(gains)


def written(right: bool, steps: int, level: str = "middle", less: float = 0.0) -> Text:
    """A solution that is right or wrong throughout, in so many steps, the last its answer. `less` is taken from every
    opinion."""
    rating = LEVELS[level][0 if right else 1] - less
    size = BODY // (steps - 1)
    sizes = (size,) * (steps - 1) + (ANSWER,)
    climb = [(0.4 if right else -0.4) * t / (steps - 1) for t in (*range(1, steps), steps - 1)]
    return Text(
        "q",
        float(right),
        sizes,
        (rating,) * steps,
        tuple(0.5 + c - less for c in climb),
        ((2 * rating - 1) / 7,) * sum(sizes),
        "1" if right else "2",
        tuple((right, steps, less, t) for t in range(steps)),
    )


def _repeating(times: int) -> Text:
    """The right text in 4 steps, its second step repeated so many times, each repeat rated a little better."""
    plain, kind = written(True, 4), 0.05
    cut = sum(plain.sizes[:2])
    return replace(
        plain,
        sizes=(*plain.sizes[:2], *plain.sizes[1:2] * times, *plain.sizes[2:]),
        ratings=(*plain.ratings[:2], *(plain.ratings[1] + kind,) * times, *plain.ratings[2:]),
        potentials=(*plain.potentials[:2], *plain.potentials[1:2] * times, *plain.potentials[2:]),
        tokens=(*plain.tokens[:cut], *(plain.tokens[0] + 2 * kind / 7,) * 7 * times, *plain.tokens[cut:]),
        nodes=tuple(("repeats", times, t) for t in range(4 + times)),
    )


def _bumped(config: CreditConfig, text: Text, by: float) -> Text:
    """The inner step with another opinion; of the tokens, the sum so far is another there."""
    tokens, size = np.array(text.tokens), text.sizes[0]
    tokens[size * INNER + 1] += by
    tokens[size * INNER + size + 1] -= by
    moved = replace(text, tokens=tuple(tokens.tolist()))
    if reads_potentials(config):
        return replace(moved, potentials=tuple(x + by * (t == INNER) for t, x in enumerate(text.potentials)))
    return replace(moved, ratings=tuple(x + by * (t == INNER) for t, x in enumerate(text.ratings)))


def _advantages(config: CreditConfig, texts: Sequence[Text], start: float = 0.5) -> Ragged:
    """Filters off: a text that is dropped has no advantage to look at."""
    bare = replace(config, before=None)
    return compute(*pair(bare, texts, start), bare).advantages


def _gap(gap: float, values: Array) -> float:
    """The gap, or the spread of the values where right and wrong are not told apart, or 1 where nothing is."""
    spread = float(np.ptp(values))
    return abs(gap) if abs(gap) > TOLERANCE else spread if spread > TOLERANCE else 1.0


def _relative(rows: Ragged) -> Array:
    """`(4,)` credit of the first text's steps, on the scale of the last two texts' first tokens, so that nothing here
    depends on a scale or a constant of all texts."""
    edges = [0, *(BODY * t // 3 for t in (1, 2, 3))]
    steps = np.add.reduceat(rows[0], edges) / np.diff([*edges, len(rows[0])])
    span = rows[3][0] - rows[2][0]
    return np.asarray((steps - rows[2][0]) / (span if abs(span) > TOLERANCE else 1.0), dtype=float)
