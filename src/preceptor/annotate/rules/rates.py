"""Success rates of rollouts as targets: plain, hard, or weighted by how likely each rollout was (UnPRM).

The weight is exp(mean token log-probability), so a fluke counts less than a typical continuation. UnPRM
compares it with the rate of the bare problem: labels are 1 before the step it picks and 0 from there on
(`first_error_targets(e, T, policy="wrong")`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def success_rate(counts: tuple[int, int] | None) -> float | None:
    """Soft target of (successes, decided trials); None without a trial."""
    return counts[0] / counts[1] if counts is not None and counts[1] else None


def any_success(counts: tuple[int, int] | None) -> float | None:
    """Hard target: 1 if one rollout succeeded (Math-Shepherd, SORM before its filters)."""
    return float(counts[0] > 0) if counts is not None and counts[1] else None


def weighted_success(rollouts: Sequence[tuple[float, bool | None]]) -> float | None:
    """Share of the right ones in the sum of exp(mean log-probability); rollouts (mean log-probability,
    right).

    Undecided rollouts (None) do not count; None without a decided one.
    """
    decided = [(m, right) for m, right in rollouts if right is not None]
    if not decided:
        return None
    top = max(m for m, _ in decided)
    total = sum(math.exp(m - top) for m, _ in decided)
    return sum(math.exp(m - top) for m, right in decided if right) / total
