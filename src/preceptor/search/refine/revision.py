"""Draft, review, cut, sample the rest again: the loop that truncate-regenerate and cut-regenerate share.

The policy writes a draft. A critic reviews it; where it names a flaw, the text is cut in front of it and the policy
continues from there; the new version is reviewed in turn, up to `tries` continuations. The version that stands at the
end is the answer: the first without a flaw, else the last. An attempt that does not finish or gives no answer is a try
spent, and the version before it stands. A review that cannot be read ends the loop: what it says is unknown, not "no
flaw" (the search stops with "unread-review"). The version left by the last try is not reviewed, nothing would follow.

A new continuation never reads the random stream of the text it replaces. Cost: one solution, then a review and the rest
of a solution a try; all one after the other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.judgement import NO_ERROR
from preceptor.search.refine.asking import reply
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Path, Status
from preceptor.trace import Problem


@dataclass(frozen=True)
class Revision(Strategy):
    """Base: subclasses say what the critic is asked and where its reply puts the flaw."""

    helpers: ClassVar[tuple[str, ...]] = ("critic",)
    tries: int = 16
    """Continuations after the draft, at most."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    reviewing: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=1024), kw_only=True
    )
    """How reviews are sampled; ours."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"revision: got tries={self.tries}, expected at least 1")

    @abstractmethod
    def question(self, problem: Problem, path: Path) -> Problem:
        """What the critic is asked about a version."""

    @abstractmethod
    def flaw(self, path: Path, review: str) -> int | None:
        """Characters of the version to keep; `NO_ERROR` for no flaw, None where the review cannot be read."""

    @property
    def insert(self) -> str:
        """Text put behind what is kept."""
        return ""

    def select(self, search: Search) -> list[Ask]:
        if search.round == 0:
            return [Ask(search.tree.root, 1, self.sampling, role="solution")]
        version = self._standing(search)
        if version is None:
            return []
        if "keep" not in version.data:
            asked = self.question(search.problem, search.tree.path(version))
            return [Ask(version, 1, self.reviewing, role="critique", start=0, problem=asked, by="critic")]
        keep = version.data["keep"]
        return [Ask(version, 1, self.sampling, role="solution", start=keep, insert=self.insert)]

    def stop(self, search: Search) -> str | None:
        version = self._standing(search)
        if version is None:
            return None
        if "keep" in version.data and version.data["keep"] is None:
            return "unread-review"
        if version.data.get("keep") == NO_ERROR:
            return "no-flaw"
        return "tries" if self._attempts(search) > self.tries else None

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            if kid.role == "critique":
                self._reviewed(search, search.tree[kid.parent or 0], reply(kid))
            elif kid.status is Status.DONE and kid.parent:
                self._replace(search.tree[kid.parent], kid)

    def _reviewed(self, search: Search, version: Node, review: str | None) -> None:
        path = search.tree.path(version)
        version.data["keep"] = None if review is None else self.flaw(path, review)

    def _replace(self, old: Node, new: Node) -> None:
        kept, why = (new, "a flaw was found") if new.canon is not None else (old, "no answer")
        dropped = old if kept is new else new
        dropped.status = Status.REJECTED
        dropped.data["why"] = why

    def _standing(self, search: Search) -> Node | None:
        return next((n for n in search.done if n.role == "solution"), None)

    def _attempts(self, search: Search) -> int:
        return sum(n.role == "solution" for n in search.tree.nodes)

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.role == "solution"]

    def choose(self, search: Search) -> Node | None:
        return next((n for n in self.candidates(search) if n.canon is not None), None)
