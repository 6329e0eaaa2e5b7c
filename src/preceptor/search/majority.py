"""Majority vote over N samples: self-consistency (2203.11171). Needs no scorer; cost: n solutions."""

from __future__ import annotations

from dataclasses import dataclass

from preceptor.search.samples import Samples
from preceptor.search.state import Search
from preceptor.search.strategy import elect
from preceptor.search.tree import Node


@dataclass(frozen=True)
class Majority(Samples):
    """The most frequent answer."""

    def choose(self, search: Search) -> Node | None:
        return elect(self.candidates(search), "majority")
