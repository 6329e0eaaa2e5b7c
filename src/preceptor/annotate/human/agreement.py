"""How far people agree: Cohen's kappa of two annotators, Fleiss' kappa of any number.

Kappa is the agreement beyond what the annotators' own habits give by chance: 1 for full agreement, 0 for none beyond
chance, undefined (None) where everyone always says the same one thing. Fleiss' form is taken with as many ratings per
item as there are (two or more), items weighing by the pairs they have; with equal numbers it is the usual one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from preceptor.annotate.judges.share import Share
from preceptor.judgement import NO_ERROR, Judgement


@dataclass(frozen=True)
class Agreement:
    """Of annotators on the traces that two or more of them labelled."""

    same: Share
    """Pairs of answers with the same first error, among all pairs on one trace."""
    first_error: float | None
    """Fleiss' kappa of the exact first error."""
    clean: float | None
    """Fleiss' kappa of "has an error" against "has none"."""
    pairs: Mapping[tuple[str, str], float | None]
    """Cohen's kappa of the first error, per pair of annotators with a trace in common."""


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Of two annotators' answers to the same items, in the same order.

    >>> cohen_kappa("yynn", "yyny")
    0.5
    """
    n = len(first)
    if not n or n != len(second):
        return None
    observed = sum(a == b for a, b in zip(first, second)) / n
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[c] * theirs[c] for c in ours) / n**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def fleiss_kappa(items: Sequence[Sequence[Hashable]]) -> float | None:
    """Of any number of annotators; items with fewer than two answers do not count."""
    rated = [Counter(answers) for answers in items if len(answers) > 1]
    total = Counter[Hashable]()
    for counts in rated:
        total.update(counts)
    answers = total.total()
    if not answers:
        return None
    pairs = sum(c.total() * (c.total() - 1) for c in rated)
    observed = sum(k * (k - 1) for c in rated for k in c.values()) / pairs
    chance = sum((k / answers) ** 2 for k in total.values())
    return None if chance == 1 else (observed - chance) / (1 - chance)


def agreement(judgements: Sequence[Judgement]) -> Agreement:
    """Over judgements whose sources are the annotators; those without a first error do not count."""
    traces: dict[str, dict[str, int]] = defaultdict(dict)
    for judged in judgements:
        if judged.first_error is not None:
            traces[judged.trace][judged.source.name] = judged.first_error
    said = [list(own.values()) for own in traces.values()]
    equal = [a == b for own in said for a, b in combinations(own, 2)]
    names = sorted({name for own in traces.values() for name in own})
    pairs = {}
    for a, b in combinations(names, 2):
        both = [(own[a], own[b]) for own in traces.values() if a in own and b in own]
        if both:
            pairs[a, b] = cohen_kappa([x for x, _ in both], [y for _, y in both])
    return Agreement(
        Share(sum(equal), len(equal)),
        fleiss_kappa(said),
        fleiss_kappa([[e == NO_ERROR for e in own] for own in said]),
        pairs,
    )
