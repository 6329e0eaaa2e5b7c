"""SORM (GLoRe, arXiv 2402.10963): a step is right if any rollout from it succeeds *by using it*.

(1) `used_success`: a right rollout counts only if the step's result occurs in what it wrote; else a rollout
that starts from scratch validates every step. (2) `propagate`: a right step makes all steps before it right,
so labels never rise. (3) `balance_positions`: as many right as wrong labels at every prefix length, so that
position tells nothing. Published K = 8 rollouts (from memory). Only the last number of a step is checked by
default; give `uses` for more.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from preceptor.trace import stream_seed

_NUMBER = re.compile(r"(?:(?<![\d)])-)?\d+(?:,\d{3})*(?:\.\d+)?")


def result_used(step: str, continuation: str) -> bool:
    """Whether the last number of `step` stands in `continuation` as a number of its own ("1" is not in "11").

    True for a step without a number: nothing can be checked.
    """
    results = _NUMBER.findall(step)
    return not results or _plain(results[-1]) in {_plain(n) for n in _NUMBER.findall(continuation)}


def used_success(
    step: str,
    rollouts: Sequence[tuple[str, bool | None]],
    *,
    uses: Callable[[str, str], bool] = result_used,
) -> float | None:
    """The label of `step` from rollouts (text after the prefix, was it right): 1 if a right one used the
    step, 0 if none did, None when no rollout was decided."""
    decided = [(text, right) for text, right in rollouts if right is not None]
    if not decided:
        return None
    return float(any(right and uses(step, text) for text, right in decided))


def propagate(labels: Sequence[float | None]) -> tuple[float | None, ...]:
    """Every step before the last right one becomes right, unlabelled ones too; labels are 0, 1 or None."""
    last = max((t for t, y in enumerate(labels) if y == 1), default=-1)
    return tuple(1.0 if t <= last else y for t, y in enumerate(labels))


def balance_positions(
    labels: Sequence[Sequence[float | None]], *, seed: int = 0, threshold: float = 0.5
) -> list[tuple[float | None, ...]]:
    """The labels of a data set with surplus ones made None, until at each position t right (>= threshold) and
    wrong are equally many. Which ones go depends on `seed` and t only."""
    kept = [list(row) for row in labels]
    for t in range(max(map(len, kept), default=0)):
        here = [(i, row[t]) for i, row in enumerate(kept) if t < len(row)]
        right = [i for i, y in here if y is not None and y >= threshold]
        wrong = [i for i, y in here if y is not None and y < threshold]
        more, fewer = (right, wrong) if len(right) > len(wrong) else (wrong, right)
        draw = random.Random(stream_seed("balance-positions", seed, t))
        for i in draw.sample(more, len(more) - len(fewer)):
            kept[i][t] = None
    return [tuple(row) for row in kept]


def _plain(number: str) -> float:
    return float(number.replace(",", ""))
