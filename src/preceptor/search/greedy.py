"""Greedy decoding: one solution at temperature 0. The baseline every search has to beat; one call."""

from __future__ import annotations

from dataclasses import dataclass, field

from preceptor.generation import Sampling
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy
from preceptor.search.tree import Node


@dataclass(frozen=True)
class Greedy(Strategy):
    """The policy's most likely continuation."""

    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0))

    def select(self, search: Search) -> list[Ask]:
        return [] if search.round else [Ask(search.tree.root, 1, self.sampling, role="solution")]

    def choose(self, search: Search) -> Node | None:
        return next((n for n in self.candidates(search) if n.canon is not None), None)
