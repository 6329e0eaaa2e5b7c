"""Stage 5: what a value is compared with, and on which scale.

The unit says what is averaged and what each step is charged:

- `prompt`: a rollout's first return, averaged over the prompt's rollouts; every step is charged all of it.
- `batch`: the same over the whole batch.
- `share`: a rollout's summed reward, averaged over the prompt's rollouts; a step is charged its share of
  the rollout's tokens. The charges of a rollout add up to one scalar whatever the number of steps, so
  cutting a text into more or fewer steps earns nothing.
- `token`: the mean value of a token over the prompt; every step is charged all of it.
- `turn`: the values at the same step index of the prompt's rollouts.

Averaging over pooled steps is left out: it pays for fewer, longer steps. A value with nothing to be compared
with (one member) gives advantage 0; it is not learned from raw.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from preceptor.credit.types import Array, Baseline, Ragged

EPS = 1e-4
"""Added to the standard deviation, as in TRL and verl."""


def advantages(values: Ragged, tokens: Ragged, groups: Sequence[str], config: Baseline) -> Ragged:
    """`(T_i,)` each: centered and scaled values. NaN where the value is absent or has no reference.

    `values` and `tokens` are `(T_i,)` each; `groups` names the prompt of each rollout. A rollout that must
    not count in any statistic has all its values NaN.
    """
    if config.form == "none":
        centered = [v.copy() for v in values]
    else:
        centered = _centered(values, tokens, groups, config)
    return centered if config.scale == "none" else _scaled(centered, groups, config.unit)


def _members(groups: Sequence[str], unit: str) -> list[list[int]]:
    if unit == "batch":
        return [list(range(len(groups)))]
    found: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        found.setdefault(group, []).append(i)
    return list(found.values())


def _centered(values: Ragged, tokens: Ragged, groups: Sequence[str], config: Baseline) -> Ragged:
    out = [np.full(len(v), np.nan) for v in values]
    for members in _members(groups, config.unit):
        mine, sizes = [values[i] for i in members], [tokens[i] for i in members]
        charges = _CHARGES[config.unit](mine, sizes, config.form == "leave_one_out")
        for i, value, charge in zip(members, mine, charges, strict=True):
            out[i] = value - charge
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


def _charge_prompt(values: Ragged, tokens: Ragged, leave_one_out: bool) -> Ragged:
    firsts = np.array([next((x for x in v if not np.isnan(x)), np.nan) for v in values])
    known = (~np.isnan(firsts)).astype(float)
    means = _reference(np.nan_to_num(firsts), known, leave_one_out)
    return [np.full(len(v), m) for v, m in zip(values, means, strict=True)]


def _charge_share(values: Ragged, tokens: Ragged, leave_one_out: bool) -> Ragged:
    known = np.array([float((~np.isnan(v)).any()) for v in values])
    means = _reference(np.array([np.nansum(v) for v in values]), known, leave_one_out)
    charges = []
    for value, size, mean in zip(values, tokens, means, strict=True):
        carried = np.where(np.isnan(value), 0.0, size)
        charges.append(mean * carried / max(carried.sum(), 1.0))
    return charges


def _charge_token(values: Ragged, tokens: Ragged, leave_one_out: bool) -> Ragged:
    sizes = [np.where(np.isnan(v), 0.0, n) for v, n in zip(values, tokens, strict=True)]
    sums = np.array([float(np.nan_to_num(v) @ n) for v, n in zip(values, sizes, strict=True)])
    means = _reference(sums, np.array([n.sum() for n in sizes]), leave_one_out)
    return [np.full(len(v), m) for v, m in zip(values, means, strict=True)]


def _charge_turn(values: Ragged, tokens: Ragged, leave_one_out: bool) -> Ragged:
    charges = [np.full(len(v), np.nan) for v in values]
    for t in range(max((len(v) for v in values), default=0)):
        reach = [i for i, v in enumerate(values) if len(v) > t]
        column = np.array([values[i][t] for i in reach])
        means = _reference(np.nan_to_num(column), (~np.isnan(column)).astype(float), leave_one_out)
        for i, mean in zip(reach, means, strict=True):
            charges[i][t] = mean
    return charges


_CHARGES = {
    "batch": _charge_prompt,
    "prompt": _charge_prompt,
    "share": _charge_share,
    "token": _charge_token,
    "turn": _charge_turn,
}


def _scaled(centered: Ragged, groups: Sequence[str], unit: str) -> Ragged:
    """Divide by the root mean square (ddof=1) of the centered values themselves.

    With one value a rollout and the mean form this is the sample standard deviation. Taken of the
    centered values, never of the raw ones, it cannot blow up a group whose totals happen to agree.
    """
    cells: dict[Hashable, list[float]] = {}

    def cell(i: int, t: int) -> Hashable:
        return None if unit == "batch" else (groups[i], t) if unit == "turn" else groups[i]

    for i, row in enumerate(centered):
        for t, x in enumerate(row):
            if not np.isnan(x):
                cells.setdefault(cell(i, t), []).append(x)
    scale = {k: float(np.sqrt(np.sum(np.square(x)) / max(len(x) - 1, 1))) for k, x in cells.items()}
    return [
        np.array([x / (scale.get(cell(i, t), 0.0) + EPS) for t, x in enumerate(row)], dtype=float)
        for i, row in enumerate(centered)
    ]
