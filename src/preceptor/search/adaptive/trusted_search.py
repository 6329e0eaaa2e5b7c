"""Vote, re-rank or search, as far as the scorer can be trusted on this problem: our own strategy.

It samples a few solutions and asks how their scores agree with their votes (`trust.py`). The answer is the most
probable one, which is the majority where scores say nothing, close to the best-scored one where they mean much, and
between them elsewhere. While no answer is sure, it goes on: the less the scores are trusted, the more new solutions are
sampled from the beginning; the more they are, the more continue the longest beginnings that the scorer finds right,
which is a search. Cost: one solution and its scores a sample, most of them shorter than a whole one once it branches.
Left out: moving budget from one problem to another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from preceptor.generation import Sampling
from preceptor.search.adaptive.trust import Sample, Trust, believed
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node


class Beginning(NamedTuple):
    """A prefix whose steps the scorer finds right, of a sample that goes wrong after it."""

    node: Node
    chars: int
    steps: int
    worth: float
    """Its lowest step score."""


@dataclass(frozen=True)
class TrustedSearch(Strategy):
    """Samples, votes and branches by the posterior of answers and of the scorer's worth."""

    needs_scorer: ClassVar[bool] = True
    n: int | None = None
    """Solutions at most; None: until an answer is sure or the budget is spent."""
    first: int = field(default=8, kw_only=True)
    """Solutions sampled before the first look."""
    batch: int = field(default=4, kw_only=True)
    """Solutions between two looks."""
    sure: float = field(default=0.999, kw_only=True)
    """Probability of an answer at which to stop."""
    right: float = field(default=0.5, kw_only=True)
    """Step score from which a step counts as right."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        if min(self.first, self.batch, 1 if self.n is None else self.n) < 1 or not 0 < self.sure <= 1:
            raise ValueError(
                f"trusted search: got {self!r}, expected n, first and batch >= 1 and 0 < sure <= 1 (n: or None)"
            )

    @property
    def asked(self) -> int | None:
        return self.n

    def select(self, search: Search) -> list[Ask]:
        sampled = len(search.tree) - 1
        room = self.batch if search.round else self.first
        room = room if self.n is None else min(room, self.n - sampled)
        root = search.tree.root
        if search.round == 0 or room < 1:
            return [Ask(root, room, self.sampling, role="solution")]
        trust = self.trust(search)
        search.memory["trust"] = trust.slope
        if max(trust.answers.values(), default=0.0) >= self.sure:
            return []
        places = self._beginnings(search)
        branches = min(len(places), round(room * min(1.0, trust.slope)))
        asks = [Ask(p.node, 1, self.sampling, role="branch", start=p.chars) for p in places[:branches]]
        for place in places[:branches]:
            tried = search.memory.setdefault("tried", {})
            text = search.tree.path(place.node).text[: place.chars]
            tried[text] = tried.get(text, 0) + 1
        return [*asks, Ask(root, room - branches, self.sampling, role="solution")]

    def trust(self, search: Search) -> Trust:
        return believed(
            [
                Sample(search.tree.path(n).text, n.canon, n.scores, n.role == "solution")
                for n in self.candidates(search)
            ]
        )

    def _beginnings(self, search: Search) -> list[Beginning]:
        """Distinct ones, least tried first, then the best and longest."""
        found: dict[str, Beginning] = {}
        for node in search.done:
            path, scores = search.tree.path(node), node.scores or ()
            steps = next((t for t, s in enumerate(scores) if s is None or s < self.right), len(scores))
            if not 0 < steps < len(path.ends):
                continue
            worth = min(s for s in scores[:steps] if s is not None)
            chars = path.ends[steps - 1]
            found.setdefault(path.text[:chars], Beginning(node, chars, steps, worth))
        tried = search.memory.get("tried", {})
        order = sorted(found, key=lambda text: (tried.get(text, 0), -found[text].worth, -found[text].steps))
        return [found[text] for text in order]

    def choose(self, search: Search) -> Node | None:
        done = self.candidates(search)
        best = self.trust(search).best
        members = [n for n in done if n.canon is not None and n.canon == best]
        return max(members, key=lambda n: (n.scores or (None,))[-1] or 0.0, default=None)
