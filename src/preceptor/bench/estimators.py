"""Exact curves from one pool of n samples: what a random k of them would have given.

All subsets of size k are counted, with integers; nothing is drawn. Ties are shared equally among the tied, so
a constant score gives the mean accuracy and not the accuracy of whoever came first. Only the weighted vote
has no such count: it enumerates all subsets where they are few, otherwise it draws subsets, and says which.
Left out: tree searches, whose samples are not exchangeable and cannot be subsampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.trace import stream_seed

SUBSETS = 512
"""Subsets drawn where there are more than these; fewer are enumerated."""
_TIE = 1e-9


def _check(n: int, k: int, *others: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"estimator at k: got k={k} for a pool of {n}, expected 1 <= k <= n")
    if any(other != n for other in others):
        raise ValueError(f"estimator: got columns of length {(n, *others)}, expected one entry per candidate")


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that k of n samples, of which c are correct, hold a correct one (2107.03374).

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    _check(n, k)
    if not 0 <= c <= n:
        raise ValueError(f"pass_at_k: got {c} correct of {n}, expected 0 <= c <= n")
    return float(1 - Fraction(math.comb(n - c, k), math.comb(n, k)))


def maj_at_k(classes: Sequence[str | None], correct: Sequence[bool], k: int) -> float:
    """Expected correctness of the majority answer among a random k.

    `classes` are canonical answers; None has no vote but holds its place among the k. Where nobody answers
    the vote is wrong. A class that wins counts as correct in the share of its members that are.

    >>> maj_at_k(["a", "a", "b"], [True, True, False], 2)
    0.6666666666666666
    """
    _check(len(classes), k, len(correct))
    return float(_majority_sum(classes, correct, k) / math.comb(len(classes), k))


def _majority_sum(classes: Sequence[str | None], correct: Sequence[bool], k: int) -> Fraction:
    """Sum over all k-subsets of the correctness of the vote.

    A class with j members in the subset wins when no other class has more; with t others at j it wins one
    time in t + 1. Subsets are counted by a polynomial whose coefficient at (x^s, y^t) is the number of ways
    to take s members of the other classes with t of them at j. Classes smaller than j put no bound on the
    count, so they are one factor together with the candidates that have no answer.
    """
    sizes: dict[str, int] = {}
    right: dict[str, int] = {}
    for name, good in zip(classes, correct, strict=True):
        if name is not None:
            sizes[name] = sizes.get(name, 0) + 1
            right[name] = right.get(name, 0) + bool(good)
    total = Fraction(0)
    for name, hits in right.items():
        if not hits:
            continue
        wins = sum(
            (
                math.comb(sizes[name], j) * _shared(sizes, name, j, k - j, len(classes))
                for j in range(1, min(sizes[name], k) + 1)
            ),
            start=Fraction(0),
        )
        total += Fraction(hits, sizes[name]) * wins
    return total


def _shared(sizes: dict[str, int], name: str, j: int, rest: int, n: int) -> Fraction:
    """Ways to take `rest` candidates outside `name` with no class above `j`, each over 1 + classes at `j`."""
    large = [size for other, size in sizes.items() if other != name and size >= j]
    free = n - sizes[name] - sum(large)
    ways: dict[tuple[int, int], int] = {(s, 0): math.comb(free, s) for s in range(min(free, rest) + 1)}
    for size in large:
        grown: dict[tuple[int, int], int] = {}
        for (s, t), count in ways.items():
            for i in range(min(j, rest - s) + 1):
                at = (s + i, t + (i == j))
                grown[at] = grown.get(at, 0) + count * math.comb(size, i)
        ways = grown
    return sum((Fraction(c, t + 1) for (s, t), c in ways.items() if s == rest), start=Fraction(0))


def bon_at_k(
    scores: Sequence[float | None],
    correct: Sequence[bool],
    k: int,
    classes: Sequence[str | None] | None = None,
) -> float:
    """Expected correctness of the best-scored of a random k.

    A candidate without an answer (None in `classes`) holds its place among the k and is never chosen. An
    unscored one (None) is chosen only where no scored one answered: then by majority where `classes` are
    given, else each equally.

    >>> bon_at_k([0.1, 0.2, 0.9], [True, False, True], 2)
    0.6666666666666666
    """
    n = len(scores)
    _check(n, k, len(correct), *([] if classes is None else [len(classes)]))
    groups: dict[float, list[int]] = {}
    outside = []
    for i, score in enumerate(scores):
        if score is None or (classes is not None and classes[i] is None):
            outside.append(i)
        else:
            groups.setdefault(float(score), []).append(i)
    below, whole, total = len(outside), 0, Fraction(0)
    if below >= k:
        hits = [correct[i] for i in outside]
        if classes is None:
            total += Fraction(sum(map(bool, hits)), below) * math.comb(below, k)
        else:
            answers = [classes[i] for i in outside]
            silent = [scores[i] is not None for i in outside]
            total += _majority_sum([None if s else a for a, s in zip(answers, silent, strict=True)], hits, k)
    ways = _ways(n, k)
    for value in sorted(groups):
        group = groups[value]
        won = ways[below + len(group)] - ways[below]
        right = sum(bool(correct[i]) for i in group)
        if right == len(group):
            whole += won
        elif right:
            total += Fraction(right * won, len(group))
        below += len(group)
    return float((whole + total) / ways[n])


@cache
def _ways(n: int, k: int) -> tuple[int, ...]:
    """C(b, k) for b = 0..n."""
    return tuple(math.comb(b, k) for b in range(n + 1))


def subsets(n: int, k: int, *, limit: int = SUBSETS, key: Any = 0) -> tuple[NDArray[np.bool_], bool]:
    """Subsets of size k as rows of a mask (R, n), and whether they are all there are.

    Where more than `limit` exist, `limit` are drawn, each without replacement, by a stream that depends only
    on `key` and k.
    """
    _check(n, k)
    exact = math.comb(n, k) <= limit
    if exact:
        chosen = np.array(list(combinations(range(n), k)))
    else:
        random = np.random.default_rng(stream_seed("subsets", key, n, k))
        chosen = random.random((limit, n)).argsort(axis=1)[:, :k]
    mask = np.zeros((len(chosen), n), dtype=bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    return mask, exact


def weighted_at_k(
    weights: ArrayLike,
    classes: Sequence[str | None],
    correct: Sequence[bool],
    mask: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Correctness of the weighted vote averaged over the subsets in `mask` (R, n), for each row of weights.

    `weights` is (M, n), one row per scorer: non-negative, NaN for unscored, which weighs nothing. A subset in
    which no answer has weight (all unscored, or all zero) is decided by majority. Returns (M,).
    """
    table = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    m, n = table.shape
    _check(n, 1, len(classes), len(correct), mask.shape[1])
    if (table < 0).any():
        raise ValueError(
            f"weighted_at_k: got a weight of {np.nanmin(table)}, expected >= 0. Map scores to weights first."
        )
    names = list(dict.fromkeys(c for c in classes if c is not None))
    if not names:
        return np.zeros(m)
    member = np.array([[c == name for name in names] for c in classes], dtype=np.float64)  # (n, C)
    truth = (member * np.asarray(correct, dtype=np.float64)[:, None]).sum(axis=0) / member.sum(axis=0)
    votes = mask.astype(np.float64) @ member  # (R, C)
    filled = np.nan_to_num(table, nan=0.0)
    mass = (mask @ (filled[:, :, None] * member[None]).transpose(1, 0, 2).reshape(n, -1)).reshape(
        -1, m, len(names)
    )
    empty = mass.max(axis=2, keepdims=True) <= 0
    mass = np.where(empty, votes[:, None, :], mass)
    top = mass.max(axis=2, keepdims=True)
    # sums in another order differ in the last bits; equal sums must tie
    tied = (mass >= top * (1 - _TIE)) & (votes[:, None, :] > 0)
    share = (tied * truth).sum(axis=2) / np.maximum(tied.sum(axis=2), 1)
    return np.asarray(share.mean(axis=0))
