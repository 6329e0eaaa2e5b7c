"""Human ratings -1, 0, 1 (PRM800K, "Let's Verify Step by Step") as targets or class indices.

What a neutral step is decides the data set: the paper and Qwen count it as right, a widely used conversion as
wrong, HRM leaves it out. So there is no default. None stands for a step nobody rated and stays None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from preceptor.errors import InputError

Neutral = Literal["positive", "negative", "ignored"]


def rating_targets(ratings: Sequence[int | None], *, neutral: Neutral) -> tuple[float | None, ...]:
    """1 -> 1, -1 -> 0, and 0 as `neutral` says; raises InputError for another rating."""
    choices: dict[str, float | None] = {"positive": 1.0, "negative": 0.0, "ignored": None}
    if neutral not in choices:
        raise InputError(f"neutral: got {neutral!r}, expected positive, negative or ignored.")
    meaning: dict[int | None, float | None] = {1: 1.0, 0: choices[neutral], -1: 0.0, None: None}
    return tuple(meaning[_known(r, t)] for t, r in enumerate(ratings))


def rating_classes(ratings: Sequence[int | None]) -> tuple[float | None, ...]:
    """-1, 0, 1 -> class 0, 1, 2 (wrong, neutral, right), for `losses.class_index` with C = 3.

    Score P(1) + P(2) (neutral counts as right, from memory) or P(2). Labels end with the first -1: that is
    `after_error(..., "mask", threshold=0.5)`, since class 0 is the only one below.
    """
    known = [_known(r, t) for t, r in enumerate(ratings)]
    return tuple(None if r is None else float(r + 1) for r in known)


def _known(rating: int | None, step: int) -> int | None:
    if rating not in (None, -1, 0, 1) or isinstance(rating, bool):
        raise InputError(
            f"rating of step {step}: got {rating!r}, expected -1, 0, 1 or None. A 0/1 label is no rating: "
            "use it as a target."
        )
    return rating
