"""All attempts at many problems as one forest: attempts that begin alike share the nodes of their beginning.

A node is one step after one beginning. An attempt (a given trace or a rollout) ends at its last node with a right
or a wrong answer; an attempt written twice is one attempt, because the same text comes out the same way, but how
often a step was written is kept: it says how sure the policy was where no log-probability does. Left out: what the
evidence means (`inference.py`).
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
    written: list[int] = field(default_factory=list)
    """How often the step was sampled after its beginning."""
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
        given: int = 0,
    ) -> list[int]:
        """Add an attempt; returns its nodes, one per step. Known steps keep the features they have. The first
        `given` steps were a prefix, not sampled."""
        path, at = [], root
        for t, (text, values, count) in enumerate(zip(steps, features, tokens, strict=True)):
            child = self.children.get((at, text))
            if child is None:
                child = self._append(at, self.depth[at] + 1, self.problem[at], values, count)
                self.children[at, text] = child
            self.written[child] += t >= given
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
        self.written.append(0)
        return len(self.parent) - 1

    def arrays(self) -> Arrays:
        parent = np.array(self.parent, dtype=np.int64)
        return Arrays(
            parent=parent,
            depth=np.array(self.depth, dtype=np.int64),
            problem=np.array(self.problem, dtype=np.int64),
            features=np.concatenate(
                [np.array(self.features, dtype=np.float64), self._rarity(parent)], axis=1
            ),
            outcome=np.array(self.outcome, dtype=np.float64),
        )

    def _rarity(self, parent: Ints) -> Floats:
        """(N, 2): log-odds that another step is sampled in the place of this one, by the counts, and the log of
        how many were sampled there; 0 for roots."""
        written = np.array(self.written, dtype=np.float64)
        inner = parent >= 0
        total = np.zeros(len(parent))
        np.add.at(total, parent[inner], written[inner])
        there = total[parent]
        odds = np.log(there - written + 0.5) - np.log(written + 0.5)
        return np.stack([odds, np.log(there + 1)], axis=1) * inner[:, None]


@dataclass(frozen=True)
class Arrays:
    """The forest as arrays of length N."""

    parent: Ints
    depth: Ints
    problem: Ints
    features: Floats
    """(N, F): as added, then the log-odds of another step in its place and the log of the draws there."""
    outcome: Floats

    def levels(self) -> list[Ints]:
        """Nodes by depth, roots first."""
        return [np.flatnonzero(self.depth == d) for d in range(int(self.depth.max()) + 1)]
