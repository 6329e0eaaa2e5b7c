"""The scorer under examination: asked in one place, so that every answer is checked and every trace counted.

A judgement whose number of scores is not the number of steps is unusable: the structural checks report it,
and no other check builds on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeGuard

import numpy as np

from preceptor.bench.doctor.cases import Case
from preceptor.bench.statistics import Estimate, Floats, bootstrap_sums, cluster_sums
from preceptor.judgement import Judgement, Question, Scorer
from preceptor.trace import Problem, Trace
from preceptor.usage import Ledger

Scores = tuple[float | None, ...]

LEVEL = 0.99
"""Level of the intervals behind verdicts: a report makes some thirty comparisons, and at 0.95 one or two of
them would come out wrong by chance alone."""

UNLIMITED = 1 << 30


class Misanswered(Exception):
    """The scorer did not give one judgement per trace, in order."""


class RowLike(Protocol):
    @property
    def token_ids(self) -> tuple[int, ...]: ...
    @property
    def positions(self) -> tuple[int, ...]: ...
    @property
    def steps(self) -> tuple[int, ...]: ...


class RenderedLike(Protocol):
    @property
    def rows(self) -> tuple[RowLike, ...]: ...


class HasRender(Protocol):
    """A scorer that shows the token ids it reads and where."""

    @property
    def render(self) -> Callable[[Trace], RenderedLike]: ...
    @property
    def tokenizer(self) -> Any: ...


def renders(scorer: object) -> TypeGuard[HasRender]:
    return callable(getattr(scorer, "render", None)) and getattr(scorer, "tokenizer", None) is not None


def mismatch(trace: Trace, judgement: Judgement) -> str | None:
    """Why these scores cannot be matched to the steps; None where they can, or a typed error says why not."""
    if judgement.scores is None:
        return None if judgement.error is not None else "neither scores nor an error"
    if len(judgement.scores) != len(trace.steps):
        return f"{len(judgement.scores)} scores for {len(trace.steps)} steps"
    return None


class Subject:
    """A scorer, the cases, and what has been asked so far."""

    def __init__(self, scorer: Scorer, cases: Sequence[Case], seed: int):
        self.scorer, self.cases, self.seed = scorer, tuple(cases), seed
        self.asked = 0
        self.usage = Ledger()

    def ask(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One call. Raises Misanswered where the answer is not one judgement per trace, in order."""
        judgements = self.scorer.score(traces)
        self.asked += len(traces)
        if [j.trace for j in judgements] != [t.id for t in traces]:
            raise Misanswered(
                f"got {len(judgements)} judgements for {len(traces)} traces, or in another order, expected one "
                "per trace, in order"
            )
        self.usage = sum((j.usage for j in judgements), self.usage)
        return judgements

    def scores(self, traces: Sequence[Trace]) -> list[Scores | None]:
        """Usable scores per trace, or None."""
        return [
            None if j.scores is None or len(j.scores) != len(t.steps) else j.scores
            for t, j in zip(traces, self.ask(traces), strict=True)
        ]

    @cached_property
    def traces(self) -> list[Trace]:
        """All traces of the cases, right and wrong, each once."""
        found = [t for c in self.cases for t in (c.right, c.wrong) if t is not None]
        return list({t.id: t for t in found}.values())

    @cached_property
    def judgements(self) -> list[Judgement]:
        """The judgements of `traces`, asked once and in one call."""
        return self.ask(self.traces)

    @cached_property
    def base(self) -> dict[str, Scores]:
        """Trace id -> usable scores of the traces of the cases."""
        return {
            t.id: j.scores
            for t, j in zip(self.traces, self.judgements, strict=True)
            if j.scores is not None and len(j.scores) == len(t.steps)
        }

    def known(self, trace: Trace | None) -> Scores | None:
        return None if trace is None else self.base.get(trace.id)

    @cached_property
    def values(self) -> Floats:
        """Every score of the cases."""
        return np.array([s for own in self.base.values() for s in own if s is not None], dtype=np.float64)

    @property
    def spread(self) -> float:
        """Largest minus smallest score of the cases: what an effect is measured against."""
        return float(self.values.max() - self.values.min()) if len(self.values) else 0.0

    @property
    def probabilities(self) -> bool:
        """All scores lie in [0, 1]."""
        return bool(len(self.values)) and self.values.min() >= 0 and self.values.max() <= 1

    @property
    def threshold(self) -> float | None:
        """Where a verdict turns: the format's own, else 0.5 for scores in [0, 1]; None where there is none."""
        own: float | None = 0.5 if self.probabilities else None
        return getattr(getattr(self.scorer, "format", None), "threshold", own)

    @property
    def outcome(self) -> bool:
        """Only last steps have scores: an outcome model."""
        return bool(self.base) and all(s is None for own in self.base.values() for s in own[:-1])

    @property
    def longitudinal(self) -> bool:
        """The question is where the answer stands, so scores may rightly move along the trace."""
        return self.scorer.question in (Question.VALUE, Question.PROGRESS)

    @cached_property
    def tolerance(self) -> float:
        """Differences up to this are rounding: 1e-5 for weights in fp32, 1e-3 in half precision or where the
        precision is not known (a server), times the largest score where that is above 1."""
        weights = getattr(getattr(self.scorer, "model", None), "parameters", None)
        kinds = {str(w.dtype) for w in weights()} if callable(weights) else set()
        exact = bool(kinds) and kinds <= {"torch.float32", "torch.float64"}
        size = float(np.abs(self.values).max()) if len(self.values) else 1.0
        return (1e-5 if exact else 1e-3) * max(1.0, size)

    @cached_property
    def problem(self) -> Problem:
        """The one with the shortest prompt, for traces made up on the spot."""
        return min((c.problem for c in self.cases), key=lambda p: (len(p.prompt), p.id))

    @cached_property
    def tag(self) -> str:
        """The text that marks a step for this scorer; "" where it has none or does not say."""
        places = (getattr(self.scorer, "render", None), getattr(self.scorer, "format", None))
        for place in places:
            for owner, name in ((getattr(place, "layout", None), "tag"), (place, "separator")):
                found = getattr(owner, name, None)
                if isinstance(found, str) and found:
                    return found
        return ""

    @cached_property
    def context(self) -> int | None:
        """Tokens that fit, where the scorer says."""
        for name in ("render", "format"):
            limit = getattr(getattr(self.scorer, name, None), "max_length", None)
            if isinstance(limit, int):
                return limit if limit < UNLIMITED else None
        return None

    def mean(self, owners: Sequence[Hashable], values: Sequence[float]) -> Estimate:
        """The mean with its interval over problems."""
        rows = cluster_sums(owners, np.array([[v, 1.0] for v in values]).reshape(-1, 2))
        return bootstrap_sums(rows, lambda s: s[..., 0] / s[..., 1], level=LEVEL, seed=self.seed)


def furthest(
    one: Sequence[Scores | None], other: Sequence[Scores | None], threshold: float | None = None
) -> tuple[float, int, int]:
    """Largest difference of scores that both have, how many verdicts at the threshold flip, and how many
    scores only one of them has."""
    largest, flips, lost = 0.0, 0, 0
    for first, second in zip(one, other, strict=True):
        size = len(first or second or ())
        a, b = (given or (None,) * size for given in (first, second))
        lost += abs(len(a) - len(b))
        for x, y in zip(a, b, strict=False):
            if x is None or y is None:
                lost += (x is None) != (y is None)
                continue
            largest = max(largest, abs(x - y))
            flips += threshold is not None and (x < threshold) != (y < threshold)
    return largest, flips, lost
