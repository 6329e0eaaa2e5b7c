"""Finding the first error as inference: our annotator.

All traces and rollouts of all problems are one forest (`forest.py`); exact inference on it (`inference.py`) says
where each trace went wrong, with error rates learned from the outcomes and from cheap signals (`hazards.py`,
`signals.py`). Rollouts are then bought where they promise most per token (`probes.py`), in batches over all traces,
until every trace is sure, nothing is worth asking, or the budget is spent. docs/labels.md describes the model. Left
out: what several probes tell together, rollouts at other temperatures than the given one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from preceptor.annotate.adaptive.forest import Floats, Forest
from preceptor.annotate.adaptive.hazards import Hazards, fit_best
from preceptor.annotate.adaptive.inference import Posterior
from preceptor.annotate.adaptive.probes import Drawn, Probe, candidates, survivals
from preceptor.annotate.adaptive.signals import completed, features, prior, width
from preceptor.annotate.rollout.base import RolloutAnnotator
from preceptor.annotate.rollout.montecarlo import Prefix, Rollout, outcome
from preceptor.annotate.tools.confidence import StepConfidence
from preceptor.errors import InputError, ItemError
from preceptor.judgement import NO_ERROR, Judgement, Scorer
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage


@dataclass(frozen=True)
class Belief:
    """What is believed of one trace of T steps."""

    first_error: tuple[float, ...]
    """Probability that each step is the first error; the last entry (T + 1 in all) that there is none."""
    sound: tuple[float, ...]
    """Probability that there is no error up to and with each step: the soft labels."""
    interval: tuple[tuple[float, float], ...]
    """Central 90 % of each soft label over the unknown difficulty of the problem."""

    @property
    def best(self) -> int:
        place = int(np.argmax(self.first_error))
        return NO_ERROR if place == len(self.sound) else place

    @property
    def confidence(self) -> float:
        return max(self.first_error)


@dataclass(frozen=True)
class FirstErrorSearch(RolloutAnnotator):
    """Scorer of value: soft labels P(no error up to step t), and the most probable first error.

    `counts` are the (right, decided) rollouts bought at each prefix for this trace; `rationale[t]` says in words
    what is believed of step t. Flags: `"sure-without-asking"`, `"not-worth-asking"` (unsure, and no rollout promised
    enough), `"budget-spent"`. All traces are judged together, right ones included, so more traces make better labels;
    `rollouts` is not used. What signals cost is on the scorer's side of the usage.
    """

    name: ClassVar[str] = "first-error-search"
    cost: ClassVar[str] = "as many rollouts as are worth it, often none"
    pool: ClassVar[str] = "all"

    confidence: float = 0.99
    """A trace this sure of its first error is asked about no more."""
    budget: float | None = None
    """Tokens generated per trace, on average over all; None is no limit."""
    least: float = 0.01
    """Nats that a rollout must promise to be worth asking for."""
    signals: tuple[Scorer, ...] = field(default_factory=lambda: (StepConfidence(),))
    batch: int = 128
    """Rollouts per round, at most; at most one for each trace and prefix."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 < self.confidence < 1 or self.least < 0 or self.batch < 1 or (self.budget or 0) < 0:
            raise InputError(
                f"first-error-search: got confidence {self.confidence}, least {self.least}, batch {self.batch}, budget "
                f"{self.budget}, expected 0.5 < confidence < 1, least and budget >= 0, batch >= 1"
            )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "signals": [str(s.source) for s in self.signals]}

    def judge(self, traces: Sequence[Trace]) -> list[Judgement]:
        return _Search(self, traces).run()


class _Search:
    """One run over all traces."""

    def __init__(self, method: FirstErrorSearch, traces: Sequence[Trace]):
        self.method, self.traces = method, traces
        self.forest = Forest()
        self.attempts: dict[str, list[list[int]]] = defaultdict(list)
        self.drawn: dict[int, Drawn] = defaultdict(Drawn)
        self.bought: dict[int, list[tuple[int, Rollout]]] = defaultdict(list)
        self.prior = prior(len(method.signals))
        rows, self.signal_cost = features(method.signals, traces)
        self.paths = [self._add(t, r, self._right(t)) for t, r in zip(traces, rows, strict=True)]
        self.given = np.concatenate([np.array(p, dtype=np.int64) for p in self.paths])
        self.hazards: Hazards = self.prior.start
        self.size = 0
        self.posterior = self._learn()
        self.spent = 0

    def run(self) -> list[Judgement]:
        while probes := self._choose():
            self._ask(probes)
            self.posterior = self._learn()
        return [self._judgement(n) for n in range(len(self.traces))]

    def _right(self, trace: Trace) -> bool | None:
        grade = outcome(trace)
        return grade.correct if grade.decided else None

    def _add(
        self, trace: Trace, rows: Sequence[Sequence[float]], right: bool | None, given: int = 0
    ) -> list[int]:
        root = self.forest.root(trace.problem.id, [0.0] * width(self.method.signals))
        path = self.forest.add(root, trace.step_texts, rows, _step_tokens(trace), right, given)
        self.attempts[trace.problem.id].append(path)
        return path

    def _learn(self) -> Posterior:
        arrays = self.forest.arrays()
        arrays = replace(arrays, features=completed(arrays.features))
        self.hazards, posterior = fit_best(arrays, self.given, self.prior, self._starts())
        self.errs = self.hazards.errs(arrays, posterior)
        mended, chances = posterior.mended[self.given].sum(), posterior.spoiled_before[self.given].sum()
        self.mends = float((mended + 0.05) / (chances + 1))
        return posterior

    def _starts(self) -> list[Hazards]:
        """Where the last round ended; at first, and when the forest has grown by a half, also the two ends of how
        exclusive alternatives are."""
        if len(self.forest.parent) < 1.5 * self.size:
            return [self.hazards]
        self.size = len(self.forest.parent)
        ends = [replace(self.prior.start, rivalry=r) for r in (0.05, 0.9)]
        return ends if self.hazards is self.prior.start else [self.hazards, *ends]

    def belief(self, n: int) -> Belief:
        path, p = np.array(self.paths[n], dtype=np.int64), self.posterior
        weights = p.difficulty[self.forest.problem[path[0]]]
        chances = np.append(p.first_error[path], p.sound[path[-1]])
        return Belief(
            tuple(map(float, chances / chances.sum())),
            tuple(map(float, p.sound[path])),
            tuple(_central(p.sound_by_grid[node], weights) for node in path),
        )

    def _choose(self) -> list[Probe]:
        """The best probes of this round, at most one for each trace and each prefix."""
        m = self.method
        left = None if m.budget is None else m.budget * len(self.traces) - self.spent
        if left is not None and left <= 0:
            return []
        survival = {name: survivals(paths, self.errs) for name, paths in self.attempts.items()}
        found: list[Probe] = []
        for n, trace in enumerate(self.traces):
            belief = self.belief(n)
            if belief.confidence < m.confidence:
                chances = np.array(belief.first_error)
                found += candidates(
                    n,
                    self.paths[n],
                    chances,
                    self.posterior.mended_after[self.paths[n]],
                    survival[trace.problem.id],
                    self.mends,
                    self.forest.tokens,
                    self.drawn,
                )
        chosen: list[Probe] = []
        used: set[tuple[str, int]] = set()
        for probe in sorted(p for p in found if p.nats >= m.least):
            keys = {("trace", probe.trace), ("node", self.paths[probe.trace][probe.steps - 1])}
            if used & keys:
                continue
            used |= keys
            chosen.append(probe)
            if left is not None:
                left -= -probe.nats / probe.price
            if len(chosen) == m.batch or (left is not None and left <= 0):
                break
        return chosen

    def _ask(self, probes: Sequence[Probe]) -> None:
        nodes = [self.paths[p.trace][p.steps - 1] for p in probes]
        prefixes = [Prefix.of(self.traces[p.trace], p.steps) for p in probes]
        draws = [range(self.drawn[v].count, self.drawn[v].count + 1) for v in nodes]
        rollouts = [r for (r,) in self.method.monte_carlo.draw(prefixes, draws)]
        rows, costs = features(self.method.signals, [r.trace for r in rollouts])
        for probe, node, rollout, row, cost in zip(probes, nodes, rollouts, rows, costs, strict=True):
            usage = rollout.continuation.usage
            self.spent += usage.generated or usage.reused
            self.drawn[node].count += 1
            self.drawn[node].texts[rollout.continuation.text] += 1
            self.bought[probe.trace].append((probe.steps, rollout))
            self.signal_cost[probe.trace] += cost
            if rollout.right is not None and rollout.trace.steps:
                self._add(rollout.trace, row, rollout.right, probe.steps)

    def _judgement(self, n: int) -> Judgement:
        trace, belief, bought = self.traces[n], self.belief(n), self.bought[n]
        counts: list[tuple[int, int] | None] = [None] * len(trace.steps)
        for t, rollout in bought:
            right, tried = counts[t - 1] or (0, 0)
            counts[t - 1] = (right + (rollout.right is True), tried + (rollout.right is not None))
        usage = sum((r.continuation.usage for _, r in bought), Usage())
        error = None
        if self._right(trace) is None and not any(r.right is not None for _, r in bought):
            error = ItemError("undecided", f"no answer could be graded: {outcome(trace).reason}")
        return Judgement(
            trace=trace.id,
            question=self.method.question,
            source=self.method.source,
            scores=None if error else belief.sound,
            counts=tuple(counts),
            undecided=sum(r.right is None for _, r in bought),
            first_error=None if error else belief.best,
            rationale=tuple(_words(belief, t, c) for t, c in enumerate(counts)),
            flags=self._flags(belief, bool(bought)),
            usage=Ledger(policy=usage) + self.signal_cost[n],
            error=error,
        )

    def _flags(self, belief: Belief, asked: bool) -> tuple[str, ...]:
        if belief.confidence >= self.method.confidence:
            return () if asked else ("sure-without-asking",)
        budget = self.method.budget
        over = budget is not None and self.spent >= budget * len(self.traces)
        return ("budget-spent",) if over else ("not-worth-asking",)


def _central(values: Floats, weights: Floats) -> tuple[float, float]:
    """The 5 % and 95 % quantiles of weighted values."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    places = np.searchsorted(total, [0.05 * total[-1], 0.95 * total[-1]])
    low, high = values[order][np.minimum(places, len(values) - 1)]
    return (float(low), float(high))


def _words(belief: Belief, t: int, counts: tuple[int, int] | None) -> str:
    low, high = belief.interval[t]
    asked = "" if counts is None else f"; {counts[0]} of {counts[1]} rollouts right"
    return (
        f"no error so far: {belief.sound[t]:.2f} [{low:.2f}, {high:.2f}]; first error here: "
        f"{belief.first_error[t]:.2f}{asked}"
    )


def _step_tokens(trace: Trace) -> list[int]:
    """Tokens of each step, by the sampled tokens where they are known, else by four characters each."""
    if trace.token_ends is None:
        return [max(1, (s.end - s.start + 3) // 4) for s in trace.steps]
    ends = np.array(trace.token_ends)
    upto = [int(np.searchsorted(ends, s.end, side="right")) for s in trace.steps]
    return [b - a for a, b in zip([0, *upto[:-1]], upto, strict=True)]
