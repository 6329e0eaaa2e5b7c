"""All attempts at many problems as one forest: attempts that begin alike share the nodes of their beginning.

A node is one step after one beginning. An attempt (a given trace or a rollout) ends at its last node with a right
or a wrong answer; an attempt written twice is one attempt, because the same text comes out the same way. Left out:
what the evidence means (`inference.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Forest:
    """Growing lists, one entry per node; node ids are positions, and a parent stands before its children."""

    parent: list[int] = field(default_factory=list)
    """-1 for the root of a problem."""
    depth: list[int] = field(default_factory=list)
    """0 for roots, which stand for the bare problem; t for a node after t steps."""
    problem: list[int] = field(default_factory=list)
    features: list[Sequence[float]] = field(default_factory=list)
    outcome: list[float] = field(default_factory=list)
    """1 or 0 where an attempt ended right or wrong, nan elsewhere."""
    tokens: list[int] = field(default_factory=list)
    """Tokens of the step."""
    roots: dict[str, int] = field(default_factory=dict)
    """Problem id -> its root."""
    children: dict[tuple[int, str], int] = field(default_factory=dict)

    def root(self, problem: str, features: Sequence[float]) -> int:
        """The root of a problem, made when absent; its features are those of no step."""
        if problem not in self.roots:
            self.roots[problem] = self._append(-1, 0, len(self.roots), features, 0)
        return self.roots[problem]

    def add(
        self,
        root: int,
        steps: Sequence[str],
        features: Sequence[Sequence[float]],
        tokens: Sequence[int],
        right: bool | None,
    ) -> list[int]:
        """Add an attempt; returns its nodes, one per step. Known steps keep the features they have."""
        path, at = [], root
        for text, values, count in zip(steps, features, tokens, strict=True):
            child = self.children.get((at, text))
            if child is None:
                child = self._append(at, self.depth[at] + 1, self.problem[at], values, count)
                self.children[at, text] = child
            path.append(child)
            at = child
        if right is not None:
            self.outcome[at] = float(right)
        return path

    def _append(self, parent: int, depth: int, problem: int, features: Sequence[float], tokens: int) -> int:
        self.parent.append(parent)
        self.depth.append(depth)
        self.problem.append(problem)
        self.features.append(features)
        self.outcome.append(float("nan"))
        self.tokens.append(tokens)
        return len(self.parent) - 1

    def arrays(self) -> Arrays:
        return Arrays(
            parent=np.array(self.parent, dtype=np.int64),
            depth=np.array(self.depth, dtype=np.int64),
            problem=np.array(self.problem, dtype=np.int64),
            features=np.array(self.features, dtype=np.float64),
            outcome=np.array(self.outcome, dtype=np.float64),
        )


@dataclass(frozen=True)
class Arrays:
    """The forest as arrays of length N."""

    parent: Ints
    depth: Ints
    problem: Ints
    features: Floats
    """(N, F)."""
    outcome: Floats

    def levels(self) -> list[Ints]:
        """Nodes by depth, roots first."""
        return [np.flatnonzero(self.depth == d) for d in range(int(self.depth.max()) + 1)]
