"""MCTS process supervision: how much better is a step than its siblings?

UCT over steps with the policy as its own proposer. A node without its `rollouts` children draws one more
solution: its first step is the child, its outcome the simulation, backed up to the root. Value = rate of right
outcomes through a node; score = (V - mean of siblings) / (std + 1e-6), clipped to [-1, 1], as weight of
the step's log-likelihood: 0 where all siblings are equal. Cost: one whole rollout a simulation.
Not found in the paper: the score's formula (this is a default), c (1.4), children (4); 32 simulations are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from statistics import fmean, pstdev
from typing import ClassVar, Literal

from preceptor.annotate.rollout.montecarlo import Prefix, Rollout, lost_prefix, rollout_flags, tally
from preceptor.annotate.tree.base import Ask, TreeAnnotator, ends_after
from preceptor.annotate.tree.samples import Sample
from preceptor.annotate.tree.tree import Node, Tree, right
from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question
from preceptor.trace import Finish, Problem, Trace

Mode = Literal["signed", "positive_part"]


def relative_weights(values: Sequence[float | None], mode: Mode = "signed") -> tuple[float | None, ...]:
    """Weights of siblings from their values; None for an unknown value and for one without a known sibling.

    >>> [round(w, 3) for w in relative_weights([1.0, 0.0, 0.0, 0.0], "positive_part")]
    [1.0, 0.0, 0.0, 0.0]
    """
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return (None,) * len(values)
    mean, spread = fmean(known), pstdev(known) + 1e-6
    lowest = 0.0 if mode == "positive_part" else -1.0
    return tuple(None if v is None else min(1.0, max(lowest, (v - mean) / spread)) for v in values)


@dataclass(frozen=True)
class MCTSRelative(TreeAnnotator):
    """Scorer of progress: each step against the others tried at its place.

    Given traces are the first simulations, and all their prefixes get their children before the search goes on
    from the root: 4 - 1 rollouts per step of a lone trace, then `simulations`. Their outcomes count, so values
    lean to what was selected. A step without a valued sibling has no score. No `first_error`: a step can be the
    best of a bad lot. Evidence is in the tree, not in `counts`, which would be read as the label.
    """

    name: ClassVar[str] = "mcts-relative"
    cost: ClassVar[str] = "(children - 1) T rollouts per trace, and 32 per problem"
    question: ClassVar[Question] = Question.PROGRESS

    rollouts: int = 4
    """Children of a node: steps tried there, given ones included; equal ones merge."""
    simulations: int = 32
    """Per problem, after the prefixes of given traces have their children."""
    c: float = 1.4
    mode: Mode = "signed"
    """`"positive_part"` makes weights below 0 to 0: no step is pushed down."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("signed", "positive_part"):
            raise InputError(f"mode: got {self.mode!r}, expected 'signed' or 'positive_part'")
        if self.simulations < 0 or self.c < 0:
            raise InputError(f"mcts-relative: got simulations={self.simulations}, c={self.c}, expected >= 0.")

    def begin(self, problem: Problem, given: Sequence[Trace]) -> RelativeSearch:
        return RelativeSearch(self, problem, given)

    def weights(self, node: Node) -> dict[str, float]:
        """Step -> weight of the node's children, those without a weight left out. An only child weighs 0 where
        the policy, asked more than once, knew no other step."""
        found = relative_weights([child.value for child in node.children], self.mode)
        tries = sum(rollout.right is not None for rollout in node.rollouts)
        if len(node.children) == 1 and tries > 1:
            found = (0.0,)
        return {c.step: w for c, w in zip(node.children, found, strict=True) if w is not None}

    def samples(self, tree: Tree) -> list[Sample]:
        """Every step with a weight, as last target of its prefix: weights of the log-likelihood of `step` given
        `prefix`."""
        found = []
        for node in tree:
            for step, weight in self.weights(node).items():
                steps = (*node.steps, step)
                found.append(Sample(tree.problem, steps, (*(None,) * (len(steps) - 1), weight)))
        return found

    def read(self, trace: Trace, tree: Tree) -> Judgement:
        nodes = [tree.nodes[trace.prefix(t)] for t in range(1, len(trace.steps) + 1)]
        parents = [node.parent or tree.root for node in nodes]
        evidence = [tally(node.rollouts) for node in parents if node.rollouts]
        if (lost := lost_prefix(evidence)) is not None:
            return self.failed(trace, lost)
        scores = tuple(self.weights(p).get(n.step) for n, p in zip(nodes, parents, strict=True))
        flags = rollout_flags(evidence)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=scores,
            undecided=sum(e.undecided + e.failed for e in evidence),
            flags=flags if None not in scores else (*flags, "no-siblings"),
        )


class RelativeSearch:
    """One problem's tree under UCT. `Node.visits` counts the solutions through a node, decided or not."""

    def __init__(self, plan: MCTSRelative, problem: Problem, given: Sequence[Trace] = ()):
        self.plan, self.tree, self.given = plan, Tree(problem), given
        self.left = plan.simulations
        self.drawn: dict[str, int] = {}
        """Rollouts asked for at each prefix."""
        self.tried: dict[str, int] = {}
        """Those, and the distinct given steps."""
        self.closed: set[str] = set()
        """Nothing is left to try from here on."""
        self.earlier: dict[str, Trace] = {}
        """A trace that begins with the prefix."""
        for trace in given:
            self._start_from(trace)

    def _start_from(self, trace: Trace) -> None:
        leaf = self.tree.insert(trace)
        self.closed.add(leaf.text)
        self._back_up(leaf, right(trace))
        for node in leaf.lineage:
            self.tried[node.text] = len(node.children)
            self.earlier.setdefault(node.text, trace)

    def ask(self) -> list[Ask]:
        if self.given and not self.drawn:
            inner = [node for node in self.tree if not node.ended]
            missing = {node.text: self.plan.rollouts - self.tried[node.text] for node in inner}
            asks = [self._draws(node, missing[node.text]) for node in inner if missing[node.text] > 0]
            if asks:
                return asks
        if self.left and (node := self._select()) is not None:
            self.left -= 1
            return [self._draws(node, 1)]
        self.tree.stopped = "exhausted" if self.left else "simulations"
        return []

    def _draws(self, node: Node, count: int) -> Ask:
        first = self.drawn.get(node.text, 0)
        self.drawn[node.text] = first + count
        self.tried[node.text] = self.tried.get(node.text, 0) + count
        prefix = Prefix(self.tree.problem, node.text, self.earlier.get(node.text))
        return prefix, range(first, first + count)

    def take(self, asked: list[Ask], drawn: list[list[Rollout]]) -> None:
        for (prefix, _), rollouts in zip(asked, drawn, strict=True):
            node = self.tree.nodes[prefix.text]
            node.rollouts += rollouts
            for rollout in rollouts:
                self._grow(node, rollout)

    def _grow(self, node: Node, rollout: Rollout) -> None:
        text = node.text + rollout.continuation.text
        ends = ends_after(self.tree.problem, text, len(node.text))
        if rollout.continuation.finish is Finish.ERROR or not ends:
            return
        if node is self.tree.root and any(_same(rollout, text, trace) for trace in self.given):
            return
        child = self.tree.add(text[: ends[0]], node)
        self.earlier.setdefault(child.text, rollout.trace)
        if len(ends) == 1:
            child.ended = rollout.continuation.finish is not Finish.LENGTH
            self.closed.add(child.text)
        self._back_up(child, rollout.right)

    def _back_up(self, node: Node, outcome: bool | None) -> None:
        node.count(outcome)
        for above in node.lineage:
            above.visits += 1

    def _select(self) -> Node | None:
        """The node to draw from: down by UCT to the first with a child to spare; None when nothing is left."""
        node = self.tree.root
        while self.tried.get(node.text, 0) >= self.plan.rollouts or node.text in self.closed:
            live = [child for child in node.children if child.text not in self.closed]
            if live:
                node = max(live, key=self._priority)
                continue
            self.closed.add(node.text)
            if node.parent is None:
                return None
            node = node.parent
        return node

    def _priority(self, node: Node) -> float:
        """UCT; a node whose value is not known is as good as its parent."""
        parent = node.parent or node
        value = node.value if node.value is not None else parent.value or 0.0
        return value + self.plan.c * sqrt(log(parent.visits) / node.visits)


def _same(rollout: Rollout, text: str, trace: Trace) -> bool:
    """Whether a given trace is this very draw, which is not to count twice."""
    request = rollout.request
    return (trace.policy, trace.seed, trace.draw) == (rollout.policy, request.seed, request.draw) and (
        trace.text == text
    )
