"""A vote weighted by verdicts: each solution's weight is the share of M verdicts that accept it (gORM, Self-PRM, OPV).

The verdicts are written by a helper and stay in the tree as nodes of role "verdict", so a token budget covers them.
An unread or cut verdict is in neither number of the share; a solution none of whose verdicts could be read is
unscored. Ties go to the majority (which exact rule the papers use was not found), and where all weights are 0, or
none is known, the majority decides: a verifier that accepts everything is the majority vote. Only solutions with an
answer are verified. Say how good the verdicts were beside the accuracy: `verdict_quality`. For verdicts weighed by
probability instead of counted, use `WeightedVote` with a scorer of `reward.generative`. Cost: n solutions and n * M
verdicts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from preceptor.annotate.judges.self_prm import SelfVerdicts, self_verdicts
from preceptor.generation import Sampling
from preceptor.search.result import SolveResult
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import Ask
from preceptor.search.tree import Node
from preceptor.search.vote import VOTES
from preceptor.trace import Finish, Problem, content_id


@dataclass(frozen=True)
class PassRateVote(Samples):
    """Samples, then verdicts on each, then a vote. With `n=None` the two alternate until the budget is spent."""

    helpers: ClassVar[tuple[str, ...]] = ("verifier",)
    asks: ClassVar[str] = "verifier"
    """Who gives verdicts: a name in `helpers`, or "" for the policy itself."""
    n: int | None = 16
    verdicts: int = 8
    """M."""
    vote: str = field(default="pass_rate", kw_only=True)
    """ "pass_rate" (a weighted vote) or another name in `VOTES`, such as "bon"."""
    judging: Sampling = field(
        default_factory=lambda: Sampling(temperature=1.0, max_tokens=4096), kw_only=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verdicts < 1 or self.vote not in VOTES:
            raise ValueError(
                f"pass-rate vote: got verdicts={self.verdicts}, vote={self.vote!r}, expected verdicts >= 1 and a "
                f"vote of {sorted(VOTES)}"
            )

    @abstractmethod
    def question(self, problem: Problem, steps: Sequence[str]) -> str:
        """The verifier's prompt about a solution of these steps, which are untrusted text."""

    @abstractmethod
    def accepts(self, reply: str, steps: int) -> bool | None:
        """What a reply says of a solution of so many steps; None where it cannot be read."""

    def subject(self, search: Search, node: Node) -> Sequence[str] | None:
        """The steps shown to the verifier; None: the solution cannot be verified."""
        return search.tree.trace(node).step_texts

    def select(self, search: Search) -> list[Ask]:
        return self.verify(search) or super().select(search)

    def verify(self, search: Search) -> list[Ask]:
        """Verdicts on the solutions that have had none."""
        asks = []
        for node in self.candidates(search):
            if node.canon is None or "verdicts" in node.data:
                continue
            steps = self.subject(search, node)
            node.data["verdicts"] = {"accepted": 0, "read": 0, "unread": 0}
            if steps:
                asked = about(search.problem, "verdict", self.question(search.problem, steps))
                asks.append(
                    Ask(node, self.verdicts, self.judging, "verdict", start=0, problem=asked, by=self.asks)
                )
        return asks

    def backup(self, search: Search, kids: Sequence[Node]) -> None:
        for kid in kids:
            if kid.role != "verdict":
                continue
            owner = search.tree[kid.parent or 0]
            steps = self.subject(search, owner) or ()
            ended = kid.finish in (Finish.STOP, Finish.BOUNDARY)
            said = self.accepts(kid.text, len(steps)) if ended else None
            counts = owner.data["verdicts"]
            counts["unread" if said is None else "read"] += 1
            counts["accepted"] += said is True
            kid.data["accepts"] = said

    def candidates(self, search: Search) -> list[Node]:
        return [n for n in search.done if n.role == "solution"]

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        winner = VOTES[self.vote]([n.canon for n in nodes], [rate(n) for n in nodes])
        return None if winner is None else nodes[winner]


def about(problem: Problem, role: str, prompt: str) -> Problem:
    """A question about a solution of the problem, with random streams of its own."""
    return replace(problem, prompt=prompt, gold=None, id=content_id(role, problem.id, prompt))


def rate(node: Node) -> float | None:
    """Share of the verdicts read that accept the solution; None where none was read."""
    counts = node.data.get("verdicts") or {"accepted": 0, "read": 0}
    return counts["accepted"] / counts["read"] if counts["read"] else None


def verdict_quality(result: SolveResult, threshold: float = 0.5) -> SelfVerdicts:
    """Precision, recall and specificity of the verdicts over all solutions of all problems, against their grades.

    A solution is accepted where at least `threshold` of its verdicts accept it; those without a verdict or with an
    undecided grade are counted as unknown.
    """
    rates, grades = [], []
    for solution in result.solutions:
        for candidate in solution.candidates:
            grade = candidate.trace.grade
            rates.append(rate(solution.tree[candidate.node]))
            grades.append(grade.correct if grade is not None and grade.decided else None)
    return self_verdicts(rates, grades, threshold)
