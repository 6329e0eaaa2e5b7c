"""A share of cases with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """`hits` of `of` cases, taken as independent."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """None where there was no case: nothing is known, which is not 0."""
        return self.hits / self.of if self.of else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Wilson's score interval; None where there was no case."""
        if not self.of:
            return None
        from scipy.stats import binomtest

        found = binomtest(self.hits, self.of).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)

    def to_record(self) -> dict[str, Any]:
        return {"hits": self.hits, "of": self.of, "value": self.value, "interval": self.interval()}

    def __str__(self) -> str:
        around = self.interval()
        if around is None:
            return "- (0 cases)"
        return f"{self.value:.3f} [{around[0]:.3f}, {around[1]:.3f}] ({self.hits} of {self.of})"
