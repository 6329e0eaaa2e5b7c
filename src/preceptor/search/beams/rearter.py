"""Step search with look-ahead and redo: ReARTeR at test time.

One path, turn by turn. `expand` candidate steps are sampled, each followed by sampled look-ahead, `ahead` steps in all.
The scores of a candidate and of the steps behind it, as logits l_0 .. l_k, are backed up: up to the first step whose
gain is below `cut`, from the end down to 0, l_t <- l_t + alpha * (l_{t+1} - l_t); sigmoid(l_0) is its score. The best
candidate is appended when that reaches `beta`. Otherwise the helper "critic" explains what is wrong with it, the policy
writes the step once more with that criticism in its prompt, and the new step takes the place of the old one only if it
scores higher. After more than 3 steps there is no look-ahead. The last of `max_steps` turns writes the rest.

`alpha=0` or `ahead=1` is the plain score, and with `beta=0` too it is step-level best of `expand`. Published: alpha
0.5, cut 0.05, beta 0.5, 5 turns; `expand` and `ahead` are not found, 4 and 3 are ours, and so are the prompts.

Deviations: a step that is redone always needs the higher score (one of the two published programs appends it whatever
it scores). Left out: retrieval, and the choice of the redo among a new question, the old one and the final answer. A
best candidate without a score, or whose criticism is empty or cut, is appended as it is.
Cost: expand * ahead steps a turn and expand scored traces; below beta one criticism, one step and one score more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from preceptor.generation import Sampling
from preceptor.search.beams.finished import drop, kept
from preceptor.search.beams.rearter_text import once_more, question
from preceptor.search.refine.asking import reply
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, descending, elect, live, steps
from preceptor.search.tree import Node, Status

LOGIT_CLIP = 1e-7
LOOKING_AHEAD_UNTIL = 3


def backed_up(logits: Sequence[float], alpha: float, cut: float) -> float:
    """The first logit after the temporal-difference back-up.

    >>> round(backed_up([0.2, 0.4, 0.8], 0.5, 0.05), 6), round(backed_up([0.2, 0.22, 0.8], 0.5, 0.05), 6)
    (0.4, 0.21)
    """
    gains = [b - a for a, b in pairwise(logits)]
    end = next((t + 1 for t, gain in enumerate(gains) if gain < cut), len(gains))
    value = logits[end]
    for before in reversed(logits[:end]):
        value = before + alpha * (value - before)
    return value


@dataclass(frozen=True)
class Rearter(Strategy):
    """The best of a few next steps, looked ahead from, and redone where it is poor."""

    needs_scorer: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = ("critic",)
    expand: int = 4
    ahead: int = 3
    """Steps a candidate is looked at over, itself included."""
    alpha: float = 0.5
    beta: float = 0.5
    """Score below which a step is criticized and written again; 0: never."""
    cut: float = field(default=0.05, kw_only=True)
    """Gain, in logits, below which look-ahead is not believed."""
    max_steps: int = 5
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.7), kw_only=True)
    reviewing: Sampling = field(
        default_factory=lambda: Sampling(temperature=0.0, max_tokens=256), kw_only=True
    )
    """How criticism is sampled; ours."""
    answer: Sampling = field(default_factory=lambda: Sampling(temperature=0.7, max_tokens=1024), kw_only=True)
    """How the rest is sampled in the last turn; ours."""

    def __post_init__(self) -> None:
        if min(self.expand, self.ahead, self.max_steps) < 1 or not 0 <= self.alpha <= 1:
            raise ValueError(
                f"rearter: got {self!r}, expected expand, ahead and max_steps >= 1 and alpha in [0, 1]"
            )

    def select(self, search: Search) -> list[Ask]:
        memory, tree = search.memory, search.tree
        step = steps(self.sampling, search.problem)
        if tips := memory.get("tips"):
            memory["taken"] += 1
            return [Ask(tree[i], 1, step, role="lookahead") for i in tips]
        if "poor" in memory:
            poor = tree[memory["poor"]]
            if "criticism" not in memory:
                asked = question(search.tree, poor, tree[poor.data.get("end", poor.id)], poor.data["score"])
                return [Ask(poor, 1, self.reviewing, role="critique", start=0, problem=asked, by="critic")]
            again = once_more(search.problem, poor.text, memory["criticism"])
            return [Ask(tree[poor.parent or 0], 1, step, role="redo", problem=again)]
        at, turn = tree[memory.setdefault("at", 0)], memory.get("turn", 0)
        if at.status is Status.DONE or memory.get("lost") or turn >= self.max_steps:
            return []
        memory["turn"], memory["taken"] = turn + 1, 1
        if turn + 1 == self.max_steps:
            return [Ask(at, 1, self.answer, role="solution")]
        return [Ask(at, self.expand, step)]

    def _depth(self, search: Search) -> int:
        """Steps each candidate of this turn is looked at over."""
        return self.ahead if search.memory["turn"] <= LOOKING_AHEAD_UNTIL + 1 else 1

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        last = search.memory["taken"] >= self._depth(search)
        wanted = [k for k in kids if k.role in ("step", "lookahead") and (last or k.status is Status.DONE)]
        return super().to_score(search, [*wanted, *(k for k in kids if k.role == "redo")])

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory, role = search.memory, kids[0].role
        if role == "critique":
            self._heard(search, kids[0])
        elif role == "redo":
            self._compare(search, kids[0])
        elif role != "solution":
            tips = self._led_to(search, kids)
            memory["tips"] = [n.id for n in tips] if memory["taken"] < self._depth(search) else []
            if not memory["tips"]:
                self._decide(search)

    def _led_to(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        """Note where candidates led to, and discard their look-ahead; the nodes to look on from."""
        if kids[0].role == "step":
            search.memory["candidates"] = [k.id for k in kids if k.status in (Status.LIVE, Status.DONE)]
            return live(kids)
        for kid in kids:
            candidate = next(n for n in search.tree.lineage(kid) if n.role != "lookahead")
            candidate.data["end"] = kid.id
        going = live(kids) if search.memory["taken"] < self._depth(search) else []
        for node in [*kids, *(search.tree[k.parent or 0] for k in kids)]:
            if node.role == "lookahead" and node not in going and node.status in (Status.LIVE, Status.DONE):
                node.status, node.data["why"] = Status.PRUNED, "look-ahead"
        return going

    def score(self, search: Search, node: Node) -> float | None:
        """Of a step, backed up from where it led to; None: not known."""
        end = search.tree[node.data.get("end", node.id)]
        own = len(search.tree.path(node).ends) - 1
        logits = []
        for value in (end.scores or ())[own:]:
            if value is None:
                break
            logits.append(_logit(value))
        return 1 / (1 + math.exp(-backed_up(logits, self.alpha, self.cut))) if logits else None

    def _decide(self, search: Search) -> None:
        """Append the best candidate, or have it criticized."""
        memory = search.memory
        nodes = [search.tree[i] for i in memory.pop("candidates")]
        if not nodes:
            memory["lost"] = True
            return
        best, *others = descending(nodes, lambda node: self.score(search, node))
        for node in others:
            drop(node, "a sibling scored higher")
        for node in nodes:
            node.data["score"] = self.score(search, node)
        memory["at"] = best.id
        if best.data["score"] is not None and best.data["score"] < self.beta:
            memory["poor"] = best.id

    def _heard(self, search: Search, critique: Node) -> None:
        if critique.status is not Status.FAILED:
            critique.status = Status.PRUNED
        said = reply(critique)
        if said is None or not said.strip():
            critique.data["why"] = "no complete criticism: the step stands"
            del search.memory["poor"]
            return
        critique.data["why"] = "a criticism is no solution"
        search.memory["criticism"] = said.strip()

    def _compare(self, search: Search, redone: Node) -> None:
        memory = search.memory
        poor = search.tree[memory.pop("poor")]
        del memory["criticism"]
        redone.data["score"] = new = self.score(search, redone)
        if redone.status in (Status.LIVE, Status.DONE):
            better = new is not None and new > poor.data["score"]
            drop(
                *(
                    (poor, "written again, better")
                    if better
                    else (redone, "not better than what it was to replace")
                )
            )
            memory["at"] = redone.id if better else poor.id

    def candidates(self, search: Search) -> list[Node]:
        return kept(search)

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "bon")


def _logit(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(
            f"rearter: got score {p}, expected a probability in [0, 1]: values are backed up as logits. Map the "
            "scores with a sigmoid."
        )
    p = min(max(p, LOGIT_CLIP), 1 - LOGIT_CLIP)
    return math.log(p) - math.log1p(-p)
