"""A label model for first errors (our extension of index 63): the truth of a trace is one place e, not T bits.

score(e) = log prior(e) + sum_{t<e} log P(L_t | right) + log P(L_e | wrong) per labeller, softmax over e in
{none, 0, .., T-1}; an abstention adds nothing. Each labeller has its own confusion, so value labellers (Monte Carlo)
and validity labellers (judges) mix. Deviations: the catalogue skips votes after e, which favours early errors (they
explain fewer votes): `after` gives those a rate of their own, None skips them; EM always learns it. The prior is a
chance per step, so length matters. Smoothing, bounds and stop as in `label_model`. Cost: none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from preceptor.annotate.combine.label_model import EM, Vote
from preceptor.errors import InputError
from preceptor.judgement import NO_ERROR

Votes = Sequence[Sequence[Vote]]
"""Of one trace: per step, one vote per labeller."""
Posterior = tuple[float, ...]
"""P(e = 0), .., P(e = T-1), P(no error)."""


@dataclass(frozen=True)
class Confusion:
    """How often a labeller that votes says 1."""

    right: float = 0.8
    """At a step before the first error."""
    wrong: float = 0.2
    """At the first error."""
    after: float | None = 0.5
    """After it; None skips those votes."""

    def __post_init__(self) -> None:
        if any(p is not None and not 0 < p < 1 for p in (self.right, self.wrong, self.after)):
            raise InputError(f"confusion: got {self}, expected rates in (0, 1).")


@dataclass(frozen=True)
class FirstErrorModel:
    """Given or fitted confusions; `posterior` judges any trace with them."""

    labellers: tuple[Confusion, ...]
    hazard: float = 0.1
    """Prior chance that a step is the first error, given none before it."""
    rounds: int = 0
    """EM rounds it took; 0 where all was given."""

    def __post_init__(self) -> None:
        if not self.labellers or not 0 < self.hazard < 1:
            raise InputError(
                f"first-error model: got {len(self.labellers)} labellers and hazard {self.hazard}, expected at "
                "least one and a chance in (0, 1)."
            )

    def posterior(self, trace: Votes) -> Posterior:
        """One pass: each place of the error differs from the next by one step only."""
        before = after = 0.0
        steps = [self._step(row) for row in trace]
        late = sum(a for _, _, a in steps)
        scores = []
        for right, wrong, own_after in steps:
            after += own_after
            scores.append(before + math.log(self.hazard) + wrong + late - after)
            before += math.log(1 - self.hazard) + right
        top = max([*scores, before])
        weights = [math.exp(s - top) for s in (*scores, before)]
        return tuple(w / sum(weights) for w in weights)

    def _step(self, row: Sequence[Vote]) -> tuple[float, float, float]:
        """Log-likelihood of the votes on a step that is right, the first error, or after it."""
        if len(row) != len(self.labellers) or any(v not in (0, 1, None) for v in row):
            raise InputError(
                f"got votes {list(row)}, expected {len(self.labellers)} of 1, 0 or None (abstains)."
            )
        right = wrong = after = 0.0
        for vote, who in zip(row, self.labellers, strict=True):
            if vote is not None:
                right += _log(who.right, vote)
                wrong += _log(who.wrong, vote)
                after += 0.0 if who.after is None else _log(who.after, vote)
        return right, wrong, after


def labels(posterior: Posterior) -> tuple[float, ...]:
    """P(no error up to and with step t), for each step; never rises."""
    left, found = 1.0, []
    for p in posterior[:-1]:
        left -= p
        found.append(min(max(left, 0.0), 1.0))
    return tuple(found)


def first_error(posterior: Posterior) -> int:
    """The most likely place, or `NO_ERROR`; ties go to the earliest error."""
    best = max(range(len(posterior)), key=lambda e: (posterior[e], -e))
    return NO_ERROR if best == len(posterior) - 1 else best


def fit(
    traces: Sequence[Votes], em: EM | None = None, start: FirstErrorModel | None = None
) -> FirstErrorModel:
    """Confusions and hazard of these traces by EM. `start`: default confusions and hazard 0.1 (ours).

    With few labellers that abstain a lot, a labeller's `wrong` rests on as few votes as there are errors.
    """
    em = em or EM()
    count = len(next((row for trace in traces for row in trace), ()))
    if not count:
        raise InputError(
            "first-error model: got no votes, expected at least one step with one vote per labeller."
        )
    if em.balance is not None:
        raise InputError(f"EM: got balance={em.balance}, expected None: the prior is a hazard, of `start`.")
    model = start or FirstErrorModel((Confusion(),) * count)
    distinct = Counter(tuple(tuple(row) for row in trace) for trace in traces)
    before: list[Posterior] = []
    for round_ in range(1, em.iterations + 1):
        found = [model.posterior(trace) for trace in distinct]
        model = _maximise(distinct, found, count, em, round_)
        moved = max((abs(a - b) for x, y in zip(found, before) for a, b in zip(x, y)), default=1.0)
        if before and moved < em.tolerance:
            break
        before = found
    return model


def _maximise(
    traces: Counter[tuple[tuple[Vote, ...], ...]], found: Sequence[Posterior], count: int, em: EM, round_: int
) -> FirstErrorModel:
    said = [[[0.0, 0.0] for _ in range(3)] for _ in range(count)]
    errors = exposed = 0.0
    for (trace, times), posterior in zip(traces.items(), found, strict=True):
        passed = 0.0
        for row, here in zip(trace, posterior, strict=False):
            parts = (max(1 - passed - here, 0.0), here, passed)
            errors, exposed = errors + times * here, exposed + times * (1 - passed)
            passed += here
            for vote, own in zip(row, said, strict=True):
                for weight, cell in zip(parts, own, strict=True):
                    if vote is not None:
                        cell[vote] += times * weight
    rates = [
        [min(max((ones + 1) / (zeros + ones + 2), em.floor), 1 - em.floor) for zeros, ones in own]
        for own in said
    ]
    hazard = (errors + 1) / (exposed + 2)
    return FirstErrorModel(tuple(Confusion(*own) for own in rates), hazard, round_)


def _log(rate: float, vote: int) -> float:
    return math.log(rate if vote else 1 - rate)
