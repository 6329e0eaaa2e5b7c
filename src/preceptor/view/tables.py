"""Cells of tables: how numbers, intervals, verdicts and absences are printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class IntervalLike(Protocol):
    """A figure with bounds, as `preceptor.bench.Estimate`."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


@dataclass(frozen=True)
class Cell:
    """Printed text, its interval, and whether it lines up as a number."""

    text: str
    interval: str = ""
    numeric: bool = False
    absent: bool = False


def number(value: float | int) -> str:
    """`12345` as `12,345`, `0.81249` as `0.812`, `1234.5` as `1,234.5`, tiny and huge in powers of ten."""
    if isinstance(value, Integral):
        return f"{int(value):,}"
    size = abs(value)
    if size != 0 and (size < 5e-4 or size >= 1e9):
        return f"{value:.2e}"
    return f"{value:.3f}" if size < 100 else f"{value:,.1f}"


def cell(value: Any) -> Cell:
    """A cell for text, a number, None (a dash) or anything with `value`, `low` and `high`."""
    if value is None:
        return Cell("–", numeric=True, absent=True)
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, Real):
        return Cell(number(float(value) if not isinstance(value, Integral) else int(value)), numeric=True)
    if isinstance(value, IntervalLike):
        if value.value is None:
            return Cell("–", numeric=True, absent=True)
        if value.low is None or value.high is None:
            return Cell(number(value.value), numeric=True)
        return Cell(number(value.value), f"[{number(value.low)}, {number(value.high)}]", numeric=True)
    return Cell(str(value))


def cells(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[list[list[Cell]], list[bool]]:
    """All cells, and per column whether it holds numbers only."""
    for i, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"table row {i}: got {len(row)} cells, expected {len(columns)}: {list(columns)}")
    body = [[cell(v) for v in row] for row in rows]
    numeric = [bool(body) and all(row[i].numeric for row in body) for i in range(len(columns))]
    return body, numeric
