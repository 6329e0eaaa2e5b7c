"""What votes by step scores share: N samples, scores aggregated to one number, a rule of `search/vote.py`.

A subclass states the rule and its settings. Cost: n solutions and n scored traces.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from preceptor.search.aggregate import Aggregate, resolve
from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import elect
from preceptor.search.tree import Node
from preceptor.search.vote import Vote


@dataclass(frozen=True)
class ScoredVote(Samples):
    """Chooses by `rule`."""

    needs_scorer: ClassVar[bool] = True
    aggregate: str | Aggregate = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        resolve(self.aggregate)
        self.rule()  # refuses settings it cannot take before anything is spent

    @abstractmethod
    def rule(self) -> Vote: ...

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), self.rule(), self.aggregate)
