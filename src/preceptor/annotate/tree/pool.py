"""OmegaPRM's candidate pool: wrong rollouts of nodes that are sometimes right, best first.

Priority = Q + U with Q(s, r) = alpha^(1 - MC(s)) * beta^(words(r) / L) and
U(s) = c * sqrt(sum of all N) / (1 + N(s)). Q never changes; U changes for all at every selection and is
computed when popping. A pair that was popped never comes back, nor does an equal one (same node, same text).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from preceptor.annotate.rollout.montecarlo import Rollout
from preceptor.annotate.tree.base import ends_after
from preceptor.annotate.tree.tree import Node
from preceptor.trace import Trace


@dataclass(frozen=True, eq=False)
class Candidate:
    """A node and a wrong solution that was written from it."""

    node: Node
    written: Rollout | Trace
    text: str
    """The whole solution, the node's text included."""
    quality: float
    """Q."""

    @property
    def trace(self) -> Trace:
        return self.written if isinstance(self.written, Trace) else self.written.trace

    @property
    def ends(self) -> tuple[int, ...]:
        """Where the steps behind the node end: a given trace's own, else the segmenter's."""
        start = len(self.node.text)
        if isinstance(self.written, Trace):
            return tuple(step.end for step in self.written.steps if step.end > start)
        return ends_after(self.written.request.problem, self.text, start)


def quality(value: float, words: int, alpha: float = 0.5, beta: float = 0.9, length: int = 500) -> float:
    """Q: high for a node that is mostly right and a short rollout.

    >>> round(quality(0.5, 100), 4)
    0.6924
    """
    return float(alpha ** (1 - value) * beta ** (words / length))


class Pool:
    """Pairs that wait to be searched."""

    def __init__(self, alpha: float, beta: float, length: int, c_puct: float):
        self.alpha, self.beta, self.length, self.c_puct = alpha, beta, length, c_puct
        self.waiting: list[Candidate] = []
        self.popped: list[Candidate] = []
        self._known: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, node: Node) -> None:
        """The wrong rollouts of a node whose value is neither 0 nor 1; undecided ones are not wrong."""
        if node.value is not None and 0 < node.value < 1:
            for rollout in node.rollouts:
                if rollout.right is False:
                    self.offer(node, rollout, rollout.request.prefix + rollout.continuation.text)

    def offer(self, node: Node, written: Rollout | Trace, text: str) -> None:
        """A wrong solution from a node of known value."""
        added = text[len(node.text) :]
        if node.value is None or not added or (node.text, text) in self._known:
            return
        self._known.add((node.text, text))
        words = len(added.split())
        worth = quality(node.value, words, self.alpha, self.beta, self.length)
        self.waiting.append(Candidate(node, written, text, worth))

    def pop(self) -> Candidate | None:
        """The best pair, for good, with its node's N raised by one; of equals the first to have come."""
        if not self.waiting:
            return None
        best = max(self.waiting, key=self.priority)
        self.waiting.remove(best)
        self.popped.append(best)
        best.node.visits += 1
        return best

    def priority(self, candidate: Candidate) -> float:
        """Q + U as of now; every visit of the tree was a pop."""
        bonus = self.c_puct * sqrt(len(self.popped)) / (1 + candidate.node.visits)
        return candidate.quality + bonus
