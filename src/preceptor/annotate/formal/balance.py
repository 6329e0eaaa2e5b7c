"""FoVer's balancing: prefixes that end in right and in wrong steps equally often, and a balanced pool of traces.

The loss is then taken on the last shown step alone. Final answers and other steps are balanced apart, or the
position would tell. (The original sets apart the step before the last; ours is the last.) The pool: as many
traces of each gold verdict, and a share of all-right ones (published 10 to 20 %).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.errors import InputError
from preceptor.trace import stream_seed


@dataclass(frozen=True)
class Shown:
    """The first `steps` steps of trace number `trace`; only the last one is trained on."""

    trace: int
    steps: int
    label: float


def last_step_balanced(labels: Sequence[Sequence[float | None]], *, seed: int = 0) -> list[Shown]:
    """Of all prefixes of all traces, as many with a right (>= 0.5) as with a wrong last step; surplus is drawn by
    `seed`. Prefixes that end in an unlabelled step are left out."""
    rng = random.Random(stream_seed("last-step-balanced", seed))
    kept: list[Shown] = []
    for final in (False, True):
        here = [
            Shown(i, t + 1, y)
            for i, row in enumerate(labels)
            for t, y in enumerate(row)
            if y is not None and (t == len(row) - 1) is final
        ]
        right = [s for s in here if s.label >= 0.5]
        wrong = [s for s in here if s.label < 0.5]
        size = min(len(right), len(wrong))
        kept += rng.sample(right, size) + rng.sample(wrong, size)
    return sorted(kept, key=lambda s: (s.trace, s.steps))


def balanced_pool(
    verdicts: Sequence[str], all_right: Sequence[bool], *, right_share: float = 0.2, seed: int = 0
) -> list[int]:
    """Indices of the largest pool with equally many traces of each gold verdict, of which `right_share` have no
    wrong step. Empty where a verdict has no trace of a kind that is needed."""
    if len(verdicts) != len(all_right) or not 0 <= right_share <= 1:
        raise InputError(
            f"pool: got {len(verdicts)} verdicts, {len(all_right)} outcomes and right_share={right_share}, "
            "expected one outcome per trace and a share from 0 to 1"
        )
    rng = random.Random(stream_seed("balanced-pool", seed))
    cells = {
        (v, right): [i for i, (w, r) in enumerate(zip(verdicts, all_right)) if (w, bool(r)) == (v, right)]
        for v in sorted(set(verdicts))
        for right in (True, False)
    }

    def fits(size: int) -> bool:
        wanted = round(size * right_share)
        return all(len(rows) >= (wanted if right else size - wanted) for (_, right), rows in cells.items())

    size = next((n for n in range(len(verdicts), 0, -1) if fits(n)), 0)
    wanted = round(size * right_share)
    drawn = [
        i for (_, right), rows in cells.items() for i in rng.sample(rows, wanted if right else size - wanted)
    ]
    return sorted(drawn)
