"""The label model of programmatic weak supervision (catalogue index 63): merge votes of labellers that may abstain.

Independent labellers, binary truth y, no gold: EM over P(y = 1), a_j = P(vote 1 | y = 1) and b_j = P(vote 0 | y = 0),
both given that j votes. Start: share of the votes; counts are smoothed by +1 / +2, a and b kept in [0.05, 0.95], at
most 500 rounds or a change below 1e-6; if the labellers come out worse than chance on average, the two classes are
swapped. Clones of one labeller make the model over-confident: `dependent` names them. Cost: none. Left out: models of
the dependencies themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from preceptor.errors import InputError

Vote = int | None
"""1, 0, or None for an abstention."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EM:
    """How the model is fitted."""

    iterations: int = 500
    tolerance: float = 1e-6
    floor: float = 0.05
    """a and b stay in [floor, 1 - floor]."""
    balance: float | None = None
    """P(y = 1) if it is known; None estimates it."""

    def __post_init__(self) -> None:
        if self.iterations < 1 or not 0 < self.floor < 0.5:
            raise InputError(
                f"EM: got iterations={self.iterations} and floor={self.floor}, expected at least 1 and a number "
                "in (0, 0.5)."
            )
        if self.balance is not None and not 0 < self.balance < 1:
            raise InputError(
                f"balance: got {self.balance}, expected a share in (0, 1) or None to estimate it."
            )


@dataclass(frozen=True)
class Labeller:
    """What the model thinks of one labeller."""

    right: float
    """a: P(vote 1 | y = 1, votes)."""
    wrong: float
    """b: P(vote 0 | y = 0, votes)."""
    votes: int
    """Items it did not abstain on."""

    def accuracy(self, balance: float) -> float:
        """Estimated share of its votes that are true, at this share of y = 1."""
        return balance * self.right + (1 - balance) * self.wrong


@dataclass(frozen=True)
class LabelModel:
    """A fitted model; `posterior` judges any item with it."""

    balance: float
    labellers: tuple[Labeller, ...]
    rounds: int = 0
    """EM rounds it took."""
    swapped: bool = False
    """The classes had to be swapped."""

    @property
    def accuracies(self) -> tuple[float, ...]:
        return tuple(who.accuracy(self.balance) for who in self.labellers)

    def posterior(self, items: Sequence[Sequence[Vote]]) -> list[float]:
        """P(y = 1) of each item; the balance where all abstain."""
        return [float(q) for q in _expect(self, *_columns(items, len(self.labellers)))]


def fit(items: Sequence[Sequence[Vote]], em: EM | None = None) -> LabelModel:
    """The model of these votes: one row per item, one vote per labeller.

    >>> votes = [(1, 1, 1)] * 6 + [(0, 0, 0)] * 3 + [(1, 0, 1)]
    >>> [round(q) for q in fit(votes).posterior(votes)]
    [1, 1, 1, 1, 1, 1, 0, 0, 0, 1]
    """
    em = em or EM()
    if not items:
        raise InputError("label model: got no items, expected at least one row of votes.")
    ones, zeros = _columns(items, len(items[0]))
    q = _majority(ones, zeros)
    rounds, moved = 0, 1.0
    while rounds < em.iterations and moved >= em.tolerance:
        model = _maximise(ones, zeros, q, em)
        before, q = q, _expect(model, ones, zeros)
        rounds, moved = rounds + 1, float(np.abs(q - before).max())
    model = _maximise(ones, zeros, q, em)
    if _margin(model) < 0:
        model = _swap(model, em)
    return replace(model, rounds=rounds)


@dataclass(frozen=True)
class Dependent:
    """Two labellers that agree far more often than independent ones of their accuracy would."""

    pair: tuple[int, int]
    agreement: float
    expected: float
    shared: int
    """Items both voted on."""


def dependent(
    items: Sequence[Sequence[Vote]], em: EM | None = None, *, margin: float = 0.08, sigmas: float = 4.0
) -> list[Dependent]:
    """The pairs whose agreement exceeds what their accuracies explain by `margin` and `sigmas` (both ours).

    Accuracies of a pair come from fits without the other one, since the fit of all believes clones. With three
    labellers there is no such fit and only near-perfect copies show; with two nothing does.
    """
    ones, zeros = _columns(items, len(items[0]) if items else 0)
    count = ones.shape[1]
    if count < 3:
        return []
    without = [_leaving(items, j, em) for j in range(count)] if count > 3 else [fit(items, em)] * count
    found = []
    for i, j in combinations(range(count), 2):
        shared = int(((ones + zeros)[:, i] * (ones + zeros)[:, j]).sum())
        if not shared:
            continue
        agreement = float((ones[:, i] * ones[:, j] + zeros[:, i] * zeros[:, j]).sum()) / shared
        first, second = without[j].labellers[i], without[i].labellers[j]
        expected = agree(first, second, (without[i].balance + without[j].balance) / 2)
        deviation = (expected * (1 - expected) / shared) ** 0.5
        if agreement - expected >= max(margin, sigmas * deviation):
            found.append(Dependent((i, j), agreement, expected, shared))
    return found


def agree(first: Labeller, second: Labeller, balance: float) -> float:
    """How often two independent labellers vote alike."""
    a, b = first.right, second.right
    c, d = first.wrong, second.wrong
    return balance * (a * b + (1 - a) * (1 - b)) + (1 - balance) * (c * d + (1 - c) * (1 - d))


def _leaving(items: Sequence[Sequence[Vote]], out: int, em: EM | None) -> LabelModel:
    """The fit with labeller `out` silent, so that the places of the others stay."""
    return fit([[None if j == out else v for j, v in enumerate(row)] for row in items], em)


def _columns(items: Sequence[Sequence[Vote]], count: int) -> tuple[Floats, Floats]:
    """Where each labeller voted 1, and where it voted 0: two arrays (items, labellers)."""
    for i, row in enumerate(items):
        if len(row) != count or any(v not in (0, 1, None) for v in row):
            raise InputError(f"item {i}: got votes {list(row)}, expected {count} of 1, 0 or None (abstains).")
    ones = np.array([[float(v == 1) for v in row] for row in items]).reshape(len(items), count)
    zeros = np.array([[float(v == 0) for v in row] for row in items]).reshape(len(items), count)
    return ones, zeros


def _majority(ones: Floats, zeros: Floats) -> Floats:
    total = ones.sum(1) + zeros.sum(1)
    share: Floats = np.where(total > 0, ones.sum(1) / np.maximum(total, 1), 0.5)
    return share


def _maximise(ones: Floats, zeros: Floats, q: Floats, em: EM) -> LabelModel:
    def bounded(hits: float, of: float) -> float:
        return min(max((hits + 1) / (of + 2), em.floor), 1 - em.floor)

    labellers = []
    for one, zero in zip(ones.T, zeros.T, strict=True):
        voted = one + zero
        right = bounded(float((q * one).sum()), float((q * voted).sum()))
        wrong = bounded(float(((1 - q) * zero).sum()), float(((1 - q) * voted).sum()))
        labellers.append(Labeller(right, wrong, int(voted.sum())))
    balance = float(q.mean()) if em.balance is None else em.balance
    return LabelModel(min(max(balance, 1e-9), 1 - 1e-9), tuple(labellers))


def _expect(model: LabelModel, ones: Floats, zeros: Floats) -> Floats:
    """Labeller by labeller, so that one that always abstains adds exactly nothing."""
    odds = np.full(len(ones), np.log(model.balance / (1 - model.balance)))
    for who, one, zero in zip(model.labellers, ones.T, zeros.T, strict=True):
        odds += one * np.log(who.right / (1 - who.wrong)) + zero * np.log((1 - who.right) / who.wrong)
    posterior: Floats = 1 / (1 + np.exp(-odds))
    return posterior


def _margin(model: LabelModel) -> float:
    """Above 0 iff the mean of a + b over the labellers that vote is above 1."""
    return sum(who.right + who.wrong - 1 for who in model.labellers if who.votes)


def _swap(model: LabelModel, em: EM) -> LabelModel:
    """The same model with the names of the classes exchanged; a given balance stays as given."""
    labellers = tuple(Labeller(1 - who.wrong, 1 - who.right, who.votes) for who in model.labellers)
    balance = 1 - model.balance if em.balance is None else em.balance
    return LabelModel(balance, labellers, swapped=True)
