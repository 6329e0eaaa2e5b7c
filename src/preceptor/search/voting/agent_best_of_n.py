"""Best of N for tool-using agents (AgentProcessBench): labels of steps and a verdict on the outcome, with a veto.

Steps are scored +1 (effective), 0 (neutral, exploring) or -1 (wrong; later steps that build on it too, which is the
scorer's business). A helper "judge" gives verdicts on the whole trajectory. The combination was not found; ours is
`lambda outcome + (1 - lambda) mean((label + 1) / 2)`, lambda 0.5, ties to the better labels, so lambda 1 is the
lexicographic order. A -1 at or before an irreversible action ranks a trajectory below all without one. A trajectory
that stops early has fewer chances to be wrong, so its label mean says little alone: the number of steps stands beside
the share of effective ones on every node, and in `step_ratio`. Cost: n solutions, n scored traces, n * M verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from preceptor.search.result import SolveResult
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, elect
from preceptor.search.tree import Node, Status
from preceptor.search.voting.outcome_vote import OutcomeVote
from preceptor.search.voting.pass_rate_vote import rate


@dataclass(frozen=True)
class AgentBestOfN(OutcomeVote):
    """The trajectory with the best outcome verdict and step labels."""

    needs_scorer: ClassVar[bool] = True
    helpers: ClassVar[tuple[str, ...]] = ("judge",)
    asks: ClassVar[str] = "judge"
    n: int | None = 8
    verdicts: int = 1
    outcome_weight: float = 0.5
    """lambda; 0 asks for no verdicts."""
    irreversible: Callable[[str], bool] | None = field(default=None, kw_only=True)
    """Whether the text of a step does what cannot be undone; None: nothing is known to."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.outcome_weight <= 1:
            raise ValueError(
                f"agent best of n: got outcome_weight={self.outcome_weight}, expected it in [0, 1]"
            )

    def verify(self, search: Search) -> list[Ask]:
        return super().verify(search) if self.outcome_weight else []

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        return [k for k in kids if k.role == "solution" and k.status is Status.DONE]

    def choose(self, search: Search) -> Node | None:
        nodes = self.candidates(search)
        for node in nodes:
            self._note(search, node)
        parts = {"outcome": self.outcome_weight, "process": 1 - self.outcome_weight}
        # what nobody has is left out; what some have counts, and those without it are unscored
        parts = {k: w for k, w in parts.items() if w and any(n.data[k] is not None for n in nodes)}
        answered = [n for n in nodes if n.canon is not None]
        scored = [n for n in answered if parts and all(n.data[k] is not None for k in parts)]

        def worth(node: Node) -> tuple[bool, float, float]:
            total = math.fsum(w * node.data[k] for k, w in parts.items())
            process = node.data["process"]
            return not node.data["vetoed"], total, -1.0 if process is None else process

        return max(scored, key=worth) if scored else elect(answered, "majority")

    def _note(self, search: Search, node: Node) -> None:
        labels = [None if s is None else _label(s) for s in node.scores or ()]
        known = [label for label in labels if label is not None]
        texts = search.tree.trace(node).step_texts
        last = max((t for t, x in enumerate(texts) if self.irreversible and self.irreversible(x)), default=-1)
        vetoed = any(label == -1 for label in labels[: last + 1] if label is not None)
        node.data |= {
            "outcome": rate(node),
            "process": math.fsum((x + 1) / 2 for x in known) / len(known) if known else None,
            "steps": len(texts),
            "effective": sum(x > 0 for x in known),
            "vetoed": vetoed,
        }
        if vetoed:
            node.data["why"] = f"a wrong step at or before the irreversible step {last}"


def _label(score: float) -> float:
    if not -1 <= score <= 1:
        raise ValueError(
            f"agent best of n: got step score {score}, expected a label in [-1, 1] (-1 wrong, 0 neutral, 1 effective). "
            "Map the scorer's range first."
        )
    return score


@dataclass(frozen=True)
class StepRatio:
    """Effective steps per step, and steps, of the chosen trajectories and of all."""

    chosen_ratio: float | None
    chosen_steps: float | None
    pool_ratio: float | None
    pool_steps: float | None


def step_ratio(result: SolveResult) -> StepRatio:
    """Whether choosing favors short trajectories: a higher ratio with fewer steps is no proof of quality."""
    chosen, pool = [], []
    for solution in result.solutions:
        for c in solution.candidates:
            node = solution.tree[c.node]
            pool.append(node)
            if solution.chosen is not None and c.trace == solution.chosen:
                chosen.append(node)
    return StepRatio(*_means(chosen), *_means(pool))


def _means(nodes: Sequence[Node]) -> tuple[float | None, float | None]:
    steps = sum(n.data["steps"] for n in nodes)
    if not steps:
        return None, None
    return sum(n.data["effective"] for n in nodes) / steps, steps / len(nodes)
