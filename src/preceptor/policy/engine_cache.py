"""Keys and values of all live rows, in one preallocated buffer per layer.

Rows are right-aligned: whatever their lengths, the token of every live row goes to the same column, so
a decode step writes one column and reads one rectangle. Rows 0 .. `rows` are live. A finished row's place is
taken by the last live row. When the columns run out, everything is moved to the left.

Shapes: S slots, H heads, L columns, D head size. Columns left of a row's start hold old finite numbers
and are masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import Cache

Computed = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of a prefill, layer by layer."""


class RowCache(Cache):
    """What the decoder sees as `past_key_values` during a decode step of one token per row."""

    def __init__(
        self,
        slots: int,
        length: int,
        windows: Sequence[int | None],
        device: torch.device,
        dtype: torch.dtype,
    ):
        super().__init__(layers=[])
        self.slots, self.length, self.windows = slots, length, list(windows)
        self.keys: list[torch.Tensor | None] = [None] * len(self.windows)
        self.values: list[torch.Tensor | None] = [None] * len(self.windows)
        self.rows = self.column = self.low = 0
        self.mask = torch.zeros(slots, 1, 1, length, device=device, dtype=dtype)

    def fits(self, slots: int, length: int, device: torch.device, dtype: torch.dtype) -> bool:
        same = self.mask.device == device and self.mask.dtype == dtype
        return same and self.slots >= slots and self.length >= length

    def first_column(self, window: int | None) -> int:
        """Leftmost column that a layer with this window reads."""
        return self.low if window is None else max(self.low, self.column - window + 1)

    def mask_for(self, window: int | None) -> torch.Tensor:
        """(rows, 1, 1, columns read), 0 or the dtype's minimum."""
        return self.mask[: self.rows, :, :, self.first_column(window) : self.column + 1]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column (rows, H, 1, D) and return all that may be attended to."""
        keys, values = self._buffers(layer_idx, key_states, value_states)
        n, at, low = self.rows, self.column, self.first_column(self.windows[layer_idx])
        keys[:n, :, at] = key_states[:, :, 0]
        values[:n, :, at] = value_states[:, :, 0]
        return keys[:n, :, low : at + 1], values[:n, :, low : at + 1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.column

    def place(self, rows: slice, source: Computed, source_row: int, count: int) -> None:
        """Copy the first `count` columns of one row of a prefill to the columns before `column`."""
        for i, (keys, values) in enumerate(source):
            held, held_values = self._buffers(i, keys, values)
            held[rows, :, self.column - count : self.column] = keys[source_row, :, :count]
            held_values[rows, :, self.column - count : self.column] = values[source_row, :, :count]

    def start_rows(self, first: int, starts: np.ndarray) -> None:
        """Mask the columns before `starts` in the rows from `first` on."""
        columns = torch.arange(self.length, device=self.mask.device)
        hidden = columns < torch.as_tensor(starts, device=self.mask.device)[:, None]
        low = torch.finfo(self.mask.dtype).min
        self.mask[first : first + len(starts), 0, 0] = hidden.to(self.mask.dtype) * low

    def move(self, source: list[int], target: list[int]) -> None:
        """Rows `source` take the places `target`."""
        for buffer in self._allocated():
            buffer[target, :, self.low : self.column] = buffer[source, :, self.low : self.column]
        self.mask[target] = self.mask[source]

    def shift(self, by: int) -> None:
        """Move everything `by` columns to the left."""
        for buffer in self._allocated():
            live = buffer[: self.rows, :, by : self.column].clone()
            buffer[: self.rows, :, : self.column - by] = live
        self.mask[: self.rows, :, :, : self.length - by] = self.mask[: self.rows, :, :, by:].clone()
        self.mask[: self.rows, :, :, self.length - by :] = 0
        self.column -= by
        self.low -= by

    def wipe(self, rows: list[int]) -> None:
        """Zero rows that hold NaN, which no mask can hide."""
        for buffer in self._allocated():
            buffer[rows] = 0

    def _allocated(self) -> list[torch.Tensor]:
        return [b for b in (*self.keys, *self.values) if b is not None]

    def _buffers(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        held, held_values = self.keys[layer], self.values[layer]
        if held is None or held_values is None:
            held = keys.new_zeros(self.slots, keys.shape[1], self.length, keys.shape[3])
            held_values = values.new_zeros(self.slots, values.shape[1], self.length, values.shape[3])
            self.keys[layer], self.values[layer] = held, held_values
        return held, held_values
