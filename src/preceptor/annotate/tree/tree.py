"""A tree of prefixes of one problem's solutions: what was tried, and how often the right answer came of it.

A node is a prefix; what it adds to its parent's is its step, which may span several lines. In a tree made of
whole solutions (`Tree.of`) counts are those of the solutions through a node; in one grown by a search each
method says what its counts mean. The same prefix is one node however it was reached, so its evidence is
pooled once. Left out: how trees are grown, and the samples read off them (`samples.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from preceptor.annotate.rollout.montecarlo import Rollout, outcome
from preceptor.errors import InputError, ItemError
from preceptor.trace import Finish, Problem, Trace
from preceptor.usage import Usage


@dataclass(eq=False)
class Node:
    """One prefix."""

    text: str = ""
    """All of it, from the beginning of the solution; the root's is empty."""
    parent: Node | None = field(default=None, repr=False)
    counts: tuple[int, int] = (0, 0)
    """(successes, decided trials); of a graded whole solution (0 or 1, 1)."""
    rollouts: list[Rollout] = field(default_factory=list, repr=False)
    """Those drawn from here."""
    children: list[Node] = field(default_factory=list, repr=False)
    visits: int = 0
    """How often a search chose it; see the method."""
    ended: bool = False
    """The text is a whole solution."""

    @property
    def step(self) -> str:
        """What it adds to its parent."""
        return self.text if self.parent is None else self.text[len(self.parent.text) :]

    @property
    def value(self) -> float | None:
        """Rate of success; None without a decided trial."""
        return self.counts[0] / self.counts[1] if self.counts[1] else None

    @property
    def lineage(self) -> list[Node]:
        """From the root to this node."""
        found: list[Node] = []
        at: Node | None = self
        while at is not None:
            found.append(at)
            at = at.parent
        return found[::-1]

    @property
    def height(self) -> int:
        """Nodes above it; 0 for the root."""
        return len(self.lineage) - 1

    @property
    def steps(self) -> tuple[str, ...]:
        """Steps of its lineage; they join to `text`."""
        return tuple(node.step for node in self.lineage[1:])

    def count(self, right: bool | None) -> None:
        """Add one solution's outcome to this node and all above it; an undecided one changes nothing."""
        if right is not None:
            for node in self.lineage:
                node.counts = (node.counts[0] + right, node.counts[1] + 1)


class Tree:
    """The nodes of one problem by their text, in order of creation; parents come before children."""

    def __init__(self, problem: Problem):
        self.problem = problem
        self.root = Node()
        self.nodes: dict[str, Node] = {"": self.root}
        self.usage = Usage()
        """What growing it cost the policy."""
        self.stopped = ""
        """Why its search ended, in one word of the method; "" for a tree that was not grown."""
        self.located: set[str] = set()
        """Wrong whole solutions whose first error a search has located."""
        self.nested = True
        """Counts are those of the solutions through a node: what is below is part of it."""
        self.error: ItemError | None = None
        """Why the problem cannot be searched."""

    @classmethod
    def of(cls, problem: Problem, traces: Sequence[Trace]) -> Tree:
        """The tree of whole solutions that share prefixes: a node per distinct prefix in steps, a leaf per
        distinct solution. Traces that failed are left out; undecided ones are in no count."""
        tree = cls(problem)
        for trace in traces:
            if trace.error is None and trace.steps:
                tree.insert(trace).count(right(trace))
        return tree

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        why = f", stopped: {self.stopped}" if self.stopped else ""
        return f"<Tree of {self.problem.id}: {len(self)} nodes, {len(self.leaves)} leaves{why}>"

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self if not node.children]

    def add(self, text: str, parent: Node) -> Node:
        """The node of this prefix: the one that is there, wherever it hangs, or a new child of `parent`."""
        if text in self.nodes:
            return self.nodes[text]
        if not text.startswith(parent.text):
            raise InputError(f"tree: got {text!r}, expected a text that begins with its parent's.")
        node = self.nodes[text] = Node(text, parent)
        parent.children.append(node)
        return node

    def insert(self, trace: Trace) -> Node:
        """A node for every prefix of the trace in its own steps; the last one is a whole solution."""
        at = self.root
        for t in range(1, len(trace.steps) + 1):
            at = self.add(trace.prefix(t), at)
        at.ended = True
        return at

    def copy(self) -> Tree:
        """Another tree with the same nodes."""
        twin = Tree(self.problem)
        twin.usage, twin.stopped, twin.error = self.usage, self.stopped, self.error
        twin.located, twin.nested = set(self.located), self.nested
        for node in sorted(self, key=lambda n: n.height):
            new = twin.root if node.parent is None else twin.add(node.text, twin.nodes[node.parent.text])
            new.counts, new.visits, new.ended = node.counts, node.visits, node.ended
            new.rollouts = list(node.rollouts)
        return twin


def right(trace: Trace) -> bool | None:
    """Whether a whole solution is right; None when undecided, failed, or cut before its answer."""
    if trace.error is not None:
        return None
    grade = outcome(trace)
    cut = trace.finish is Finish.LENGTH and grade.answer is None
    return grade.correct if grade.decided and not cut else None
