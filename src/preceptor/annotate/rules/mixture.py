"""Mix data sets of several languages or domains in given proportions, and check translated steps.

For multilingual PRMs: steps are translated one by one with their labels, and a translation with another
number of steps is dropped and counted. `mix` takes the same items for the same seed whatever the order of the
sets, and a larger total contains the smaller one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR
from preceptor.trace import stream_seed

Item = TypeVar("Item")


def shares(proportions: Mapping[str, float], total: int) -> dict[str, int]:
    """`total` split in these proportions (any positive scale), by largest remainder; ties by name."""
    if not proportions or min(proportions.values()) < 0 or sum(proportions.values()) <= 0:
        raise InputError(f"proportions: got {dict(proportions)}, expected numbers of at least 0, one above.")
    scale = total / sum(proportions.values())
    exact = {name: p * scale for name, p in sorted(proportions.items())}
    counts = {name: int(x) for name, x in exact.items()}
    rest = sorted(exact, key=lambda name: (counts[name] - exact[name], name))
    for name in rest[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def mix(
    sets: Mapping[str, Sequence[Item]], proportions: Mapping[str, float], total: int, *, seed: int = 0
) -> list[tuple[str, Item]]:
    """`total` items with the name of their set, shuffled. Without replacement.

    Raises InputError when a set is missing or too small: repeating items in silence would change the
    proportions of what is learned.
    """
    counts = shares(proportions, total)
    taken: list[tuple[str, Item]] = []
    for name, count in counts.items():
        items = sets.get(name, ())
        if len(items) < count:
            raise InputError(
                f"mix: got {len(items)} items in {name!r}, expected {count} of {total}. Lower the total or the "
                f"proportion of {name!r}."
            )
        order = list(range(len(items)))
        random.Random(stream_seed("mix", seed, name)).shuffle(order)
        taken += [(name, items[i]) for i in order[:count]]
    random.Random(stream_seed("mix-order", seed)).shuffle(taken)
    return taken


@dataclass(frozen=True)
class Alignment:
    """Which of some translations keep the steps of their source."""

    kept: tuple[int, ...]
    """Indices of the aligned ones."""
    dropped: Mapping[str, int]
    """Why the others went, with counts: `"step-count"`, `"empty-step"`."""


def aligned(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Alignment:
    """Check (source steps, translated steps): equally many, and none empty that was not."""
    kept, dropped = [], Counter[str]()
    for i, (source, translated) in enumerate(pairs):
        if len(source) != len(translated):
            dropped["step-count"] += 1
        elif any(a.strip() and not b.strip() for a, b in zip(source, translated, strict=True)):
            dropped["empty-step"] += 1
        else:
            kept.append(i)
    return Alignment(tuple(kept), dict(dropped))


def error_positions(groups: Mapping[str, Iterable[int | None]]) -> dict[str, dict[int | None, int]]:
    """Per group: first-error index -> how many traces; `NO_ERROR` (-1) for right ones and None for unknown
    ones are entries of their own. Positions in order, -1 first, None last."""
    counted = {name: Counter(errors) for name, errors in groups.items()}
    for name, found in counted.items():
        low = min((e for e in found if e is not None), default=NO_ERROR)
        if low < NO_ERROR:
            raise InputError(
                f"error_positions: got first error {low} in {name!r}, expected -1, 0, 1, ... or None."
            )
    return {
        name: {e: found[e] for e in sorted(found, key=lambda e: (e is None, e or 0))}
        for name, found in counted.items()
    }
