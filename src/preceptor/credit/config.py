"""The parts a method is put together from, and the method itself.

    method = sum of streams, then operations on tokens
    stream = source -> operation -> ... -> operation -> broadcast to tokens, times a weight

Every part is a frozen dataclass that is called with the batch. A part names what it reads in `reads`; the
needs of a method are those of its parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from preceptor.credit.batch import Batch
from preceptor.credit.spread import spread
from preceptor.credit.types import Array, Flags, Level, Ragged
from preceptor.errors import InputError


class Part:
    """Anything of a method that may read the rollouts' optional fields or the signals."""

    reads: ClassVar[frozenset[str]] = frozenset()
    """Fields of `Rollout` and `Signals` that must be given: outcome, answer, nodes, scores, tokens, ..."""

    @property
    def needs(self) -> frozenset[str]:
        """What this part reads and what the parts in its fields read."""
        needs = set(self.reads)
        for value in vars(self).values():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Part):
                    needs |= part.needs
        return frozenset(needs)


class Source(Part, ABC):
    """Where the numbers of a stream come from."""

    level: ClassVar[Level]

    @abstractmethod
    def __call__(self, batch: Batch) -> Ragged:
        """One array a rollout, of 1, T_i or L_i entries by `level`; NaN: absent."""

    def of(self, batch: Batch) -> Ragged:
        """The same with every rollout blank that is not present; what streams and operations read."""
        return batch.blank(self(batch))


class Op(Part, ABC):
    """Values -> values. NaN stays NaN: an operation invents nothing for what is absent."""

    level: ClassVar[Level | None] = None
    """Level of what comes out; None: as it came."""

    @abstractmethod
    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        """`batch.level` is the level of `values`."""


class RowOp(Op):
    """An operation that looks at one rollout at a time."""

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        return [self.row(x) for x in values]

    @abstractmethod
    def row(self, x: Array) -> Array: ...


class Filter(Part, ABC):
    """Chooses rollouts before any statistic is taken."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Flags:
        """`(N,)` True for the rollouts to go on with."""


class ClipRange(Part, ABC):
    """A clip range of its own for each token."""

    @abstractmethod
    def __call__(self, batch: Batch) -> tuple[Ragged, Ragged]:
        """Lower and upper half-widths, `(L_i,)` each, finite everywhere."""


@dataclass(frozen=True, init=False)
class Stream(Part):
    """`Stream(source, *ops, weight=1.0, on="all")`: one reward signal from its source to the tokens.

    `on` says which sampled tokens of a step (or of a rollout, at that level) get its value: all of them,
    undivided (the step is the action, its log-probability the sum over its tokens), or the last one.
    """

    source: Source
    ops: tuple[Op, ...]
    weight: float
    on: Literal["all", "end"]

    def __init__(self, source: Source, *ops: Op, weight: float = 1.0, on: Literal["all", "end"] = "all"):
        for name, value in (("source", source), ("ops", ops), ("weight", weight), ("on", on)):
            object.__setattr__(self, name, value)

    def values(self, batch: Batch) -> tuple[Ragged, Level]:
        """The values after the last operation, and their level."""
        values, level = self.source.of(batch), self.source.level
        for op in self.ops:
            values, level = op(values, batch.at(level)), op.level or level
        return values, level

    def tokens(self, batch: Batch) -> Ragged:
        """`(L_i,)` each, weight applied; NaN where the stream says nothing."""
        values, level = self.values(batch)
        return [self.weight * x for x in spread(values, batch.at(level), self.on)]


@dataclass(frozen=True)
class CreditConfig(Part):
    """One row of `METHODS`."""

    streams: tuple[Stream, ...]
    after: tuple[Op, ...] = ()
    """Operations on the sum of the streams, on tokens."""
    before: Filter | None = None
    """Drops rollouts before any statistic is taken."""
    keep: Literal["decided", "informative", "judged"] = "decided"
    """Which rollouts are trained on; see `filter.py`. `judged` lets undecided rollouts in."""
    shared: Literal["every", "once"] = "every"
    """Steps that stand in several rollouts (a flattened tree): trained in each, or in the first only."""
    clip: ClipRange | None = None
    aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """How a learner averages the token losses; nothing in this room depends on it."""

    def __post_init__(self) -> None:
        if not self.streams:
            raise InputError(
                "credit: got no stream, expected at least one, e.g. Stream(Outcome(), Center())."
            )
        for op in self.after:
            if op.level not in (None, "token"):
                raise InputError(
                    f"credit: got {op} after the streams, expected an operation that stays on tokens."
                )


def total(streams: list[Ragged], batch: Batch) -> Ragged:
    """Sum of streams on tokens, `(L_i,)` each: a silent stream adds 0; NaN on tokens that were not sampled
    and for rollouts that are not present."""
    out = []
    for i, (r, here) in enumerate(zip(batch.rollouts, batch.present, strict=True)):
        summed = np.zeros(r.length)
        for stream in streams:
            summed = summed + np.nan_to_num(stream[i])
        out.append(np.where(r.mask & here, summed, np.nan))
    return out
