"""What a value is compared with, and on which scale.

The unit says what is averaged and what each value is charged. One number a rollout, charged to all its values:

- `prompt`: a rollout's first value (its whole return), averaged over the prompt's rollouts;
- `batch`: the same over the whole batch;
- `rollout`: the mean of a rollout's values, averaged over the prompt's rollouts;
- `token`: the mean value of a token over the prompt.

Charges that add up to one number a rollout, whatever the number of steps, so that cutting a text into more or
fewer steps earns nothing:

- `share`: a rollout's summed values, averaged over the prompt's rollouts; charged by share of tokens;
- `rate`: summed values per token over the prompt; charged per token.

Values compared one by one:

- `steps`: all values of the prompt pooled, each counting once (tokens, at token level);
- `turn`: the values at the same index of the prompt's rollouts;
- `node`: the values of tree nodes with the same parent, each node counting once however many rollouts share it.

`steps` and `rollout` on steps pay for fewer, longer steps; they are here because methods are published so. A
value with nothing to be compared with (one member) gives advantage 0; it is not learned from raw.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor.credit.batch import Batch
from preceptor.credit.config import Op
from preceptor.credit.types import Array, Ragged

EPS = 1e-4
"""Added to the standard deviation, as in TRL and verl."""

Unit = Literal["prompt", "batch", "rollout", "token", "share", "rate", "steps", "turn", "node"]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Center(Op):
    """Values minus their reference, NaN where there is none to compare with.

    `std` divides by the root mean square of the centered values themselves, n - 1 in the denominator, plus
    `eps`; with one value a rollout and the mean form this is the sample standard deviation. Taken of the
    centered values, never of the raw ones, it cannot blow up a group whose totals happen to agree.
    `population` has n in the denominator.
    """

    unit: Unit = "prompt"
    form: Literal["none", "mean", "leave_one_out"] = "mean"
    scale: Literal["none", "std", "population"] = "none"
    eps: float = EPS

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"nodes"}) if self.unit == "node" else frozenset()

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        if self.form == "none":
            centered = [v.copy() for v in values]
        elif self.unit in ("steps", "turn", "node"):
            centered = self._one_by_one(values, batch)
        else:
            centered = self._by_rollout(values, batch)
        return centered if self.scale == "none" else self._scaled(centered, batch)

    def _by_rollout(self, values: Ragged, batch: Batch) -> Ragged:
        out = [np.full(len(v), np.nan) for v in values]
        for members in [list(range(len(batch)))] if self.unit == "batch" else batch.groups:
            mine, sizes = [values[i] for i in members], [batch.sizes[i] for i in members]
            charges = _CHARGES[self.unit](mine, sizes, self.form == "leave_one_out")
            for i, value, charge in zip(members, mine, charges, strict=True):
                out[i] = value - charge
        return out

    def _one_by_one(self, values: Ragged, batch: Batch) -> Ragged:
        x, cells = _flat(values), _cells(values, batch, self.unit)
        sums, counts = cells.sums(x)
        total, count = sums[cells.cell], counts[cells.cell]
        if self.form == "leave_one_out":
            total, count = total - cells.means(x)[cells.member], count - 1
        charge = np.divide(total, count, out=np.full(len(x), np.nan), where=counts[cells.cell] > 1)
        return _ragged(x - charge, values)

    def _scaled(self, centered: Ragged, batch: Batch) -> Ragged:
        x, cells = _flat(centered), _cells(centered, batch, self.unit)
        squares, counts = cells.sums(np.square(x))
        freedom = np.maximum(counts - (1 if self.scale == "std" else 0), 1)
        return _ragged(x / (np.sqrt(squares / freedom)[cells.cell] + self.eps), centered)


@dataclass(frozen=True)
class LeaveOneOutScale(Op):
    """Times K / (K - 1), K the prompt's rollouts with a value: after a mean baseline this makes one value a
    rollout leave-one-out exactly. For several it is what PRIME's code does."""

    def __call__(self, values: Ragged, batch: Batch) -> Ragged:
        out = [x.copy() for x in values]
        for members in batch.groups:
            k = sum(not np.isnan(values[i]).all() for i in members)
            for i in members:
                out[i] = values[i] * (k / (k - 1) if k > 1 else 1.0)
        return out


def _reference(sums: Array, counts: Array, leave_one_out: bool) -> Array:
    """Mean of a group's values seen from each member; `counts` is 0 for a member without a value.

    NaN when no *other* member has a value.
    """
    total, count = sums.sum(), counts.sum()
    others = count - counts
    if leave_one_out:
        mean = np.divide(total - sums, others, out=np.full(len(sums), np.nan), where=others > 0)
    else:
        mean = np.full(len(sums), total / count if count else np.nan)
    return np.where((counts > 0) & (others > 0), mean, np.nan)


def _charge_prompt(values: Ragged, sizes: Ragged, leave_one_out: bool) -> Ragged:
    firsts = np.array([next((x for x in v if not np.isnan(x)), np.nan) for v in values])
    known = (~np.isnan(firsts)).astype(float)
    means = _reference(np.nan_to_num(firsts), known, leave_one_out)
    return [np.full(len(v), m) for v, m in zip(values, means, strict=True)]


def _charge_rollout(values: Ragged, sizes: Ragged, leave_one_out: bool) -> Ragged:
    known = np.array([float((~np.isnan(v)).any()) for v in values])
    firsts = np.array([np.nanmean(v) if k else 0.0 for v, k in zip(values, known, strict=True)])
    means = _reference(firsts, known, leave_one_out)
    return [np.full(len(v), m) for v, m in zip(values, means, strict=True)]


def _charge_share(values: Ragged, sizes: Ragged, leave_one_out: bool) -> Ragged:
    known = np.array([float((~np.isnan(v)).any()) for v in values])
    means = _reference(np.array([np.nansum(v) for v in values]), known, leave_one_out)
    charges = []
    for value, size, mean in zip(values, sizes, means, strict=True):
        carried = np.where(np.isnan(value), 0.0, size)
        charges.append(mean * carried / max(carried.sum(), 1.0))
    return charges


def _charge_token(values: Ragged, sizes: Ragged, leave_one_out: bool) -> Ragged:
    known = [np.where(np.isnan(v), 0.0, n) for v, n in zip(values, sizes, strict=True)]
    sums = np.array([float(np.nan_to_num(v) @ n) for v, n in zip(values, known, strict=True)])
    means = _reference(sums, np.array([n.sum() for n in known]), leave_one_out)
    return [np.full(len(v), m) for v, m in zip(values, means, strict=True)]


def _charge_rate(values: Ragged, sizes: Ragged, leave_one_out: bool) -> Ragged:
    known = [np.where(np.isnan(v), 0.0, n) for v, n in zip(values, sizes, strict=True)]
    sums = np.array([float(np.nansum(v)) for v in values])
    means = _reference(sums, np.array([n.sum() for n in known]), leave_one_out)
    return [m * n for m, n in zip(means, known, strict=True)]


_CHARGES = {
    "batch": _charge_prompt,
    "prompt": _charge_prompt,
    "rate": _charge_rate,
    "rollout": _charge_rollout,
    "share": _charge_share,
    "token": _charge_token,
}


class _Cells(NamedTuple):
    """Which values are compared with which, over all values of the batch in one row (n,)."""

    cell: Ints
    """`(n,)` values of one cell are compared with each other."""
    member: Ints
    """`(n,)` values of one member count as one."""
    home: Ints
    """`(members,)` cell of each member."""

    def means(self, x: Array) -> Array:
        """`(members,)` mean of each member's known values; NaN for none."""
        known, width = ~np.isnan(x), len(self.home)
        counts = np.bincount(self.member[known], minlength=width)
        sums = np.bincount(self.member[known], x[known], minlength=width)
        return np.divide(sums, counts, out=np.full(width, np.nan), where=counts > 0)

    def sums(self, x: Array) -> tuple[Array, Array]:
        """`(cells,)` sum over the members' means and number of members with one."""
        means, width = self.means(x), int(self.home.max(initial=-1)) + 1
        known = ~np.isnan(means)
        sums = np.bincount(self.home[known], means[known], minlength=width).astype(float)
        return sums, np.bincount(self.home[known], minlength=width).astype(float)


def _cells(values: Ragged, batch: Batch, unit: str) -> _Cells:
    sizes = np.array([len(v) for v in values], dtype=np.int64)
    group = np.repeat(batch.group, sizes)
    each = np.arange(len(group))
    if unit == "batch":
        return _Cells(np.zeros_like(group), each, np.zeros_like(group))
    if unit == "turn":
        width = int(sizes.max(initial=0))
        at = np.concatenate([np.arange(n) for n in sizes]) if len(sizes) else each
        cell = group * max(width, 1) + at
        return _Cells(cell, each, cell)
    if unit == "node":
        cell = _numbers(
            [(r.prompt_id, p) for r, row in zip(batch.rollouts, batch.parents, strict=True) for p in row]
        )
        member = _numbers(
            [(r.prompt_id, n) for r, row in zip(batch.rollouts, batch.nodes, strict=True) for n in row]
        )
        home = np.zeros(int(member.max(initial=-1)) + 1, dtype=np.int64)
        home[member] = cell
        return _Cells(cell, member, home)
    return _Cells(group, each, group)


def _numbers(keys: list[Hashable]) -> Ints:
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(k, len(seen)) for k in keys], dtype=np.int64)


def _flat(values: Ragged) -> Array:
    return np.concatenate(values) if values else np.zeros(0)


def _ragged(flat: Array, like: Ragged) -> Ragged:
    return np.split(flat, np.cumsum([len(v) for v in like])[:-1]) if like else []
