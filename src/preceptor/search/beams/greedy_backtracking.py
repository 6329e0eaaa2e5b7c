"""Heuristic greedy search with a process reward model: one path, with backtracking (HGS-PRM, all from memory).

One step is sampled at a time and put into one of three classes by its score. Positive: accepted, the search goes on
behind it. Negative: rejected. Neutral: held in reserve. After `tries` samples at a prefix without a positive one the
best neutral is accepted; without any, the prefix itself is rejected and its parent goes on with the tries it has left.
At the root the tries begin anew. The first accepted finished step is the answer; after `max_samples` samples the
answer is one plain chain of thought. With a scorer that always says yes it costs as much as that chain.

The classes are cut by two thresholds, thirds of [0, 1] (not found, ours; also right for 0 / 0.5 / 1; set 0.5 and -0.5
for a judgement of -1 / 0 / 1). Constants were not found: tries = 5, max_samples = 50, temperature 0.7 are ours. An
unscored step is neutral, behind every scored one. A text that stood at the same prefix before is not scored again and
never continued again; it counts as a try. A step cut by a limit is a failed try.
Left out: the paper's labels for code by mutation. Cost: at most `max_samples` steps and scores, one after the other,
and one solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.beams.finished import kept
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect, ranked, steps
from preceptor.search.tree import Node, Status

POSITIVE, NEUTRAL, NEGATIVE = "positive", "neutral", "negative"
HELD = "neutral, in reserve"


@dataclass(frozen=True)
class GreedyBacktracking(Strategy):
    """Depth first, a sample at a time; ends in the first path that holds."""

    needs_scorer: ClassVar[bool] = True
    tries: int = 5
    """Samples at one prefix before a neutral one is taken or the prefix given up (n_try)."""
    max_samples: int = 50
    """Samples in all (I_max)."""
    positive: float = 2 / 3
    """Scores from here on accept a step."""
    negative: float = 1 / 3
    """Scores below reject it."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7), kw_only=True)
    answer: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, max_tokens=1024), kw_only=True)
    """How the plain chain of thought is sampled."""

    def __post_init__(self) -> None:
        if min(self.tries, self.max_samples) < 1 or self.negative > self.positive:
            raise ValueError(
                f"greedy backtracking: got {self!r}, expected tries and max_samples >= 1 and negative <= positive"
            )

    def select(self, search: Search) -> list[Ask]:
        at = search.tree[search.memory.setdefault("at", 0)]
        if at.status is Status.DONE or search.round > self.max_samples:
            return []
        if search.round == self.max_samples:
            return [Ask(search.tree.root, 1, self.answer, role="solution")]
        return [Ask(at, 1, steps(self.sampling, search.problem))]

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        new = [k for k in kids if k.role == "step" and self._twin(search, k) is None]
        return super().to_score(search, new)

    def _twin(self, search: Search, kid: Node) -> Node | None:
        """An earlier sample of the same text at the same prefix."""
        at = search.tree[kid.parent or 0]
        return next(
            (
                n
                for n in search.tree.children(at)
                if n.id < kid.id and n.role == "step" and n.text == kid.text
            ),
            None,
        )

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            if kid.role == "step":
                self._place(search, kid)

    def _place(self, search: Search, kid: Node) -> None:
        """Accept, hold or reject one sample, and find the prefix to go on from."""
        at = search.tree[kid.parent or 0]
        at.data["tries"] = at.data.get("tries", 0) + 1
        kind = self._class(search, kid)
        if kind == POSITIVE:
            search.memory["at"] = kid.id
            return
        if kind == NEUTRAL:
            kid.data["why"] = HELD
        self._give_up(search, at)

    def _class(self, search: Search, kid: Node) -> str | None:
        if kid.status not in (Status.LIVE, Status.DONE):
            return None
        if (twin := self._twin(search, kid)) is not None:
            kid.status, kid.data["duplicate_of"] = Status.PRUNED, twin.id
            return None
        score = kid.scores[-1] if kid.scores else None
        kind = NEUTRAL
        if score is not None:
            kind = POSITIVE if score >= self.positive else NEGATIVE if score < self.negative else NEUTRAL
        kid.data["class"] = kind
        if kind == NEGATIVE:
            kid.status = Status.REJECTED
        return kind

    def _give_up(self, search: Search, at: Node) -> None:
        """Where the tries at `at` are used up: take the best neutral, or go back."""
        while at.data.get("tries", 0) >= self.tries:
            held = [n for n in search.tree.children(at) if n.data.get("why") == HELD]
            if held:
                at = ranked(held, "last")[0]
                del at.data["why"]
                break
            if at.parent is None:
                at.data["tries"] = 0
                break
            at.status, at.data["why"] = Status.REJECTED, "no continuation held"
            at = search.tree[at.parent]
        search.memory["at"] = at.id

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon")
