"""What a search found: one `Solution` per problem, a `SolveResult` for all of them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from preceptor.errors import ItemError
from preceptor.search.tree import Tree
from preceptor.trace import Grade, Problem, Trace
from preceptor.usage import Budget, Ledger


@dataclass(frozen=True)
class Candidate:
    """One finished solution."""

    node: int
    trace: Trace
    """Graded."""
    answer: str | None
    canon: str | None
    scores: tuple[float | None, ...] | None
    """One per step; None: not judged."""

    def to_record(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "text": self.trace.text,
            "answer": self.answer,
            "canon": self.canon,
            "scores": None if self.scores is None else list(self.scores),
            "grade": None if self.trace.grade is None else self.trace.grade.to_record(),
        }


@dataclass(frozen=True)
class Solution:
    """The outcome for one problem. The gold answer was first looked at to make `grade`."""

    problem: Problem
    answer: str | None
    grade: Grade
    chosen: Trace | None
    """None: no finished solution gave an answer."""
    candidates: tuple[Candidate, ...]
    asked: int | None
    """Complete solutions wanted; None: as many as the budget buys."""
    stop: str
    """"done", "budget:NAME", "failed", "stalled", or the strategy's own reason."""
    unserved: int
    """Continuations asked for and never sent because the budget ended."""
    ledger: Ledger
    tree: Tree
    error: ItemError | None = None

    @property
    def finished(self) -> int:
        """Complete solutions; cut, pruned and failed ones are not among them, and none is a copy."""
        return len(self.candidates)

    @property
    def any_correct(self) -> bool:
        """Whether some candidate is correct: what a perfect choice would have had."""
        return any(c.trace.grade is not None and c.trace.grade.correct for c in self.candidates)

    def __repr__(self) -> str:
        wanted = "" if self.asked is None else f" of {self.asked}"
        return (
            f"<Solution {self.problem.id}: {self.answer!r} {self.grade.verdict.value}, "
            f"{self.finished}{wanted} finished, {self.ledger.policy.generated} tokens, {self.stop}>"
        )

    def to_record(self) -> dict[str, Any]:
        return {
            "problem": self.problem.id,
            "answer": self.answer,
            "grade": self.grade.to_record(),
            "asked": self.asked,
            "finished": self.finished,
            "stop": self.stop,
            "unserved": self.unserved,
            "candidates": [c.to_record() for c in self.candidates],
            "chosen": None if self.chosen is None else self.chosen.to_record(),
            "ledger": self.ledger.to_record(),
            "error": None if self.error is None else self.error.to_record(),
        }


@dataclass(frozen=True)
class SolveResult:
    """All solutions, in the order of the problems."""

    solutions: tuple[Solution, ...]
    strategy: str
    policy: str
    scorer: str | None
    budget: Budget
    seed: int
    rounds: int = 0
    """Batched calls of the policy: the length of the sequential chain."""

    @cached_property
    def ledger(self) -> Ledger:
        return sum((s.ledger for s in self.solutions), start=Ledger())

    @property
    def decided(self) -> int:
        return sum(s.grade.decided for s in self.solutions)

    @property
    def correct(self) -> int:
        return sum(s.grade.correct for s in self.solutions)

    @property
    def accuracy(self) -> float | None:
        """Correct among decided; None where nothing was decided."""
        return self.correct / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.correct, self.decided) if self.decided else None

    @property
    def pass_rate(self) -> float | None:
        """Share of decided problems with a correct candidate: the most a choice could have reached."""
        hits = sum(s.any_correct for s in self.solutions if s.grade.decided)
        return hits / self.decided if self.decided else None

    @property
    def tokens(self) -> float:
        """Generated tokens per problem, discarded ones included."""
        return self.ledger.policy.generated / max(len(self.solutions), 1)

    @property
    def stops(self) -> Counter[str]:
        return Counter(s.stop for s in self.solutions)

    def __len__(self) -> int:
        return len(self.solutions)

    def __repr__(self) -> str:
        parts = [self.strategy]
        if self.interval is not None:
            low, high = self.interval
            parts.append(
                f"accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}] ({self.correct}/{self.decided})"
            )
        open_ones = len(self.solutions) - self.decided
        if open_ones:
            parts.append(f"{open_ones} undecided")
        parts.append(f"{self.tokens:.0f} tokens a problem")
        scored = self.ledger.scorer.scored / max(len(self.solutions), 1)
        if scored:
            parts.append(f"{scored:.0f} scored")
        parts.append(_finished(self.solutions))
        parts.append("stopped: " + ", ".join(f"{name} {n}" for name, n in sorted(self.stops.items())))
        return f"<SolveResult {'; '.join(parts)}>"

    def to_record(self) -> dict[str, Any]:
        """Figures without the solutions; JSON values only."""
        return {
            "strategy": self.strategy,
            "policy": self.policy,
            "scorer": self.scorer,
            "budget": {k: v for k, v in vars(self.budget).items() if v is not None},
            "seed": self.seed,
            "problems": len(self.solutions),
            "correct": self.correct,
            "decided": self.decided,
            "failed": sum(s.error is not None for s in self.solutions),
            "accuracy": self.accuracy,
            "interval": None if self.interval is None else list(self.interval),
            "pass_rate": self.pass_rate,
            "tokens_per_problem": self.tokens,
            "finished": sum(s.finished for s in self.solutions),
            "stops": dict(self.stops),
            "rounds": self.rounds,
            "ledger": self.ledger.to_record(),
        }

    def write(self, directory: str | Path) -> None:
        """`result.json`, `solutions.jsonl` and `trees.jsonl` in `directory`, which is made."""
        out = Path(directory)
        out.mkdir(parents=True, exist_ok=True)
        (out / "result.json").write_text(json.dumps(self.to_record(), indent=1) + "\n", encoding="utf-8")
        for name, rows in (
            ("solutions", (s.to_record() for s in self.solutions)),
            ("trees", (s.tree.to_record() for s in self.solutions)),
        ):
            with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _finished(solutions: tuple[Solution, ...]) -> str:
    """Of those asked for; a search that finishes more than it was asked for says so."""
    total, asked = sum(s.finished for s in solutions), [s.asked for s in solutions if s.asked is not None]
    if len(asked) < len(solutions):
        return f"finished {total}"
    wanted = sum(min(s.finished, a) for s, a in zip(solutions, asked, strict=True))
    more = f" ({total} in all)" if total > wanted else ""
    return f"finished {wanted} of {sum(asked)}{more}"


def wilson_interval(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson score interval of a proportion; 95 % by default."""
    p, shrink = successes / trials, 1 + z * z / trials
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / shrink
    center = (p + z * z / (2 * trials)) / shrink
    return max(0.0, center - half), min(1.0, center + half)
