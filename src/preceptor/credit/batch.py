"""The rollouts of one batch with their signals, as sources and operations see them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from preceptor.credit.types import Array, Flags, Level, Ragged, Rollout, Signals
from preceptor.errors import InputError

ROOT = ("root",)
"""Parent of every first step."""


@dataclass(frozen=True)
class Batch:
    """N rollouts in their order. `level` is that of the values an operation was given beside the batch."""

    rollouts: tuple[Rollout, ...]
    signals: Signals
    present: Flags
    """`(N,)` False for a rollout that is in no stream: undecided, or dropped by `CreditConfig.before`."""
    level: Level = "rollout"

    @classmethod
    def of(
        cls, rollouts: Sequence[Rollout], signals: Signals | None = None, undecided: bool = False
    ) -> Batch:
        """All decided rollouts present; with `undecided` the others too. Refuses signals of another shape."""
        signals = signals or Signals()
        _check(rollouts, signals)
        present = np.array([undecided or r.outcome is not None for r in rollouts], dtype=bool)
        return cls(tuple(rollouts), signals, present)

    def __len__(self) -> int:
        return len(self.rollouts)

    def at(self, level: Level) -> Batch:
        """The same batch for values of another level."""
        return self if level == self.level else replace(self, level=level)

    def only(self, kept: Flags) -> Batch:
        """The same batch with every rollout absent that is not in `kept`, `(N,)`."""
        return replace(self, present=self.present & kept)

    def blank(self, values: Ragged) -> Ragged:
        """NaN for the rollouts that are not present."""
        return [
            np.asarray(x, dtype=float) if here else np.full(len(x), np.nan)
            for x, here in zip(values, self.present, strict=True)
        ]

    def absent(self, level: Level) -> Ragged:
        """Arrays of a level's shape, all NaN."""
        return [np.full(len(s), np.nan) for s in self.at(level).sizes]

    @cached_property
    def sizes(self) -> Ragged:
        """How many sampled tokens each entry of this level stands for."""
        if self.level == "rollout":
            return [np.array([float(r.mask.sum())]) for r in self.rollouts]
        if self.level == "step":
            return [r.tokens for r in self.rollouts]
        return [r.mask.astype(float) for r in self.rollouts]

    @cached_property
    def group(self) -> NDArray[np.int64]:
        """`(N,)` number of each rollout's prompt."""
        numbers: dict[str, int] = {}
        return np.array(
            [numbers.setdefault(r.prompt_id, len(numbers)) for r in self.rollouts], dtype=np.int64
        )

    @cached_property
    def groups(self) -> list[list[int]]:
        """Indices of the present rollouts of each prompt, prompts in order of appearance."""
        found: dict[int, list[int]] = {}
        for i, number in enumerate(self.group.tolist()):
            if self.present[i]:
                found.setdefault(number, []).append(i)
        return list(found.values())

    @cached_property
    def outcomes(self) -> Array:
        """`(N,)`; NaN for an undecided or absent rollout."""
        known = [r.outcome is not None and bool(p) for r, p in zip(self.rollouts, self.present, strict=True)]
        return np.array(
            [r.outcome if k else np.nan for r, k in zip(self.rollouts, known, strict=True)], dtype=float
        )

    @cached_property
    def rates(self) -> Array:
        """`(N,)` mean outcome of each rollout's prompt over its present rollouts; NaN when there is none."""
        known = ~np.isnan(self.outcomes)
        width = int(self.group.max(initial=-1)) + 1
        counts = np.bincount(self.group[known], minlength=width)
        sums = np.bincount(self.group[known], self.outcomes[known], minlength=width)
        rates = np.divide(sums, counts, out=np.full(width, np.nan), where=counts > 0)
        return np.asarray(rates[self.group], dtype=float)

    @cached_property
    def nodes(self) -> list[tuple[Hashable, ...]]:
        """Per rollout the node id of each step; a rollout without ids is a chain nobody shares."""
        return [
            tuple(("chain", i, t) for t in range(len(r.spans))) if r.nodes is None else r.nodes
            for i, r in enumerate(self.rollouts)
        ]

    @cached_property
    def parents(self) -> list[tuple[Hashable, ...]]:
        """Per rollout the parent node of each step; `ROOT` for the first."""
        parents = [(ROOT, *row[:-1]) if row else () for row in self.nodes]
        seen: dict[Hashable, Hashable] = {}
        for r, row, above in zip(self.rollouts, self.nodes, parents, strict=True):
            for node, parent in zip(row, above, strict=True):
                if seen.setdefault((r.prompt_id, node), parent) != parent:
                    raise InputError(
                        f"rollouts of prompt {r.prompt_id}: got node {node!r} under two parents, expected a "
                        "tree: equal ids only for steps whose whole prefix is shared."
                    )
        return parents


def last_carrier(sizes: Array) -> int:
    """Index of the last entry that has a sampled token; the last entry when none has.

    A reward put where no token is would be lost.
    """
    carriers = np.flatnonzero(sizes > 0)
    return int(carriers[-1]) if len(carriers) else len(sizes) - 1


def _check(rollouts: Sequence[Rollout], signals: Signals) -> None:
    rows = {
        "step scores": signals.scores,
        "start values": signals.start,
        "token scores": signals.tokens,
        "verdicts": signals.verdicts,
        **{f"scalars {name!r}": given for name, given in (signals.scalars or {}).items()},
    }
    for what, row in rows.items():
        if row is not None and len(row) != len(rollouts):
            raise InputError(
                f"credit: got {what} of {len(row)} rollouts, expected {len(rollouts)}, in the same order."
            )
    for i, r in enumerate(rollouts):
        if signals.scores is not None:
            _same(signals.scores[i], len(r.spans), i, r, "scores", "one a step (None for an unjudged one)")
        if signals.tokens is not None:
            _same(signals.tokens[i], r.length, i, r, "token scores", "one a token")
        for flags in signals.verdicts[i] if signals.verdicts is not None else ():
            _same(
                flags, len(r.spans), i, r, "flags in a verdict", "one a step (None for an unreadable verdict)"
            )


def _same(row: Sequence[object] | None, expected: int, i: int, rollout: Rollout, what: str, how: str) -> None:
    if row is not None and len(row) != expected:
        raise InputError(
            f"credit: rollout {i} of prompt {rollout.prompt_id}: got {len(row)} {what}, expected {expected}, {how}."
        )
