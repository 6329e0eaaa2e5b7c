"""Compute-optimal choice by difficulty (Snell et al., 2408.03314; co-tts): another strategy for each bin.

The difficulty of a problem comes from a `table`, or is the mean verifier score of a few probing samples, whose cost is
the problem's. `edges` are quantiles of the same number on *other* problems (`difficulty.quantile_edges`), and which
strategy is best in which bin is to be found there too (`bench/by_difficulty.py`). Probes stay candidates unless
`reuse` is False; without a scored probe the hardest bin is taken. Published choices for MATH-500: policies below 7B
beam; 7B-32B DVTS on easy and medium, beam on hard; above 32B best of n. Limits: one bin and a table is the strategy of
that bin. Cost: `probes` solutions and scores without a table, then the bin's strategy.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from preceptor.errors import InputError
from preceptor.generation import Policy, Sampling
from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy, elect
from preceptor.search.tree import Node, Status
from preceptor.search.voting.difficulty import bin_of, mean_score


@dataclass(frozen=True)
class ComputeOptimal(Strategy):
    """Delegates each problem to the strategy of its difficulty bin."""

    strategies: tuple[Strategy, ...]
    """For bin 1 (easiest), 2, ...; one may stand several times."""
    edges: tuple[float, ...]
    """Ascending, one fewer than strategies; a value below an edge is harder."""
    probes: int = 4
    table: Mapping[str, float] | None = field(default=None, kw_only=True)
    """Difficulty by problem id, higher is easier; None: probe."""
    aggregate: str | Aggregate = field(default="last", kw_only=True)
    """Of a probe's step scores."""
    reuse: bool = field(default=True, kw_only=True)
    """False hides the probes from a strategy that knows its own nodes only."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    """Of the probes."""

    def __post_init__(self) -> None:
        resolve(self.aggregate)
        if not self.strategies or len(self.edges) != len(self.strategies) - 1:
            raise ValueError(
                f"compute-optimal: got {len(self.strategies)} strategies and {len(self.edges)} edges, expected one "
                "edge fewer than strategies"
            )
        if list(self.edges) != sorted(self.edges) or self.probes < 1:
            raise ValueError(
                f"compute-optimal: got edges {self.edges}, probes {self.probes}, expected >= 1, ascending"
            )
        needs = self.table is None or any(s.needs_scorer for s in self.strategies)
        names = tuple(dict.fromkeys(name for s in self.strategies for name in s.helpers))
        object.__setattr__(
            self, "needs_scorer", needs
        )  # class variables elsewhere; here they depend on the parts
        object.__setattr__(self, "helpers", names)

    def prepare(self, policy: Policy) -> Policy:
        for inner in self.strategies:
            if inner.prepare(policy) is not policy:
                raise InputError(f"compute-optimal: {inner} needs a policy of its own. Run it by itself.")
        return policy

    @property
    def asked(self) -> int | None:
        """The most any bin asks for."""
        wanted = [s.asked for s in self.strategies]
        return None if None in wanted else max(w for w in wanted if w is not None)

    def select(self, search: Search) -> list[Ask]:
        if self.table is None and search.round == 0:
            return [Ask(search.tree.root, self.probes, self.sampling, role="solution")]
        if self.table is not None and "bin" not in search.memory:
            if search.problem.id not in self.table:
                raise InputError(
                    f"compute-optimal: the table has no difficulty for problem {search.problem.id!r}"
                )
            self._decide(search, self.table[search.problem.id])
        inner, view = self._inner(search)
        return inner.select(view)

    def to_score(self, search: Search, kids: Sequence[Node]) -> list[Node]:
        if self._probing(search):
            return super().to_score(search, kids)
        inner, view = self._inner(search)
        return inner.to_score(view, kids)

    def backup(self, search: Search, kids: Sequence[Node]) -> None:
        if not self._probing(search):
            inner, view = self._inner(search)
            inner.backup(view, kids)
            return
        self._decide(search, mean_score([k.scores for k in kids], self.aggregate))
        for kid in kids:
            kid.data["probe"] = True

    def prune(self, search: Search, kids: Sequence[Node]) -> None:
        if not self._probing(search):
            inner, view = self._inner(search)
            inner.prune(view, kids)
            return
        for kid in kids if not self.reuse else ():
            if kid.status is Status.DONE:
                kid.status = Status.PRUNED
                kid.data["why"] = "a probe"

    def stop(self, search: Search) -> str | None:
        if "bin" not in search.memory:
            return None
        inner, view = self._inner(search)
        return inner.stop(view)

    def candidates(self, search: Search) -> list[Node]:
        if "bin" not in search.memory:
            return search.done
        inner, view = self._inner(search)
        return inner.candidates(view)

    def choose(self, search: Search) -> Node | None:
        if "bin" not in search.memory:
            return elect(search.done, "bon", self.aggregate)
        inner, view = self._inner(search)
        return inner.choose(view)

    def _probing(self, search: Search) -> bool:
        return self.table is None and search.round == 0

    def _decide(self, search: Search, difficulty: float | None) -> None:
        search.memory["difficulty"] = difficulty
        search.memory["bin"] = len(self.strategies) if difficulty is None else bin_of(difficulty, self.edges)

    def _inner(self, search: Search) -> tuple[Strategy, Search]:
        """The strategy of the problem's bin, and the search as it would be without the probing."""
        inner = self.strategies[search.memory["bin"] - 1]
        view = copy.copy(search)
        view.strategy = inner
        view.round = search.round - (self.table is None)
        view.memory = search.memory.setdefault("inner", {})
        return inner, view
