"""Look-ahead search (2408.03314): a beam that scores a step where it leads to.

Each candidate step is followed by up to k = `ahead` greedy steps (temperature 0, fewer where the text ends). The score
at the end of them is the candidate's; then they are thrown away, whatever they found. `ahead=0` is `StepBeam`; with a
deterministic policy and `ahead` beyond the last step it chooses by outcome at every level.

Published: M = 4 or sqrt(N) kept, the last score, answers by summed scores; k is a knob (default 1, ours).
Deviations: duplicates are merged before looking ahead; a candidate whose look-ahead is cut or fails is unscored and
ranks last; near the end of a token budget a level counts each candidate with its look-ahead.
Cost: keep * expand * (1 + ahead) steps a level and keep * expand scored traces: the candidates themselves are not
scored, unless finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from preceptor.search.aggregate import aggregate
from preceptor.search.duplicates import merge
from preceptor.search.state import Search
from preceptor.search.step_beam import StepBeam, affordable
from preceptor.search.strategy import Ask, live, steps
from preceptor.search.tree import Node, Status

ROLE = "lookahead"


@dataclass(frozen=True)
class LookAheadBeam(StepBeam):
    """Keep the prefixes of each level that lead furthest."""

    ahead: int = 1
    """Greedy steps behind each candidate (k)."""
    vote: str = field(default="weighted", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ahead < 0:
            raise ValueError(f"look-ahead beam: got ahead={self.ahead}, expected 0 or more steps")

    def level(self, search: Search) -> int:
        level: int = search.memory["level"]
        return level

    def frontier(self, search: Search) -> list[Node]:
        return live([search.tree[i] for i in search.memory["standing"]])

    def worth(self, search: Search, node: Node) -> float | None:
        return aggregate(search.tree[node.data.get("end", node.id)].scores, self.aggregate)

    def _width(self, search: Search) -> int:
        return affordable(search, self.keep * self.expand, calls=1 + self.ahead)

    def select(self, search: Search) -> list[Ask]:
        memory = search.memory
        if tips := memory.get("tips"):
            memory["taken"] += 1
            greedy = replace(steps(self.sampling, search.problem), temperature=0.0)
            return [Ask(search.tree[i], 1, greedy, role=ROLE) for i in tips]
        asks = super().select(search)
        memory["taken"] = 0
        memory["level"] = memory.get("level", -1) + 1
        return asks

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        last = search.memory["taken"] == self.ahead
        return [k for k in super().to_score(search, kids) if last or k.status is Status.DONE]

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        tips: list[Node] = []
        if memory["taken"]:
            tips = self._led_to(search, kids)
        else:
            if self.level(search) + 1 >= self.max_steps:
                return super().prune(search, kids)
            standing = merge(search, live(kids)) if self.duplicates == "merge" else live(kids)
            memory["standing"] = [n.id for n in standing]
            tips = self.frontier(search)
        memory["tips"] = [n.id for n in tips] if memory["taken"] < self.ahead else []
        if not memory["tips"]:
            self.narrow(search, self.frontier(search))

    def _led_to(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        """Note where candidates led to, and discard; the look-ahead steps that go on."""
        going = []
        for kid in kids:
            if kid.status is Status.LIVE and search.memory["taken"] < self.ahead:
                going.append(kid)
            candidate = next(n for n in search.tree.lineage(kid) if n.role != ROLE)
            candidate.data["end"] = kid.id
        for node in [*kids, *(search.tree[k.parent or 0] for k in kids)]:
            if node.role == ROLE and node not in going and node.status in (Status.LIVE, Status.DONE):
                node.status, node.data["why"] = Status.PRUNED, "look-ahead"
        return going
