"""Hindsight values (MAH-DPO): success from a prefix, discounted by how many steps it was still away.

The exact published target was not found; ours is v_t = mean over rollouts of gamma^(T_k - t) * z_k, where
rollout k ended after T_k steps counted from the start. gamma = 1 is plain Monte Carlo; published gamma 0.9.
Loss: `losses.hindsight`.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.errors import InputError


def hindsight_values(
    rollouts: Sequence[Sequence[tuple[int, float | None]]], *, gamma: float = 0.9
) -> tuple[float | None, ...]:
    """`rollouts[t - 1]` are those from the prefix of t steps: (steps of the finished solution, outcome).

    Undecided rollouts (None) do not count; a prefix without a decided one has no target. Raises InputError
    for a solution shorter than its prefix.
    """
    if not 0 < gamma <= 1:
        raise InputError(f"gamma: got {gamma}, expected a number in (0, 1].")
    return tuple(_value(t, found, gamma) for t, found in enumerate(rollouts, start=1))


def _value(t: int, rollouts: Sequence[tuple[int, float | None]], gamma: float) -> float | None:
    if any(length < t for length, _ in rollouts):
        raise InputError(
            f"prefix of {t} steps: got a solution of {min(n for n, _ in rollouts)} steps, expected "
            "the steps of prefix and continuation together."
        )
    decided = [gamma ** (length - t) * z for length, z in rollouts if z is not None]
    return sum(decided) / len(decided) if decided else None
