"""Stage 2: step rewards -> step rewards, one rollout at a time. NaN stays NaN."""

from __future__ import annotations

from collections.abc import Callable

from preceptor.credit.types import Array


def identity(rewards: Array) -> Array:
    return rewards


def signed(rewards: Array) -> Array:
    """A probability as `p(right) - p(wrong)`, in [-1, 1]."""
    return 2.0 * rewards - 1.0


TRANSFORMS: dict[str, Callable[[Array], Array]] = {"identity": identity, "signed": signed}
