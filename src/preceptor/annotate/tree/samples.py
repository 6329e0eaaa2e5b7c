"""Training samples read off a tree: a target per node, pairs of siblings, MM-PRM's root-to-node paths.

Nodes without a decided trial give no target. `as_labels` turns samples into what `train` takes. MM-PRM's rules
(ModalMinds/MM-PRM, `traverse.py`): a node of value 0 closes a negative path and hides what is below it, a leaf
above 0 closes a positive one; short texts and repetitions go; positives are cut down to the negatives; problems
of root value 0 or 1 are skipped. Our choice: which positives stay depends on their text and `seed` only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from typing import Literal

from preceptor.annotate.label import Labels
from preceptor.annotate.tree.tree import Node, Tree
from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Finish, Problem, Trace, steps_from_ends, stream_seed

Target = Literal["soft", "hard"]


@dataclass(frozen=True)
class Sample:
    """The first steps of a solution with a target (or None) for each."""

    problem: Problem
    steps: tuple[str, ...]
    targets: tuple[float | None, ...]
    counts: tuple[tuple[int, int] | None, ...] | None = None
    """Evidence behind soft targets."""

    @property
    def text(self) -> str:
        return "".join(self.steps)

    @property
    def prefix(self) -> str:
        """What stands before the last step."""
        return "".join(self.steps[:-1])

    @property
    def step(self) -> str:
        """The last step."""
        return self.steps[-1]

    @property
    def target(self) -> float | None:
        """The last step's."""
        return self.targets[-1]

    @property
    def trace(self) -> Trace:
        """As an unfinished trace of these steps."""
        ends = list(accumulate(map(len, self.steps)))
        return Trace(self.problem, self.text, steps_from_ends(ends), Finish.BOUNDARY)


@dataclass(frozen=True)
class SiblingPair:
    """Two continuations of one prefix of which one is better."""

    problem: Problem
    prefix: str
    better: str
    worse: str
    margin: float
    """Difference of their values."""


def point_samples(tree: Tree, target: Target = "soft") -> list[Sample]:
    """One sample per node but the root, in order of creation: its value, or for "hard" whether it is above
    0."""
    if target not in ("soft", "hard"):
        raise InputError(f"target: got {target!r}, expected 'soft' or 'hard'")
    return [_sample(tree, node, target) for node in tree if node.parent is not None and node.counts[1]]


def sibling_pairs(tree: Tree, *, margin: float = 0.0) -> list[SiblingPair]:
    """Siblings whose values differ by more than `margin`. Two of which one begins with the other are no
    alternatives and make no pair."""
    found = []
    for node in tree:
        valued = [(child, child.value) for child in node.children if child.value is not None]
        for (a, x), (b, y) in combinations(valued, 2):
            nested = a.text.startswith(b.text) or b.text.startswith(a.text)
            if abs(x - y) > margin and not nested:
                better, worse = (a, b) if x > y else (b, a)
                pair = SiblingPair(tree.problem, node.text, better.step, worse.step, abs(x - y))
                found.append(pair)
    return found


def path_samples(
    trees: Sequence[Tree], *, longest_dropped: int = 10, balance: bool = True, seed: int = 0
) -> list[Sample]:
    """MM-PRM's paths: the value of every node from below the root to where the path closes.

    Texts of at most `longest_dropped` words are dropped. `balance`: no more positive paths than negative ones.
    """
    found: dict[tuple[str, str], Sample] = {}
    for tree in trees:
        if tree.root.value is None or tree.root.value in (0, 1):
            continue
        for node in _closing(tree):
            if len(node.text.split()) > longest_dropped:
                found.setdefault((tree.problem.id, node.text), _path(tree, node))
    paths = list(found.values())
    positives = [path for path in paths if path.target]
    if not balance or 2 * len(positives) <= len(paths):
        return paths
    kept = set(shuffled(positives, seed)[: len(paths) - len(positives)])
    return [path for path in paths if not path.target or path in kept]


def as_labels(samples: Sequence[Sample], source: Source, question: Question = Question.VALUE) -> Labels:
    """The samples as traces with judgements, for `train`."""
    traces = tuple(sample.trace for sample in samples)
    judged = tuple(
        Judgement(trace.id, question, source, sample.targets, sample.counts)
        for trace, sample in zip(traces, samples, strict=True)
    )
    return Labels(traces, judged, labelled=len(traces), failed=0, skipped=0)


def shuffled(samples: Iterable[Sample], *seed: object) -> list[Sample]:
    """Sorted by a hash of their content: taking the first n is a random choice that their order does not
    change."""
    return sorted(samples, key=lambda s: stream_seed("shuffled", seed, s.problem.id, s.steps, s.targets))


def _closing(tree: Tree) -> Iterator[Node]:
    """Nodes that close a path, depth first; a node of unknown value is as if it were not there."""
    waiting = [tree.root]
    while waiting:
        node = waiting.pop()
        valued = [child for child in node.children if child.value is not None]
        if node.parent is not None and (not node.value or not valued):
            yield node
        elif node.value:
            waiting += reversed(valued)


def _path(tree: Tree, node: Node) -> Sample:
    above = node.lineage[1:]
    return Sample(
        tree.problem,
        node.steps,
        tuple(n.value for n in above),
        tuple(n.counts if n.counts[1] else None for n in above),
    )


def _sample(tree: Tree, node: Node, target: Target) -> Sample:
    steps, value = node.steps, node.value or 0.0
    before = (None,) * (len(steps) - 1)
    if target == "hard":
        return Sample(tree.problem, steps, (*before, float(value > 0)))
    return Sample(tree.problem, steps, (*before, value), (*before, node.counts))
