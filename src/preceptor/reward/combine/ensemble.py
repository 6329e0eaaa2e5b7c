"""Several scorers, one score: mean, median, min, max, weighted mean or weighted sum.

Members that answer different questions are refused unless told which question the result answers. BiRM's
search value f = g + beta * h (validity of the steps so far plus beta times the chance of success) is
`Ensemble((g, h), how="sum", weights=(1, beta), answers=Question.QUALITY)`; beta = 0 is the plain validity
scorer, and a member of weight 0 is not called. Best-of-N in BiRM (aggregation not found) is left to
`search`.

An absent score is not zero. With `missing="none"` a step that a member did not judge has no score; with
`"skip"` the others decide (weights are shared among them) and the judgement is flagged `"member-missing"`.
A sum of fewer terms is another quantity, so `sum` refuses `"skip"`.

Cost: the sum of the members'. Left out: learned weights (`Calibrated` maps a score, `Gate` weighs two).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Question, Scorer, Source
from preceptor.reward.combine.parts import ask, combined, names_of, one_question, scores_of
from preceptor.trace import Trace


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _sum(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True))


HOW: dict[str, Callable[[Sequence[float], Sequence[float]], float]] = {
    "mean": _mean,
    "median": lambda values, _: statistics.median(values),
    "min": lambda values, _: min(values),
    "max": lambda values, _: max(values),
    "weighted": _mean,
    "sum": _sum,
}
"""From the members' scores of a step, and their weights, to one score."""


class Spread(NamedTuple):
    """A judgement with the disagreement behind it."""

    judgement: Judgement
    spread: tuple[float | None, ...]
    """Per step the standard deviation of the members' scores (of the population, unweighted); None with
    fewer than two scores."""


@dataclass(frozen=True)
class Ensemble:
    """Scorer of the members' common question, or of `answers`."""

    members: tuple[Scorer, ...]
    how: Literal["mean", "median", "min", "max", "weighted", "sum"] = "mean"
    weights: tuple[float, ...] | None = None
    """One per member, for `weighted` (at least 0, not all 0) and `sum` (any finite number)."""
    missing: Literal["none", "skip"] = "none"
    answers: Question | None = None

    def __post_init__(self) -> None:
        one_question(self.members, self.answers)
        if self.how not in HOW or self.missing not in ("none", "skip"):
            raise InputError(
                f"got how={self.how!r} and missing={self.missing!r}, expected one of {sorted(HOW)} and of "
                "['none', 'skip']"
            )
        if (self.weights is not None) != (self.how in ("weighted", "sum")):
            raise InputError(
                f"how={self.how!r}: got weights {self.weights}, expected weights for 'weighted' and 'sum' only"
            )
        if self.weights is not None and len(self.weights) != len(self.members):
            raise InputError(
                f"weights: got {len(self.weights)}, expected one for each of {len(self.members)} members"
            )
        if self.how == "weighted" and (min(self._weights) < 0 or not sum(self._weights) > 0):
            raise InputError(f"weights: got {self.weights}, expected numbers >= 0 that are not all 0")
        if not any(self._weights):
            raise InputError(f"weights: got {self.weights}, expected at least one that is not 0")
        if self.how == "sum" and self.missing == "skip":
            raise InputError("a sum over fewer members is another quantity: use missing='none', or a mean")

    @property
    def _weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.members) if self.weights is None else self.weights

    @property
    def question(self) -> Question:
        return one_question(self.members, self.answers)

    @cached_property
    def source(self) -> Source:
        return Source.of(
            "ensemble",
            members=names_of(self.members),
            how=self.how,
            weights=self.weights,
            missing=self.missing,
            question=self.question.value,
        )

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        return [judgement for judgement, _ in self.score_with_spread(traces)]

    def score_with_spread(self, traces: Sequence[Trace]) -> list[Spread]:
        """The judgements, each with the members' disagreement per step, at the same cost."""
        heard = [(m, w) for m, w in zip(self.members, self._weights, strict=True) if w != 0]
        weights = [w for _, w in heard]
        columns = [ask(member, traces) for member, _ in heard]
        return [self._join(trace, [c[i] for c in columns], weights) for i, trace in enumerate(traces)]

    def _join(self, trace: Trace, parts: list[Judgement], weights: list[float]) -> Spread:
        rows = zip(*(scores_of(j, len(trace.steps)) for j in parts), strict=True)
        scores: list[float | None] = []
        spread: list[float | None] = []
        skipped = False
        for row in rows:
            given = [(s, w) for s, w in zip(row, weights, strict=True) if s is not None]
            values = [s for s, _ in given]
            short = len(given) < len(row)
            if not given or (short and self.missing == "none"):
                scores.append(None)
            else:
                skipped = skipped or short
                scores.append(HOW[self.how](values, [w for _, w in given]))
            spread.append(statistics.pstdev(values) if len(values) > 1 else None)
        flags = ("member-missing",) if skipped else ()
        return Spread(combined(self, trace, scores, parts, flags=flags), tuple(spread))
