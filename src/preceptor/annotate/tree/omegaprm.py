"""OmegaPRM (arXiv 2406.06592): binary searches for first errors, from the most telling wrong rollouts of a tree.

Per problem: rollouts at the root; then the best wrong rollout of a node that is sometimes right (`pool.py`) is
searched by bisection, every probed prefix becomes a node, and its wrong rollouts wait in turn. The whole
solution is graded, never rolled out. Cost: K rollouts per new probe, at most ceil(log2 T) probes a search.
Deviations: the filter's rollouts are the root's; equal wrong rollouts of a node are one pair; undecided rollouts
are not wrong. K = 8, 100 searches: from memory (openr: 16, 20 and at most 200 rollouts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from preceptor.annotate.rollout.bisection import Bisection, monotone_violation
from preceptor.annotate.rollout.montecarlo import Prefix, Rollout, lost_prefix, rollout_flags, tally
from preceptor.annotate.tree.base import Ask, TreeAnnotator
from preceptor.annotate.tree.pool import Candidate, Pool
from preceptor.annotate.tree.samples import Sample, Target, point_samples
from preceptor.annotate.tree.tree import Node, Tree, right
from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, first_below
from preceptor.trace import Problem, Trace


@dataclass(frozen=True)
class OmegaPRM(TreeAnnotator):
    """Scorer of value by a searched tree per problem.

    The wrong ones among a problem's given traces join the root's wrong rollouts. They are in no count: they may
    have been selected. They are searched also where every drawn rollout was right, if there is no filter; a
    problem without a wrong given trace is not searched. Read off the tree: the rate at probed prefixes, the grade
    at the last step, 1 before the last probed prefix above 0, None elsewhere. A right trace gets 1 where it was
    not probed (`"assumed-correct"`).

    Other flags: `"filtered-problem"`, `"not-searched"` (a wrong trace whose turn did not come or did not end),
    `"undecided-probe"`, `"monotone-violation"`.
    """

    name: ClassVar[str] = "omegaprm"
    cost: ClassVar[str] = "per problem 32 rollouts, then at most K ceil(log2 T) for each of 100 searches"

    alpha: float = 0.5
    beta: float = 0.9
    length: int = 500
    """L, in words; MM-PRM 2000."""
    c_puct: float = 0.125
    searches: int = 100
    """Per problem."""
    max_rollouts: int | None = None
    """Per problem, the root's included; rollouts from the store count too. None: no limit."""
    filter: int = 32
    """Rollouts at the root; a problem is left when all are right or all wrong. 0: no filter, K at the root."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.alpha <= 1 and 0 < self.beta <= 1 and self.length > 0 and self.c_puct >= 0):
            raise InputError(
                f"omegaprm: got alpha={self.alpha}, beta={self.beta}, length={self.length}, "
                f"c_puct={self.c_puct}, expected alpha and beta in (0, 1], length above 0, c_puct at least 0."
            )
        if self.searches < 0 or self.filter < 0:
            raise InputError(f"omegaprm: got searches={self.searches}, filter={self.filter}, expected >= 0.")
        if self.max_rollouts is not None and self.max_rollouts < self.at_root:
            raise InputError(
                f"max_rollouts: got {self.max_rollouts}, expected at least the {self.at_root} of the root. "
                "Raise it, or lower filter or rollouts."
            )

    @property
    def at_root(self) -> int:
        """Rollouts from the bare problem."""
        return max(self.rollouts, self.filter)

    def begin(self, problem: Problem, given: Sequence[Trace]) -> OmegaSearch:
        wrong = [trace for trace in given if right(trace) is False]
        search = OmegaSearch(self, problem, wrong)
        if given and not wrong:
            search.tree.stopped = "nothing-wrong"
        return search

    def samples(self, tree: Tree, target: Target = "soft") -> list[Sample]:
        """A target per node: its rate, or for "hard" whether that is above 0."""
        return point_samples(tree, target)

    def read(self, trace: Trace, tree: Tree) -> Judgement:
        correct, last = right(trace), len(trace.steps)
        prefixes = {t: tree.nodes.get(trace.prefix(t)) for t in range(1, last)}
        probed = {t: node for t, node in prefixes.items() if node is not None}
        found = [tally(node.rollouts) for node in probed.values()]
        asked = found if correct else [tally(tree.root.rollouts), *found]
        if (error := _obstacle(correct) or lost_prefix(asked)) is not None:
            return self.failed(trace, error)
        values = {t: node.value for t, node in probed.items() if node.value is not None}
        survives = last if correct else max((t for t, value in values.items() if value > 0), default=0)
        scores = [values.get(t, 1.0 if t < survives else None) for t in range(1, last)]
        scores.append(float(bool(correct)))
        located = bool(correct) or trace.text in tree.located
        named = {
            "assumed-correct": bool(correct),
            "filtered-problem": tree.stopped == "filtered" and not correct,
            "not-searched": not located,
            "undecided-probe": len(values) < len(probed),
            "monotone-violation": monotone_violation({**values, last: scores[-1] or 0.0}),
        }
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=tuple(scores),
            counts=(*(probed[t].counts if t in probed else None for t in range(1, last)), None),
            undecided=sum(e.undecided + e.failed for e in found),
            first_error=first_below([None if s is None else float(s > 0) for s in scores], 0.5),
            flags=(*rollout_flags(found), *(name for name, present in named.items() if present)),
        )


class OmegaSearch:
    """One problem's tree and pool, and the bisection under way."""

    def __init__(self, plan: OmegaPRM, problem: Problem, wrong: Sequence[Trace] = ()):
        self.plan, self.tree, self.wrong = plan, Tree(problem), wrong
        self.pool = Pool(plan.alpha, plan.beta, plan.length, plan.c_puct)
        self.tree.nested = False
        self.spent = 0
        """Rollouts asked for."""
        self.job: Job | None = None

    def ask(self) -> list[Ask]:
        while not self.tree.stopped:
            if not self.spent:
                return [(Prefix(self.tree.problem), range(self.plan.at_root))]
            if self.job is None:
                self._select()
            elif (t := self.job.search.probe) is None:
                self._finish(self.job)
            elif (node := self.tree.nodes.get(self.job.prefix(t))) is not None:
                self.job.observe(t, node)
            elif self._room() < self.plan.rollouts:
                self.tree.stopped = "rollouts"
            else:
                prefix = Prefix(self.tree.problem, self.job.prefix(t), self.job.candidate.trace)
                return [(prefix, range(self.plan.rollouts))]
        return []

    def take(self, asked: list[Ask], drawn: list[list[Rollout]]) -> None:
        (prefix, _), rollouts = asked[0], drawn[0]
        self.spent += len(rollouts)
        parent = self.tree.root if self.job is None else self.job.parent
        node = self.tree.add(prefix.text, parent)
        node.rollouts, node.counts = list(rollouts), tally(rollouts).counts
        if node is self.tree.root:
            self._open(node)
        else:
            self.pool.add(node)

    def _room(self) -> float:
        limit = self.plan.max_rollouts
        return float("inf") if limit is None else limit - self.spent

    def _open(self, root: Node) -> None:
        if root.value is None:
            self.tree.stopped = "undecided"
        elif self.plan.filter and root.value in (0, 1):
            self.tree.stopped = "filtered"
        elif root.value > 0:
            for trace in self.wrong:
                self.pool.offer(root, trace, trace.text)
            self.pool.add(root)

    def _select(self) -> None:
        if len(self.pool.popped) >= self.plan.searches:
            self.tree.stopped = "searches"
        elif (candidate := self.pool.pop()) is None:
            self.tree.stopped = "empty-pool"
        else:
            self.job = Job(candidate)

    def _finish(self, job: Job) -> None:
        """An error located in the last step makes the whole solution a node of its own, as graded."""
        self.job = None
        if job.search.first_zero is None:
            return
        self.tree.located.add(job.candidate.text)
        if job.search.first_zero == len(job.ends) and job.candidate.text not in self.tree.nodes:
            leaf = self.tree.add(job.candidate.text, job.parent)
            leaf.counts, leaf.ended = (0, 1), True


class Job:
    """The bisection of one pair."""

    def __init__(self, candidate: Candidate):
        self.candidate, self.ends = candidate, candidate.ends
        self.search = Bisection(len(self.ends))
        self.parent = candidate.node
        """The longest prefix found above 0."""

    def prefix(self, t: int) -> str:
        """The node's text and the first `t` steps behind it."""
        return self.candidate.text[: self.ends[t - 1]]

    def observe(self, t: int, node: Node) -> None:
        self.search.observe(t, node.value)
        if node.value:
            self.parent = node


def _obstacle(correct: bool | None) -> ItemError | None:
    return ItemError("undecided", "the trace could not be graded") if correct is None else None
