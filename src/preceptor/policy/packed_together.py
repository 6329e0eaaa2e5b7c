"""Small segments of a packed pass, many in one attention call.

A search reads some hundred continuations of a few tokens each, every one behind its own past. One call a segment and
layer then costs more than its arithmetic. Here segments of like size are padded to one rectangle with a mask; their
keys and values are gathered by one index, made once a pass and used by every layer. Padding less than doubles each
side of a rectangle. Segments above `SMALL` are left to the loop of `packed_attention`, which pads nothing.

Shapes: T packed tokens, T' packed and stored ones, B segments, N new tokens at most, S seen ones at most, H heads,
K key heads, D size of a head.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa

from preceptor.policy.packed_plan import Path, Segment, Span

SMALL = 4096
"""New times seen tokens of a segment, up to which calling costs more than padding."""
COLUMNS = 1 << 14
"""Keys that one call gathers, at most."""
FEWEST = 4
"""Segments of like size that are worth a call of their own."""


def masked(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scale: float | None
) -> torch.Tensor:
    """Attention with an additive mask; only the kernels without one group heads on a GPU."""
    if q.shape[1] != k.shape[1] and q.device.type != "cpu":
        k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for t in (k, v))
    return sdpa(q, k, v, attn_mask=mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])


def groups(segments: Iterable[Segment]) -> list[list[Segment]]:
    """The segments behind others that are small, by size up to the next power of two."""
    alike: dict[tuple[int, int], list[Segment]] = defaultdict(list)
    for segment in segments:
        new = len(segment.ids)
        seen = segment.start + new
        if segment.path and new * seen <= SMALL:
            alike[(new - 1).bit_length(), (seen - 1).bit_length()].append(segment)
    found = []
    for (_, seen_bits), members in alike.items():
        many = COLUMNS >> seen_bits
        chunks = [members[k : k + many] for k in range(0, len(members), many)]
        found += [chunk for chunk in chunks if len(chunk) >= FEWEST]
    return found


def end_to_end(segments: Iterable[Segment], first: int = 0) -> dict[Segment, int]:
    """Where each begins, laid one behind the other from `first` on."""
    place = {}
    for segment in segments:
        place[segment] = first
        first += len(segment.ids)
    return place


def columns_of(paths: Sequence[Path], place: Mapping[Segment, int]) -> np.ndarray:
    """(B, S), where each row's tokens stand; rows end with zeros."""
    rows = [np.concatenate([np.arange(size) + place[s] for s, size in path]) for path in paths]
    columns = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for column, row in zip(columns, rows, strict=True):
        column[: len(row)] = row
    return columns


def gathered(states: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """states (K, T', D), columns (B, S) -> (B, K, S, D)."""
    return states.index_select(1, columns.ravel()).unflatten(1, columns.shape).transpose(0, 1)


class Together:
    """One group: which tokens ask, which they read, and where the answers go."""

    def __init__(self, segments: Sequence[Segment], place: Mapping[Segment, int], device: torch.device):
        """`place`: where each segment's tokens begin among the packed and stored ones."""
        new = np.array([len(s.ids) for s in segments])
        self.start = np.array([s.start for s in segments])
        self.seen = self.start + new
        paths = [(*s.path, Span(s, len(s.ids))) for s in segments]
        rows = columns_of([path[-1:] for path in paths], place)
        asked = np.arange(rows.shape[1]) < new[:, None]
        self.rows, self.columns, self.asked, self.target = (
            torch.as_tensor(x, device=device) for x in (rows, columns_of(paths, place), asked, rows[asked])
        )
        self._masks: dict[int | None, torch.Tensor] = {}

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        window: int | None,
        scale: float | None,
        out: torch.Tensor,
    ) -> None:
        """query (H, T, D), key and value (K, T', D) -> into `out` (T, H, D)."""
        q, k, v = (
            gathered(states, at)
            for states, at in ((query, self.rows), (key, self.columns), (value, self.columns))
        )
        found = masked(q, k, v, self._mask(window, query), scale)
        out[self.target] = found.transpose(1, 2)[self.asked]

    def _mask(self, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """(B, 1, N, S), 0 or minus infinity. Queries that are padding stand where the last real one does."""
        if window not in self._masks:
            at = self.start[:, None] + np.arange(self.rows.shape[1])
            at = np.minimum(at, self.seen[:, None] - 1)[:, :, None]
            ahead = at - np.arange(self.columns.shape[1])
            hidden = ahead < 0 if window is None else (ahead < 0) | (ahead >= window)
            mask = like.new_zeros(hidden.shape)
            mask.masked_fill_(torch.as_tensor(hidden, device=like.device), float("-inf"))
            self._masks[window] = mask[:, None]
        return self._masks[window]
