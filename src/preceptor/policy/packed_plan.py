"""Which tokens of many rows have to be computed, and behind which tokens each of them stands.

Sorted, two neighbouring rows share the longest beginning that either shares with any other row. So a row
needs a segment of new tokens behind the longest beginning of its left neighbour or of a row still held from an
earlier call, and a row that begins another needs none. Every shared beginning is computed once, whatever its
length, and the first row of a family is one whole segment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

Ids = tuple[int, ...]


@dataclass(eq=False)
class Segment:
    """Tokens that are computed together; `path` is what stands before them."""

    ids: Ids
    path: Path = ()
    start: int = 0
    """Position of the first token: the length of `path`."""
    layers: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    """Keys and values (1, heads, tokens, size), layer by layer; empty unless kept for other segments."""
    hidden: torch.Tensor | None = None
    """(tokens, h) final hidden states; None unless kept for a later call."""


class Span(NamedTuple):
    """The first `size` tokens of a segment."""

    segment: Segment
    size: int


Path = tuple[Span, ...]
"""A row, as spans of segments in the order of its tokens."""


@dataclass(frozen=True)
class Layout:
    """`paths`: of every distinct row. `tops`: the rows that begin no other. `fresh`: segments to compute,
    those that stand before others first."""

    paths: dict[Ids, Path]
    tops: list[Ids]
    fresh: list[Segment]


def lay_out(rows: Iterable[Ids], held: Sequence[tuple[Ids, Path]] = (), longest: int = 1 << 62) -> Layout:
    """`held`: rows whose segments are computed already, sorted. No segment is longer than `longest`."""
    distinct = sorted({r for r in rows if r})
    keys = [ids for ids, _ in held]
    paths: dict[Ids, Path] = {(): ()}
    tops: list[Ids] = []
    fresh: list[Segment] = []
    previous: Ids = ()
    for k, row in enumerate(distinct):
        if k + 1 < len(distinct) and distinct[k + 1][: len(row)] == row:
            continue
        shared, path = common(previous, row), paths[previous]
        near = bisect_left(keys, row)
        for other, other_path in held[max(0, near - 1) : near + 1]:
            also = common(other, row)
            if also > shared:
                shared, path = also, other_path
        path = cut(path, shared)
        for start in range(shared, len(row), longest):
            segment = Segment(row[start : start + longest], path, start)
            fresh.append(segment)
            path = (*path, Span(segment, len(segment.ids)))
        paths[row] = path
        tops.append(row)
        previous = row
    after: Ids = ()
    for row in reversed(distinct):
        after = row if row in paths else after
        paths[row] = cut(paths[after], len(row))
    return Layout(paths, tops, fresh)


def whole(rows: Iterable[Ids], *, fold: bool) -> Layout:
    """Every row one segment with nothing before it; with `fold`, rows that begin another are read off it."""
    distinct = sorted({r for r in rows if r})
    paths: dict[Ids, Path] = {(): ()}
    tops: list[Ids] = []
    fresh: list[Segment] = []
    for row in reversed(distinct):
        if fold and tops and tops[-1][: len(row)] == row:
            paths[row] = cut(paths[tops[-1]], len(row))
            continue
        fresh.append(Segment(row))
        paths[row] = (Span(fresh[-1], len(row)),)
        tops.append(row)
    return Layout(paths, tops, fresh)


def common(a: Ids, b: Ids) -> int:
    """Length of the common beginning."""
    size = min(len(a), len(b))
    if a[:size] == b[:size]:
        return size
    return int(np.argmax(np.asarray(a[:size]) != np.asarray(b[:size])))


def cut(path: Path, length: int) -> Path:
    """The first `length` tokens of a path."""
    spans: list[Span] = []
    for segment, size in path:
        if length <= 0:
            break
        spans.append(Span(segment, min(size, length)))
        length -= size
    return tuple(spans)


def packs(segments: Sequence[Segment], max_tokens: int) -> list[list[Segment]]:
    """Segments in their order, at most `max_tokens` tokens in each pass."""
    passes: list[list[Segment]] = []
    room = 0
    for segment in segments:
        if len(segment.ids) > room:
            passes.append([])
            room = max_tokens
        passes[-1].append(segment)
        room -= len(segment.ids)
    return passes


def batches(segments: Sequence[Segment], max_tokens: int) -> list[list[Segment]]:
    """By length, longest first; at most `max_tokens` tokens, padding included, or one row."""
    groups: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda s: len(s.ids), reverse=True):
        if not groups or (len(groups[-1]) + 1) * len(groups[-1][0].ids) > max_tokens:
            groups.append([])
        groups[-1].append(segment)
    return groups


class Held:
    """Rows kept between calls with their segments, least recently used out first.

    A segment is counted whole as long as a kept row reads any of it, so `tokens` is what memory holds.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.rows: dict[Ids, Path] = {}

    @property
    def tokens(self) -> int:
        return sum(len(s.ids) for s in {span.segment for p in self.rows.values() for span in p})

    def sorted(self) -> list[tuple[Ids, Path]]:
        return sorted(self.rows.items(), key=lambda item: item[0])

    def paths(self, rows: Sequence[Ids]) -> list[Path | None]:
        """Of each row that is kept or begins a kept one; None for the others."""
        kept = self.sorted()
        keys = [ids for ids, _ in kept]
        found: list[Path | None] = []
        for row in rows:
            at = bisect_left(keys, row)
            begins = at < len(keys) and keys[at][: len(row)] == row
            found.append(cut(kept[at][1], len(row)) if begins else None)
        return found

    def with_rows(self, layout: Layout) -> dict[Ids, Path]:
        """What would be held after a call that read these rows, most recent first, within the limit."""
        wanted = {top: layout.paths[top] for top in layout.tops}
        ordered = sorted({*wanted, *self.rows})
        begins = {a for a, b in pairwise(ordered) if b[: len(a)] == a}
        for row, path in self.rows.items():
            if row not in begins:
                wanted.setdefault(row, path)
        kept: dict[Ids, Path] = {}
        segments: set[Segment] = set()
        total = 0
        for row, path in wanted.items():
            new = {span.segment for span in path} - segments
            size = sum(len(s.ids) for s in new)
            if total + size <= self.limit:
                kept[row] = path
                segments |= new
                total += size
        return kept
