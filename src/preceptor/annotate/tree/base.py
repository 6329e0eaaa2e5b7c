"""What annotators that grow a tree per problem have in common: all problems advance together.

A search says what it wants rolled out next and takes what came; every round is one batched call over all
problems. A problem's tree depends on the problem, its given traces and the settings, never on the other
problems. What a tree cost is carried by the first judged trace of its problem. Left out: the searches.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import MonteCarlo, Prefix, Rollout, obstacle
from preceptor.annotate.tree.tree import Tree
from preceptor.judgement import Judgement
from preceptor.segment import segment
from preceptor.trace import Problem, Step, Trace
from preceptor.usage import Ledger

Ask = tuple[Prefix, range]
"""Which draws from which prefix."""


class Search(Protocol):
    """One problem's tree in the making."""

    tree: Tree

    def ask(self) -> list[Ask]:
        """What to roll out next; nothing when the search is over."""
        ...

    def take(self, asked: list[Ask], drawn: list[list[Rollout]]) -> None:
        """The rollouts that were asked for, in order."""
        ...


def advance(monte_carlo: MonteCarlo, searches: Sequence[Search]) -> None:
    """Run all searches to their end, one batched call a round."""
    while asking := [(search, asks) for search in searches if (asks := search.ask())]:
        wanted = [ask for _, asks in asking for ask in asks]
        drawn = iter(monte_carlo.draw([prefix for prefix, _ in wanted], [draws for _, draws in wanted]))
        for search, asks in asking:
            came = [next(drawn) for _ in asks]
            search.tree.usage = sum(
                (r.continuation.usage for rollouts in came for r in rollouts), search.tree.usage
            )
            search.take(asks, came)


@dataclass(frozen=True)
class TreeAnnotator(RolloutAnnotator):
    """A `Scorer` that grows one tree per problem and reads the scores of given traces off it.

    The traces of a problem come in one call (`pool`): each call grows its own trees (a store makes the second
    one cheap, not equal).
    """

    pool: ClassVar[str] = "problem"

    @abstractmethod
    def begin(self, problem: Problem, given: Sequence[Trace]) -> Search:
        """The search of one problem; the order of `given` does not matter."""

    @abstractmethod
    def read(self, trace: Trace, tree: Tree) -> Judgement:
        """The judgement of one given trace, without its cost."""

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order; the searches of all problems advance together."""
        groups: dict[str, list[Trace]] = {}
        for trace in traces:
            groups.setdefault(trace.problem.id, []).append(trace)
        searches = {
            name: self.begin(group[0].problem, sorted({t.id: t for t in group}.values(), key=lambda t: t.id))
            for name, group in groups.items()
        }
        advance(self.monte_carlo, list(searches.values()))
        judged, paid = [], set()
        for trace in traces:
            tree = searches[trace.problem.id].tree
            cost = Ledger() if trace.problem.id in paid else Ledger(policy=tree.usage)
            paid.add(trace.problem.id)
            judged.append(replace(self.read(trace, tree), usage=cost))
        return judged

    def trees(self, problems: Sequence[Problem]) -> list[Tree]:
        """The tree of each problem, in order, without given traces; one that rollouts cannot search is empty
        and has an `error`."""
        searches: dict[str, Search] = {}
        failed: dict[str, Tree] = {}
        for problem in problems:
            reason = obstacle(Trace(problem, "-", (Step(0, 1),)))
            if reason is None:
                searches.setdefault(problem.id, self.begin(problem, ()))
            else:
                failed[problem.id] = Tree(problem)
                failed[problem.id].error = reason
        advance(self.monte_carlo, list(searches.values()))
        return [failed[p.id] if p.id in failed else searches[p.id].tree for p in problems]


def ends_after(problem: Problem, text: str, start: int) -> tuple[int, ...]:
    """Ends of the steps of `text` that lie behind its first `start` characters."""
    return tuple(step.end for step in segment(problem, text) if step.end > start)
