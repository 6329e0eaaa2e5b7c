"""rStar: MCTS over kinds of reasoning, then mutual consistency with a second model.

A rollout walks from the root: at a state whose children were not all visited, to one of those at random; otherwise by
Q / N + c * sqrt(ln N_parent / N). The state it comes to is given all its actions (`rstar_actions.py`) and the walk goes
on at random, expanding as it goes, down to a solution or to `depth`. The reward, backed up as a sum, is the share of
votes of the solution, 0 for any other end. `schedule` lets c fall to a tenth over the rollouts.

Then the helper "discriminator" completes every solution from several cuts (`rstar_consistency.py`); those that survive
`rule` are weighed by reward and rate of survival. The published choice among them reads the gold answer; this one
does not. Published: 16 rollouts, depth 5, c 2, counts as below; 4 cuts between 20 % and 50 %, rule "mid" (from memory).

Deviations: cuts are at words; a finished thought is an end with reward 0 and a candidate (from memory). Left out: the
few-shot prompts. Cost: up to thoughts + votes + questions * (1 + answers) + 1 continuations an expansion, several
expansions a rollout, then one completion for each solution and cut. No scorer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.annotate.judges.verdict import check_template
from preceptor.generation import Sampling
from preceptor.search.answers import extract
from preceptor.search.duplicates import merge
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node, Status
from preceptor.search.trees.rstar_actions import AFTER, PROMPTS, ask, is_last
from preceptor.search.trees.rstar_consistency import RULES, Verdicts, confident, cuts
from preceptor.search.trees.selection import best, rank, uct, visit

SCHEDULES: dict[str, Callable[[float], float]] = {
    "const": lambda t: 1.0,
    "exp": lambda t: 0.1**t,
    "lin": lambda t: 1 - 0.9 * t,
}
"""Share of c that is left after the share t of the rollouts."""
CHECK = "check"


@dataclass(frozen=True)
class RStar(Strategy):
    """Typed steps, and the answer that two models agree on."""

    helpers: ClassVar[tuple[str, ...]] = ("discriminator",)
    rollouts: int = 16
    depth: int = 5
    c: float = 2.0
    thoughts: int = 3
    votes: int = 32
    """Solutions voted into one, and answers to a last question."""
    questions: int = 3
    answers: int = 10
    """To a smaller question."""
    rule: str = "mid"
    cuts: int = 4
    """Completions of a solution by the discriminator; 0: no filter."""
    schedule: str = field(default="const", kw_only=True)
    by_count: bool = field(default=False, kw_only=True)
    """Weigh survivors by their number instead of their rewards."""
    window: tuple[float, float] = field(default=(0.2, 0.5), kw_only=True)
    """Shares of a solution between which it is cut."""
    prompts: Mapping[str, str] = field(default_factory=lambda: PROMPTS, kw_only=True)
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)

    def __post_init__(self) -> None:
        for name in PROMPTS:
            check_template(self.prompts.get(name, ""), "problem")
        low, high = self.window
        known = self.rule in RULES and self.schedule in SCHEDULES and 0 <= low <= high < 1
        sizes = min(self.thoughts, self.questions, self.answers, self.cuts) >= 0 and self.c >= 0
        if not known or not sizes or min(self.rollouts, self.depth, self.votes) < 1:
            raise ValueError(
                f"rStar: got {self!r:.300}, expected rollouts, depth, votes >= 1, other counts >= 0, a rule of "
                f"{sorted(RULES)}, a schedule of {sorted(SCHEDULES)} and a window inside [0, 1)"
            )

    def select(self, search: Search) -> list[Ask]:
        memory = search.memory
        if memory.get("questions"):
            return self._answers(search, [search.tree[i] for i in memory["questions"]])
        while memory.setdefault("rollouts", 0) < self.rollouts:
            trail = memory.setdefault("trail", None) or self._walk(search)
            memory["trail"] = trail
            at = search.tree[trail[-1]]
            if self._ended(search, at, len(trail) - 1):
                self._reward(search, trail)
                continue
            kids = _states(search, at)
            if kids is None:
                memory["at"] = at.id
                return self._actions(search, at)
            trail.append(kids[int(search.rng("child", memory["rollouts"], at.id).integers(len(kids)))])
        return self._checks(search)

    def _walk(self, search: Search) -> list[int]:
        """From the root to where the expansion begins."""
        trail, turn = [0], search.memory["rollouts"]
        fade = SCHEDULES[self.schedule](turn / self.rollouts)
        while kids := _states(search, search.tree[trail[-1]]):
            at, nodes = search.tree[trail[-1]], [search.tree[i] for i in kids]
            if new := [n for n in nodes if not n.visits]:
                return [*trail, new[int(search.rng("new", turn, at.id).integers(len(new)))].id]
            chosen = best(
                nodes,
                lambda n: rank(n.value_sum / n.visits, uct(at.visits, n.visits, self.c * fade, 1.0)),  # noqa: B023
            )
            trail.append(chosen.id)
        return trail

    def _ended(self, search: Search, node: Node, depth: int) -> bool:
        return bool(node.data.get("solution")) or depth >= self.depth or _states(search, node) == []

    def _reward(self, search: Search, trail: Sequence[int]) -> None:
        value = search.tree[trail[-1]].data.get("value", 0.0)
        for i in trail:
            visit(search.tree[i], float(value if search.tree[trail[-1]].data.get("solution") else 0.0))
        search.memory["rollouts"] += 1
        search.memory["trail"] = None

    def _actions(self, search: Search, at: Node) -> list[Ask]:
        counts = {
            "thought": self.thoughts,
            "solution": self.votes,
            "question": self.questions,
            "reanswer": self.answers,
            "rephrase": 1,
        }
        asks = []
        for role in AFTER[at.role]:
            node = search.tree[at.parent or 0] if role == "reanswer" else at
            whole = role == "solution" or (role == "reanswer" and is_last(node))
            asks.append(ask(search, node, role, counts[role], self.sampling, dict(self.prompts), whole))
        return asks

    def _answers(self, search: Search, questions: Sequence[Node]) -> list[Ask]:
        asks = []
        for node in questions:
            last = is_last(node)
            count = self.votes if last else self.answers
            asks.append(ask(search, node, "answer", count, self.sampling, dict(self.prompts), last))
        return asks

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        memory = search.memory
        if kids[0].role == CHECK:
            return
        forming = memory.setdefault("forming", [])
        groups: dict[tuple[str, int | None], list[Node]] = {}
        for kid in kids:
            groups.setdefault((kid.role, kid.parent), []).append(kid)
        memory["questions"] = []
        for (role, _), group in groups.items():
            if role in ("answer", "reanswer", "solution"):
                forming += self._vote(search, group)
            elif role == "question":
                memory["questions"] = [
                    k.id for k in merge(search, _standing(group)) if k.status is Status.LIVE
                ]
            else:
                forming += [k.id for k in merge(search, _standing(group)) if _adopt(k)]
        if not memory["questions"]:
            memory.setdefault("states", {})[str(memory["at"])] = forming
            memory["forming"] = []

    def _vote(self, search: Search, group: Sequence[Node]) -> list[int]:
        """The first of the most frequent answer, its share as value; the others are dropped."""
        final = group[0].role == "solution" or is_last(search.tree[group[0].parent or 0])
        answers = {k.id: _answer(search, k, final) for k in group}
        said = Counter(a for a in answers.values() if a is not None)
        winner = None
        if said:
            top, n = said.most_common(1)[0]
            winner = next(k for k in group if answers[k.id] == top)
            winner.data |= {"value": n / said.total(), "votes": n, "solution": final}
            winner.status = Status.DONE if final else Status.LIVE
        for kid in group:
            if kid is not winner and kid.status in (Status.LIVE, Status.DONE):
                kid.status = Status.PRUNED
                kid.data["why"] = "no answer" if answers[kid.id] is None else "outvoted"
        return [] if winner is None else [winner.id]

    def _checks(self, search: Search) -> list[Ask]:
        if search.memory.setdefault("checked", False) or not self.cuts:
            return []
        search.memory["checked"] = True
        whole = replace(self.sampling, stop=())
        return [
            Ask(n, 1, whole, role=CHECK, start=at, by="discriminator")
            for n in self.candidates(search)
            if n.canon is not None
            for at in cuts(search.tree.path(n), self.cuts, *self.window)
        ]

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.data.get("solution")]

    def choose(self, search: Search) -> Node | None:
        nodes = [n for n in self.candidates(search) if n.canon is not None]
        verdicts = [
            Verdicts(n.canon or "", tuple(k.canon for k in search.tree.children(n) if _checked(k)))
            for n in nodes
        ]
        for node, verdict in zip(nodes, verdicts, strict=True):
            if verdict.completions:
                node.data["agreeing"] = [verdict.agreeing, len(verdict.completions)]
        survived = [bool(v.completions) and RULES[self.rule](v) for v in verdicts]
        rewards = [1.0 if self.by_count else float(n.data.get("value", 0.0)) for n in nodes]
        winner = confident(nodes, survived, rewards)
        return None if winner is None else nodes[winner]


def _states(search: Search, node: Node) -> list[int] | None:
    """What follows a state; None: it was not expanded."""
    found: list[int] | None = search.memory.get("states", {}).get(str(node.id))
    return found


def _standing(nodes: Sequence[Node]) -> list[Node]:
    return [n for n in nodes if n.status in (Status.LIVE, Status.DONE)]


def _adopt(node: Node) -> bool:
    """Make a thought or another wording a state; a thought that ends the text is a solution."""
    if node.role == "rephrase":
        node.status = Status.LIVE if node.text.strip() else Status.REJECTED
    elif node.status is Status.DONE:
        node.data["solution"] = True
    return node.status is not Status.REJECTED


def _answer(search: Search, node: Node, final: bool) -> str | None:
    """What a vote is for: of a whole solution its answer, of a smaller question what was said to it alone."""
    if node.status not in (Status.LIVE, Status.DONE):
        return None
    return node.canon if final else extract(search.problem, node.text)[1]


def _checked(node: Node) -> bool:
    """Completions that the budget or a failure prevented say nothing."""
    return node.role == CHECK and node.status is not Status.FAILED
