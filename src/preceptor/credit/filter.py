"""Stage 7: which rollouts are trained on. Learners must leave the others out of the loss's denominator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from preceptor.credit.types import Ragged, Rollout


def decided(rollouts: Sequence[Rollout], advantages: Ragged) -> tuple[bool, ...]:
    """Every rollout with a verdict."""
    return tuple(r.outcome is not None for r in rollouts)


def informative(rollouts: Sequence[Rollout], advantages: Ragged) -> tuple[bool, ...]:
    """Of those, the ones whose prompt has any non-zero advantage (DAPO, arXiv 2503.14476).

    DAPO samples more prompts to fill the batch; here the batch gets smaller.
    """
    live = {r.prompt_id for r, a in zip(rollouts, advantages, strict=True) if a.any()}
    return tuple(r.outcome is not None and r.prompt_id in live for r in rollouts)


FILTERS: dict[str, Callable[[Sequence[Rollout], Ragged], tuple[bool, ...]]] = {
    "decided": decided,
    "informative": informative,
}
