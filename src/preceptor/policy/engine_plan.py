"""Which prefixes to compute, and in which order to admit requests.

Equal prefixes are computed once. A prefix that begins a longer one (the steps of one trace, each asked
for rollouts) is not computed at all: its keys and values are the first columns of the longer one's.
Left out: a common beginning of two prefixes neither of which contains the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One request, ready for admission."""

    index: int
    prefix: Ids
    root: Ids
    """The longest requested prefix that this one begins; its cache is the one to copy from."""
    prefilled: int
    reused: int


def plan(prefixes: Sequence[Ids], block: int) -> list[Entry]:
    """Entries in the order of admission.

    Roots run from long to short and come in blocks of at least `block` requests; within a block, prefixes
    run from long to short. So rows that live at the same time have similar widths, while no more than a
    block of computed prefixes is ever held.
    """
    distinct = sorted(set(prefixes))
    root: dict[Ids, Ids] = {}
    fresh = {p: len(p) for p in distinct}
    later: Ids | None = None
    for p in reversed(distinct):
        if later is not None and later[: len(p)] == p:
            root[p] = root[later]
            fresh[later] -= len(p)
        else:
            root[p] = p
        later = p
    entries, seen = [], set[Ids]()
    for i, p in enumerate(prefixes):
        computed = 0 if p in seen else fresh[p]
        seen.add(p)
        entries.append(Entry(i, p, root[p], computed, len(p) - computed))
    entries.sort(key=lambda e: (-len(e.root), e.root))
    ordered: list[Entry] = []
    waiting: list[Entry] = []
    for _, of_root in groupby(entries, key=lambda e: e.root):
        waiting += of_root
        if len(waiting) >= block:
            ordered += sorted(waiting, key=_by_prefix)
            waiting = []
    return ordered + sorted(waiting, key=_by_prefix)


def _by_prefix(entry: Entry) -> tuple[int, Ids, int]:
    return -len(entry.prefix), entry.prefix, entry.index
