"""Which of a few texts say about the same: k-means on their TF-IDF vectors, without randomness.

The first center is the first text, the next the text farthest from all centers. Ties go to what came first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_TOKEN = re.compile(r"\w+|[^\w\s]")
ROUNDS = 50


def tfidf(texts: Sequence[str]) -> np.ndarray:
    """(N, words), rows of length 1 (0 for an empty text); idf = ln((1 + N) / (1 + df)) + 1."""
    words = [_TOKEN.findall(text.lower()) for text in texts]
    index = {word: k for k, word in enumerate(dict.fromkeys(w for own in words for w in own))}
    counts = np.zeros((len(texts), max(1, len(index))))
    for row, own in zip(counts, words, strict=True):
        for word in own:
            row[index[word]] += 1
    weighted = counts * (np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1)
    norms = np.linalg.norm(weighted, axis=1, keepdims=True)
    return np.asarray(weighted / np.where(norms > 0, norms, 1.0))


def kmeans(points: np.ndarray, k: int) -> list[int]:
    """The cluster of each point; fewer than k where there are fewer different points."""
    centers = points[:1]
    while len(centers) < k:
        far = _distances(points, centers).min(1)
        if far.max() < 1e-12:
            break
        centers = np.vstack([centers, points[far.argmax()]])
    labels = _distances(points, centers).argmin(1)
    for _ in range(ROUNDS):
        centers = np.stack(
            [points[labels == j].mean(0) if (labels == j).any() else centers[j] for j in range(len(centers))]
        )
        moved = _distances(points, centers).argmin(1)
        if (moved == labels).all():
            break
        labels = moved
    return [int(j) for j in labels]


def _distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return np.asarray(((points[:, None] - centers[None]) ** 2).sum(-1))
