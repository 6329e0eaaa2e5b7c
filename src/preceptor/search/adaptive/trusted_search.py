"""Vote, re-rank or search, as far as the scorer can be trusted: our own strategy.

It samples some solutions and asks how their scores agree with their votes (`trust.py`). The answer is the most
probable one, which is the majority where scores say nothing, close to the best-scored one where they mean much, and
between them elsewhere. One problem tells little of a scorer: `prior` is what an earlier run told (`prior.py`). Where
that run has shown that "all steps are right by the scorer" tells right solutions from wrong ones well enough
(`search_from`), texts grow step by step instead, from the longest beginning that it finds right, and are dropped
at the first wrong step, which is a search. It ends when an answer is sure.

Step by step a scorer is asked again and again until it lets a step pass, so its mistakes add up: a scorer that ranks
whole solutions well may still be a bad guide, and without an earlier run nothing is searched for.
Cost: one solution and its scores a sample, one step and its score a turn of a text that is searched for. Left out:
moving budget from one problem to another.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

from preceptor.generation import Sampling
from preceptor.search.adaptive.prior import UNKNOWN, Prior, samples
from preceptor.search.adaptive.trust import RIGHT, Trust, believed
from preceptor.search.state import Search
from preceptor.search.strategy import STOPS, Ask, Strategy
from preceptor.search.tree import Node, Status

GROWN = "grown"
"""Role of a text that is searched for, step by step."""
TRIES = 4
"""Steps tried at a beginning before shorter ones have their turn."""


class Beginning(NamedTuple):
    """A prefix whose steps the scorer finds right."""

    node: Node
    chars: int
    steps: int
    worth: float
    """Its lowest step score."""


@dataclass(frozen=True)
class TrustedSearch(Strategy):
    """Samples, votes and searches by the posterior of answers and of the scorer's worth."""

    needs_scorer: ClassVar[bool] = True
    n: int | None = None
    """Texts begun at most; None: until an answer is sure or the budget is spent."""
    prior: Prior | str = field(default=UNKNOWN, kw_only=True)
    """What is known of the scorer; a directory: learned from that run."""
    batch: int = field(default=4, kw_only=True)
    """Solutions between two looks, fewer the better the scorer separates, 1 at least."""
    search_from: float = field(default=0.75, kw_only=True)
    """Separation from which the scorer guides step by step."""
    sure: float = field(default=0.98, kw_only=True)
    """Probability of an answer at which to stop."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        if min(self.batch, 1 if self.n is None else self.n) < 1 or not 0 < self.sure <= 1:
            raise ValueError(
                f"trusted search: got {self!r}, expected n and batch >= 1 and 0 < sure <= 1 (n: or None)"
            )
        if isinstance(self.prior, str):
            object.__setattr__(self, "prior", Prior.of_run(self.prior))

    @property
    def asked(self) -> int | None:
        return self.n

    def select(self, search: Search) -> list[Ask]:
        growing = [Ask(n, 1, self._step(search), role=GROWN) for n in search.tree.nodes if _grows(n, search)]
        if growing:
            return growing
        assert isinstance(self.prior, Prior)
        begun = search.memory.setdefault("begun", 0)
        trust = self.trust(search)
        search.memory["trust"] = trust.slope
        searched = self.prior.separation >= self.search_from
        room = 1 if searched else max(1, round(self.batch * (1 - self.prior.separation)))
        room = room if self.n is None else min(room, self.n - begun)
        if room < 1 or trust.sure >= self.sure:
            return []
        search.memory["begun"] = begun + room
        if not searched:
            return [Ask(search.tree.root, room, self.sampling, role="solution")]
        place = self._place(search)
        return [Ask(place.node, 1, self._step(search), role=GROWN, start=place.chars)]

    def _step(self, search: Search) -> Sampling:
        """One step where its end can be told while sampling, else all of the rest."""
        stop = self.sampling.stop or STOPS.get(search.problem.segmenter, ())
        return replace(self.sampling, stop=stop)

    def trust(self, search: Search) -> Trust:
        assert isinstance(self.prior, Prior)
        return believed(samples(search.tree, self.candidates(search)), self.prior.array)

    def _place(self, search: Search) -> Beginning:
        """Where to search on, the empty beginning included: the longest, but those tried often last."""
        found = {"": Beginning(search.tree.root, 0, 0, 1.0)}
        for node in search.tree.nodes[1:]:
            path, scores = search.tree.path(node), node.scores or ()
            steps = next((t for t, s in enumerate(scores) if s is None or s < RIGHT), len(scores))
            if node.status is Status.DONE:
                steps = min(steps, len(path.ends) - 1)
            if 0 < steps <= len(path.ends):
                worth = min(s for s in scores[:steps] if s is not None)
                chars = path.ends[steps - 1]
                found.setdefault(path.text[:chars], Beginning(node, chars, steps, worth))
        tried = search.memory.setdefault("tried", {})
        best = min(
            found, key=lambda text: (tried.get(text, 0) // TRIES, -found[text].steps, -found[text].worth)
        )
        tried[best] = tried.get(best, 0) + 1
        return found[best]

    def prune(self, search: Search, kids: list[Node]) -> None:  # type: ignore[override]
        for kid in kids:
            last = kid.scores[-1] if kid.scores else None
            if kid.role == GROWN and kid.status is Status.LIVE and (last is None or last < RIGHT):
                kid.status, kid.data["why"] = Status.REJECTED, "wrong by the scorer"

    def choose(self, search: Search) -> Node | None:
        done = self.candidates(search)
        best = self.trust(search).best
        members = [n for n in done if n.canon is not None and n.canon == best]
        return max(members, key=lambda n: (n.scores or (None,))[-1] or 0.0, default=None)


def _grows(node: Node, search: Search) -> bool:
    """A text that is right so far and was not gone on with."""
    return node.role == GROWN and node.status is Status.LIVE and not search.tree.children(node)
