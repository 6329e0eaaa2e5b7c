"""Progress labels: by how much did a step change the chance of success?

PAV (arXiv 2410.08146): A_t = Q(t) - Q(t-1) under a prover that is not the policy, for example best-of-K of
it, Q = 1 - (1 - Q_pi)^K. With prover = policy the advantage is a baseline shift; a prover that always or
never succeeds gives 0 everywhere. Search ranks by Q_pi + alpha * A (alpha 0.5, K = 4: from memory). RPE
(GenPRM, arXiv 2504.00891): the ratio Q(t) / Q(t-1), right if at least 0.8. The ratio is noisy where Q(t-1) is
small: spend more rollouts there. Values come from Monte Carlo counts, the last one from the grade.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from preceptor.errors import InputError

Values = Sequence[float | None]


def best_of(value: float, k: int) -> float:
    """Chance that at least one of `k` independent tries succeeds."""
    if k < 1:
        raise InputError(f"best_of: got k={k}, expected at least 1.")
    return 1 - (1 - value) ** k


def advantages(values: Values, root: float | None, *, prover_k: int = 1) -> tuple[float | None, ...]:
    """A_t of each step; `values[t]` after step t, `root` of the bare problem, both of the policy.

    `prover_k` > 1 takes the best-of-K prover. None next to an unknown value. They sum to Q(T) - Q(0).
    """
    chain = [None if v is None else best_of(v, prover_k) for v in (root, *values)]
    return tuple(None if a is None or b is None else b - a for a, b in pairwise(chain))


def effective_rewards(
    values: Values, root: float | None, *, alpha: float = 0.5, prover_k: int = 4
) -> tuple[float | None, ...]:
    """Q_pi(t) + alpha * A_t under the best-of-K prover: what search ranks prefixes by."""
    gains = advantages(values, root, prover_k=prover_k)
    return tuple(
        None if q is None or a is None else q + alpha * a for q, a in zip(values, gains, strict=True)
    )


def relative_progress(values: Values, root: float | None) -> tuple[float | None, ...]:
    """P_t = Q(t) / Q(t-1). After the first 0 every value counts as 0, and 0/0 as 0."""
    ratios: list[float | None] = []
    before, dead = root, root == 0
    for value in values:
        dead = dead or value == 0
        if dead:
            ratios.append(0.0)
        else:
            ratios.append(None if value is None or before is None else value / before)
        before = value
    return tuple(ratios)


def progress_labels(values: Values, root: float | None, *, epsilon: float = 0.8) -> tuple[float | None, ...]:
    """1 where the relative progress is at least `epsilon` (published 0.8), else 0. Towards epsilon = 0 these
    are hard Monte Carlo labels, cut at the first 0."""
    if epsilon <= 0:
        raise InputError(
            f"epsilon: got {epsilon}, expected a number above 0: a ratio of 0 is never progress."
        )
    return tuple(None if p is None else float(p >= epsilon) for p in relative_progress(values, root))
