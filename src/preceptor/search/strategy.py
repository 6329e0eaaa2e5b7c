"""What a strategy decides, and nothing else: the engine does the calling, counting, scoring and grading.

A strategy is a frozen dataclass; one object serves all problems at once, so whatever it must remember about a
problem lives in `search.memory` or on the nodes. The engine calls, per problem:

    select(search)        which nodes get how many continuations now; [] ends the search
    to_score(search, k)   which of the new nodes the scorer sees      (default: live and done, if it has one)
    backup(search, kids)  values up the tree                          (default: nothing)
    prune(search, kids)   statuses down: PRUNED, REJECTED, CUT        (default: nothing)
    stop(search)          a reason to stop, or None                   (default: None)
    choose(search)        the winning node

`kids` are all nodes born of one `select`, even where a budget made the engine sample them in several
batches. Only a node's own status, visits, value_sum, data and multiplicity may be changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.search.aggregate import Aggregate, aggregate
from preceptor.search.tree import Node, Status
from preceptor.search.vote import VOTES, Vote
from preceptor.trace import Problem

if TYPE_CHECKING:
    from preceptor.search.state import Search

STOPS: dict[str, tuple[str, ...]] = {"line": ("\n",), "blank_line": ("\n\n",)}
"""Segmenter to the stop strings that end its steps. The others need to see what follows a step."""


@dataclass(frozen=True)
class Ask:
    """`count` continuations of one node."""

    node: Node
    count: int
    sampling: Sampling
    role: str = "step"
    start: int | None = None
    """Continue the first `start` characters of the node's path; None: all of it."""
    insert: str = ""
    """Text put behind the prefix before sampling; becomes part of the child, marked as not sampled."""
    problem: Problem | None = None
    """Asked instead of the tree's problem (a critique's prompt); None: the tree's."""
    by: str = ""
    """Who is asked: a name in the `helpers` of `solve` (a critic, a rationale model); "": the policy."""
    resume: bool = False
    """Reaching `sampling.max_tokens` leaves the child live (units of so many tokens), instead of cut. Without stop
    strings, the text goes on inside the last step."""


class Strategy(ABC):
    """Base of all strategies. `sampling` is a field of every one."""

    needs_scorer: ClassVar[bool] = False
    helpers: ClassVar[tuple[str, ...]] = ()
    """Names under which it asks other policies than the one that is searched; the searched one stands in for a
    name that `solve` is not given."""
    sampling: Sampling

    @property
    def asked(self) -> int | None:
        """Complete solutions wanted; None: as many as the budget buys."""
        return 1

    def __str__(self) -> str:
        """Name and settings, keyword-only ones where they differ from their defaults."""
        shown = []
        for f in fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, f.name), f.default
            if f.default_factory is not MISSING:
                default = f.default_factory()
            if not (f.kw_only or f.name == "sampling") or value != default:
                shown.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def prepare(self, policy: Policy) -> Policy:
        """The policy to search with, made of the user's: for strategies that must know more of it than text."""
        return policy

    @abstractmethod
    def select(self, search: Search) -> list[Ask]: ...

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.status in (Status.LIVE, Status.DONE)] if self.needs_scorer else []

    def backup(self, search: Search, kids: Sequence[Node]) -> None:  # noqa: B027
        """Carry values up the tree."""

    def prune(self, search: Search, kids: Sequence[Node]) -> None:  # noqa: B027
        """Decide who may go on."""

    def stop(self, search: Search) -> str | None:
        return None

    def candidates(self, search: Search) -> list[Node]:
        """Complete solutions to choose from, in order of creation."""
        return search.done

    @abstractmethod
    def choose(self, search: Search) -> Node | None:
        """The winner among the candidates; None where nobody answered. Must not look at gold answers."""


def steps(sampling: Sampling, problem: Problem) -> Sampling:
    """`sampling` stopped at the end of a step of this problem; its own stop strings win.

    Raises `InputError` where the problem's segmenter has no stop string.
    """
    if sampling.stop:
        return sampling
    if problem.segmenter not in STOPS:
        raise InputError(
            f"step search on problem {problem.id}: its segmenter {problem.segmenter!r} has no stop string; "
            f"expected one of {sorted(STOPS)}. Set `sampling=Sampling(stop=(...,))` in the strategy."
        )
    return replace(sampling, stop=STOPS[problem.segmenter])


def elect(nodes: Sequence[Node], vote: str | Vote, how: str | Aggregate = "last") -> Node | None:
    """The node that wins `vote`, each one's step scores aggregated by `how`."""
    scores = [aggregate(n.scores, how) for n in nodes]
    rule = VOTES[vote] if isinstance(vote, str) else vote
    winner = rule([n.canon for n in nodes], scores)
    return None if winner is None else nodes[winner]


def ranked(nodes: Sequence[Node], how: str | Aggregate) -> list[Node]:
    """Best first; unscored last; ties in order of creation."""
    return descending(nodes, lambda node: aggregate(node.scores, how))


def descending(nodes: Sequence[Node], worth: Callable[[Node], float | None]) -> list[Node]:
    """Largest `worth` first; None last; ties in order of creation."""
    key = {n.id: worth(n) for n in nodes}
    return sorted(nodes, key=lambda n: (key[n.id] is None, -(key[n.id] or 0.0), n.id))


def live(nodes: Sequence[Node]) -> list[Node]:
    return [n for n in nodes if n.status is Status.LIVE]
