"""Scores and answers to one winner.

Every rule has the signature `(classes, scores) -> index | None`: `classes[i]` is the canonical form of
candidate i's answer (None: it has none and takes no part), `scores[i]` its scalar score (None: unscored).
The result is the index of the candidate whose text and answer are returned, so the answer shown is one that
was written, never a canonical string. None: nobody answered.

Unscored candidates rank below every scored one and weigh nothing in a sum; where no candidate is scored,
every rule is the majority. Ties go to the class, then the candidate, that came first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Classes = Sequence[str | None]
Scores = Sequence[float | None]
Vote = Callable[[Classes, Scores], "int | None"]


def by_class(classes: Classes) -> dict[str, list[int]]:
    """Indices of the members of each class, classes in order of first appearance."""
    members: dict[str, list[int]] = {}
    for i, name in enumerate(classes):
        if name is not None:
            members.setdefault(name, []).append(i)
    return members


def connected_classes(answers: Sequence[Item | None], same: Callable[[Item, Item], bool]) -> list[str | None]:
    """Classes from a pairwise test that need not be symmetric or transitive.

    Two answers belong together when a chain of `same(a, b) or same(b, a)` joins them.
    """
    root = list(range(len(answers)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for i, a in enumerate(answers):
        for j, b in enumerate(answers[:i]):
            if a is not None and b is not None and find(i) != find(j) and (same(a, b) or same(b, a)):
                low, high = sorted((find(i), find(j)))
                root[high] = low
    return [None if a is None else str(find(i)) for i, a in enumerate(answers)]


def _rank(score: float | None) -> float:
    return -math.inf if score is None else score


def _best(members: Sequence[int], scores: Scores) -> int:
    return max(members, key=lambda i: _rank(scores[i]))


def _winner(classes: Classes, scores: Scores, worth: Callable[[Sequence[int]], float]) -> int | None:
    """Best-scored member of the class of greatest worth; majority where nobody is scored."""
    members = by_class(classes)
    if not members:
        return None
    if all(scores[i] is None for group in members.values() for i in group):
        return majority(classes, scores)
    return _best(max(members.values(), key=worth), scores)


def majority(classes: Classes, scores: Scores = ()) -> int | None:
    """The first candidate of the most frequent class; scores are not looked at."""
    members = by_class(classes)
    return max(members.values(), key=len)[0] if members else None


def bon(classes: Classes, scores: Scores) -> int | None:
    """The best-scored candidate that has an answer."""
    return _winner(classes, scores, lambda group: _rank(scores[_best(group, scores)]))


def weighted(classes: Classes, scores: Scores) -> int | None:
    """The class with the greatest sum of scores, which must not be negative; majority if all sums are 0."""
    for i, (name, score) in enumerate(zip(classes, scores, strict=True)):
        if name is not None and score is not None and score < 0:
            raise ValueError(
                f"weighted vote: candidate {i} has weight {score}, expected weights >= 0. Map scores with a "
                "sigmoid, `min_max` or `softmax` first."
            )
    if not any(score for name, score in zip(classes, scores, strict=True) if name is not None):
        return best_in_majority(classes, scores)
    return _winner(classes, scores, lambda group: math.fsum(scores[i] or 0.0 for i in group))


def mean_reward(classes: Classes, scores: Scores) -> int | None:
    """The class with the greatest mean score of its scored members; favors singletons."""

    def worth(group: Sequence[int]) -> float:
        known = [s for i in group if (s := scores[i]) is not None]
        return math.fsum(known) / len(known) if known else -math.inf

    return _winner(classes, scores, worth)


def best_in_majority(classes: Classes, scores: Scores) -> int | None:
    """The best-scored member of the most frequent class."""
    return _winner(classes, scores, len)


VOTES: dict[str, Vote] = {
    "best_in_majority": best_in_majority,
    "bon": bon,
    "majority": majority,
    "mean_reward": mean_reward,
    "weighted": weighted,
}


def min_max(scores: Scores) -> list[float | None]:
    """Scores of one problem mapped to [0, 1): `(s - min) / (max - min + 0.001)`; None stays None."""
    known = [s for s in scores if s is not None]
    if not known:
        return list(scores)
    low, high = min(known), max(known)
    return [None if s is None else (s - low) / (high - low + 1e-3) for s in scores]


def softmax(scores: Scores, temperature: float = 1.0) -> list[float | None]:
    """Scores of one problem mapped to weights that sum to 1; None stays None."""
    known = [s for s in scores if s is not None]
    if not known:
        return list(scores)
    top = max(known)
    raised = [None if s is None else math.exp((s - top) / temperature) for s in scores]
    total = math.fsum(w for w in raised if w is not None)
    return [None if w is None else w / total for w in raised]
