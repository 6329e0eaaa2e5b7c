"""What best of N and the votes share: N independent solutions, sampled from the root.

Strategies that choose among independent samples read the same ones for the same seed. With `n=None` they
sample `batch` at a time until the budget is spent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from preceptor.generation import Sampling
from preceptor.search.state import Search
from preceptor.search.strategy import Ask, Strategy


@dataclass(frozen=True)
class Samples(Strategy):
    """N whole solutions; subclasses choose."""

    n: int | None = 8
    """None: until the budget is spent."""
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.8), kw_only=True)
    batch: int = field(default=8, kw_only=True)
    """Solutions asked for at a time when `n` is None."""

    def __post_init__(self) -> None:
        if (self.n is not None and self.n < 1) or self.batch < 1:
            raise ValueError(f"samples: got n={self.n}, batch={self.batch}, expected at least 1 (n: or None)")

    @property
    def asked(self) -> int | None:
        return self.n

    def select(self, search: Search) -> list[Ask]:
        if self.n is not None and search.round:
            return []
        return [Ask(search.tree.root, self.n or self.batch, self.sampling, role="solution")]
