"""Search strategies side by side: every strategy at every budget, on the same problems with the same seed.

A cell is one strategy at one budget. Its accuracy has a Wilson interval; its difference to the first strategy is paired
over the problems that both decided, with a bootstrap over problems. A frontier holds the cells that no other one
beats at the same or a lower cost. The best strategy of a budget was chosen by the figures it is shown with, which
flatters it: `half` is chosen on every second problem and measured on the others.

Cells are kept in directories of their own (`preceptor.search.resume`), so a comparison goes on where it was
interrupted. Left out: choosing by difficulty, several seeds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.bench.flops import policy_flops, scorer_flops, shape_of
from preceptor.bench.statistics import Estimate, paired_bootstrap, wilson
from preceptor.errors import InputError
from preceptor.generation import Policy
from preceptor.judgement import Scorer
from preceptor.progress import Progress, silent
from preceptor.search.engine import solve
from preceptor.search.result import SolveResult
from preceptor.search.resume import CHUNK, solve_into
from preceptor.search.strategy import Strategy
from preceptor.trace import Problem
from preceptor.usage import Budget

COSTS = ("tokens", "flops")
"""Axes of the frontiers."""


@dataclass(frozen=True)
class Cell:
    """One strategy at one budget; costs are per problem."""

    strategy: str
    budget: str
    settings: str
    """The strategy with its settings, as it names itself."""
    accuracy: Estimate
    over_first: Estimate | None
    """Paired difference to the first strategy at this budget; None for that one itself."""
    outcomes: tuple[bool | None, ...]
    """Correct or not, per problem; None: undecided."""
    tokens: float
    scored: float
    policy_flops: float | None
    scorer_flops: float | None
    seconds: float
    rounds: int
    finished: int
    asked: int | None
    failed: int
    stops: Mapping[str, int]

    @property
    def flops(self) -> float | None:
        """Policy and scorer."""
        known = self.policy_flops is not None and self.scorer_flops is not None
        return (self.policy_flops or 0.0) + (self.scorer_flops or 0.0) if known else None

    def cost(self, axis: str) -> float | None:
        return self.tokens if axis == "tokens" else self.flops

    def to_record(self) -> dict[str, Any]:
        plain = {
            k: v for k, v in vars(self).items() if k not in ("accuracy", "over_first", "outcomes", "stops")
        }
        return {
            **plain,
            "flops": self.flops,
            "accuracy": self.accuracy.to_record(),
            "over_first": None if self.over_first is None else self.over_first.to_record(),
            "problems": len(self.outcomes),
            "correct": sum(o is True for o in self.outcomes),
            "undecided": sum(o is None for o in self.outcomes),
            "stops": dict(self.stops),
        }


@dataclass(frozen=True)
class Best:
    """The most accurate strategy of a budget, ties to the cheaper one."""

    budget: str
    strategy: str
    half: str
    """The most accurate one on every second problem."""
    half_accuracy: Estimate
    """Its accuracy on the others."""


@dataclass(frozen=True)
class Comparison:
    """All cells, budget by budget."""

    cells: tuple[Cell, ...]

    def best(self) -> list[Best]:
        found = []
        for budget in dict.fromkeys(c.budget for c in self.cells):
            own = [c for c in self.cells if c.budget == budget]
            half = max(own, key=lambda c: (_rate(c.outcomes[0::2]), -c.tokens))
            top = max(own, key=lambda c: (_rate(c.outcomes), -c.tokens))
            found.append(Best(budget, top.strategy, half.strategy, _wilson(half.outcomes[1::2])))
        return found

    def frontier(self, axis: str) -> list[Cell]:
        """Cells that are more accurate than every cell that costs no more, cheapest first."""
        known = [c for c in self.cells if c.cost(axis) is not None and c.accuracy.value is not None]
        found: list[Cell] = []
        for cell in sorted(known, key=lambda c: (c.cost(axis) or 0.0, -(c.accuracy.value or 0.0))):
            if not found or (cell.accuracy.value or 0.0) > (found[-1].accuracy.value or 0.0):
                found.append(cell)
        return found

    def to_record(self) -> dict[str, Any]:
        frontiers = {axis: [[c.strategy, c.budget] for c in self.frontier(axis)] for axis in COSTS}
        best = [{**vars(b), "half_accuracy": b.half_accuracy.to_record()} for b in self.best()]
        return {"cells": [c.to_record() for c in self.cells], "best": best, "frontier": frontiers}


def compare(
    out: str | Path,
    policy: Policy,
    problems: Sequence[Problem],
    strategies: Mapping[str, Strategy],
    budgets: Mapping[str, Budget | None],
    scorer: Scorer | None = None,
    seed: int = 0,
    progress: Progress = silent,
    helpers: Mapping[str, Policy] | None = None,
    *,
    chunk: int = CHUNK,
    before_chunk: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run every strategy (by its name for the tables) at every budget; the first one is what others are held against.

    `helpers` go to the strategies that ask them. Raises what `solve_into` raises.
    """
    if not strategies or not budgets:
        raise InputError(
            f"compare: got {len(strategies)} strategies and {len(budgets)} budgets, expected some"
        )
    for names in (strategies, budgets):
        if len({slug(name) for name in names}) < len(names):
            raise InputError(f"compare: got {list(names)}, expected names that differ in letters and digits")
    asked = {
        name: {n: p for n, p in (helpers or {}).items() if n in strategy.helpers}
        for name, strategy in strategies.items()
    }
    for name, strategy in strategies.items():
        for limit in budgets.values():
            # refused before any has run
            solve(policy, [], strategy, scorer, limit, seed, helpers=asked[name])
    shapes = shape_of(policy), shape_of(scorer)
    cells: list[Cell] = []
    ended, total = 0, len(strategies) * len(budgets) * len(problems)
    for budget, limit in budgets.items():
        first: Cell | None = None
        for name, strategy in strategies.items():
            tell = _Part(progress, ended, total, f"{name}, {budget}")
            result, seconds = solve_into(
                Path(out) / "cells" / slug(name) / slug(budget),
                policy,
                problems,
                strategy,
                scorer,
                limit,
                seed,
                tell,
                asked[name],
                chunk=chunk,
                before_chunk=before_chunk,
            )
            ended += len(problems)
            tell(len(problems), len(problems))
            cell = _cell(name, budget, result, seconds["wall"], shapes, first)
            first = first or cell
            cells.append(cell)
    return Comparison(tuple(cells))


@dataclass(frozen=True)
class _Part:
    """The progress of one cell as part of the whole."""

    progress: Progress
    before: int
    total: int
    name: str

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.progress(self.before + done, self.total, self.name)


def _cell(
    name: str, budget: str, result: SolveResult, seconds: float, shapes: tuple[Any, Any], first: Cell | None
) -> Cell:
    n = len(result)
    outcomes = tuple(s.grade.correct if s.grade.decided else None for s in result.solutions)
    writing = [policy_flops(s.tree, shapes[0]) for s in result.solutions]
    scoring = [scorer_flops(s.tree, shapes[1]) for s in result.solutions]
    asked = [s.asked for s in result.solutions if s.asked is not None]
    return Cell(
        strategy=name,
        budget=budget,
        settings=result.strategy,
        accuracy=_wilson(outcomes),
        over_first=None if first is None else _difference(outcomes, first.outcomes),
        outcomes=outcomes,
        tokens=result.tokens,
        scored=result.ledger.scorer.scored / n,
        policy_flops=_mean(writing),
        scorer_flops=_mean(scoring),
        seconds=seconds / n,
        rounds=result.rounds,
        finished=sum(s.finished for s in result.solutions),
        asked=sum(asked) if len(asked) == n else None,
        failed=sum(s.error is not None for s in result.solutions),
        stops=dict(result.stops),
    )


def _difference(own: Sequence[bool | None], first: Sequence[bool | None]) -> Estimate:
    both = [(a, b) for a, b in zip(own, first, strict=True) if a is not None and b is not None]
    return paired_bootstrap([float(a) for a, _ in both], [float(b) for _, b in both])


def _wilson(outcomes: Sequence[bool | None]) -> Estimate:
    decided = [o for o in outcomes if o is not None]
    return wilson(sum(decided), len(decided))


def _rate(outcomes: Sequence[bool | None]) -> float:
    rate = _wilson(outcomes).value
    return -1.0 if rate is None else rate


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def slug(name: str) -> str:
    """A name for a directory: `"step-beam:keep=2"` -> `"step-beam-keep-2"`."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:80] or "none"
