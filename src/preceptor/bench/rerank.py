"""Every vote on pools of stored samples: which rule, over which aggregator of which reward model, picks right answers.

The votes are those of `search/vote.py`, over the whole pool or `k` of it. Ties go to the first, as in a search; pools
may be stored best first, so outcomes are means over random orders, of which the first k vote (`pools.py` is exact where
a formula exists). Negative scores are mapped to softmax weights for the sums. The fitted log-odds vote takes
probabilities: Platt's map, the policy's accuracy and how many answers it may give come from the other half of the
problems. Intervals resample problems; differences are paired on the same resamples. Rows on the same problems: the best
of them is optimistic elsewhere, so `Reranked.choose` chooses on one half and measures on the other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preceptor.bench.by_difficulty import TwoFold, halves, two_fold
from preceptor.bench.estimators import pass_at_k
from preceptor.bench.pools import classes_of
from preceptor.bench.statistics import Estimate, paired_bootstrap
from preceptor.errors import InputError
from preceptor.progress import Progress, silent
from preceptor.reward.combine.calibration_maps import Platt
from preceptor.search.aggregate import aggregate
from preceptor.search.vote import VOTES, Scores, Vote, log_odds, softmax
from preceptor.search.voting.difficulty import BINS, bin_of, quantile_edges
from preceptor.trace import stream_seed
from preceptor.worlds.readers import Pool

RULES = ("bon", "hybrid", "log_odds", "mean_reward", "pessimistic", "reward_frequency", "weighted")
AGGREGATORS = ("last", "mean", "min", "prod")
FITTED = "log_odds, fitted"
NON_NEGATIVE = ("pass_rate", "weighted")
"""Rules that add scores up."""
ORDERS = 8
"""Random orders of a pool over which ties are shared."""
PROBES = 4
"""First samples whose mean score is a problem's difficulty."""


class Key(NamedTuple):
    """Which choice."""

    vote: str
    model: str | None = None
    aggregator: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in self if part is not None)


@dataclass(frozen=True)
class Reranked:
    """Outcomes of every choice on every problem of one file."""

    source: str
    outcomes: Mapping[Key, NDArray[np.float64]]
    """Of each problem: how often the choice is right, over the orders."""
    names: tuple[str, ...]
    k: int | None
    steps: tuple[float, ...]
    """Mean number of steps of a problem's candidates."""
    probes: Mapping[tuple[str, str], tuple[float, ...]]
    """Deployable difficulty by model and aggregator; `-inf` where no probe was scored."""
    candidates: int
    skipped: Mapping[str, str]
    resamples: int = 1000
    seed: int = 0
    estimates: dict[tuple[Key, Key | None], Estimate] = field(default_factory=dict, repr=False)

    def accuracy(self, key: Key) -> Estimate:
        return self._estimate(key, None)

    def minus(self, key: Key, other: Key) -> Estimate:
        """Paired difference on the same problems."""
        return self._estimate(key, other)

    def _estimate(self, key: Key, other: Key | None) -> Estimate:
        if (key, other) not in self.estimates:
            # the difference to nothing is the accuracy itself
            base = np.zeros(len(self.names)) if other is None else self.outcomes[other]
            self.estimates[key, other] = paired_bootstrap(
                self.outcomes[key], base, resamples=self.resamples, seed=self.seed
            )
        return self.estimates[key, other]

    def strata(self, key: Key, by: Sequence[float], bins: int = BINS) -> list[tuple[float, int, float]]:
        """Mean of `by`, problems and accuracy of each quantile bin, the highest values of `by` first."""
        edges = quantile_edges(by, bins)
        where = np.array([bin_of(value, edges) for value in by])
        values, column = np.asarray(by), self.outcomes[key]
        return [
            (float(values[where == b].mean()), int((where == b).sum()), float(column[where == b].mean()))
            for b in range(1, bins + 1)
            if (where == b).any()
        ]

    def choose(self, keys: Sequence[Key], model: str, aggregator: str = "last", bins: int = BINS) -> TwoFold:
        """The best of `keys` per bin of deployable difficulty, and the single best, both chosen on other problems."""
        table = np.stack([self.outcomes[key] for key in keys], axis=1)
        return two_fold(table, self.probes[model, aggregator], self.names, bins, self.seed)

    def table(self) -> str:
        base = Key("majority")
        lines = [
            f"{self.source}: {len(self.names)} problems, {self.candidates} candidates, {self.k or 'all'} vote; 95 % "
            f"intervals over problems ({self.resamples} resamples, seed {self.seed}); differences paired",
            "",
            f"{'choice':48} {'accuracy':24} minus majority",
        ]
        for key in self.outcomes:
            lines.append(f"{key!s:48} {_shown(self.accuracy(key)):24} {_shown(self.minus(key, base), '+')}")
        lines += [f"skipped {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def to_record(self) -> dict[str, Any]:
        base = Key("majority")
        rows = [
            {
                **key._asdict(),
                "accuracy": self.accuracy(key).to_record(),
                "minus_majority": self.minus(key, base).to_record(),
            }
            for key in self.outcomes
        ]
        return {
            "source": self.source,
            "problems": len(self.names),
            "rows": rows,
            "skipped": dict(self.skipped),
        }


def rerank(
    pools: Sequence[Pool],
    source: str,
    *,
    rules: Mapping[str, Vote] | None = None,
    aggregators: Sequence[str] = AGGREGATORS,
    models: Sequence[str] | None = None,
    answers: str = "published",
    k: int | None = None,
    orders: int = ORDERS,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> Reranked:
    """Run `rules` (None: those of `RULES`, and the fitted log-odds vote) on every model and aggregator.

    `k` candidates vote, drawn without replacement in each of `orders` orders; None: all.
    """
    if answers not in ("published", "canonical"):
        raise InputError(f"answers: got {answers!r}, expected 'published' or 'canonical'")
    if orders < 1 or (k is not None and not 1 <= k <= min(len(p.candidates) for p in pools)):
        raise InputError(
            f"rerank: got orders={orders}, k={k}, expected orders >= 1 and 1 <= k <= the smallest pool"
        )
    votes = {name: VOTES[name] for name in RULES} if rules is None else dict(rules)
    ballots = [Ballot.of(pool, answers, k, orders, seed) for pool in pools]
    names = tuple(pool.problem.id for pool in pools)
    models = (
        sorted({m for p in pools for c in p.candidates for m in c.step_scores}) if models is None else models
    )
    outcomes = _baselines(ballots, k)
    skipped: dict[str, str] = {}
    probes: dict[tuple[str, str], tuple[float, ...]] = {}
    wanted = [(model, how) for model in models for how in aggregators]
    for at, (model, how) in enumerate(wanted):
        try:
            columns = [[aggregate(c.step_scores.get(model), how) for c in pool.candidates] for pool in pools]
        except ValueError as error:  # scores outside [0, 1]
            skipped[f"{model} {how}"] = str(error)
            continue
        probes[model, how] = tuple(b.probe(column) for b, column in zip(ballots, columns, strict=True))
        found, refused = _votes(votes, ballots, columns)
        outcomes |= {Key(name, model, how): values for name, values in found.items()}
        skipped |= {f"{name} {model} {how}": why for name, why in refused.items()}
        if rules is None:
            outcomes[Key(FITTED, model, how)] = fitted(ballots, columns, names, seed)
        progress(at + 1, len(wanted), f"{len(outcomes)} choices")
    lengths = tuple(sum(len(c.steps) for c in p.candidates) / len(p.candidates) for p in pools)
    total = sum(len(p.candidates) for p in pools)
    return Reranked(source, outcomes, names, k, lengths, probes, total, skipped, resamples, seed)


@dataclass(frozen=True)
class Ballot:
    """The candidates of one problem, in several orders."""

    classes: list[str | None]
    correct: list[bool]
    orders: list[list[int]]

    @classmethod
    def of(cls, pool: Pool, answers: str, k: int | None, orders: int, seed: int) -> Ballot:
        n = len(pool.candidates)
        drawn = [
            np.random.default_rng(stream_seed("order", seed, pool.problem.id, i)).permutation(n)[:k].tolist()
            for i in range(orders)
        ]
        return cls(classes_of(pool, answers), [c.correct for c in pool.candidates], drawn)

    def right(self, vote: Vote, scores: Scores) -> float:
        """Share of the orders in which the vote is right."""
        hits = 0
        for order in self.orders:
            winner = vote([self.classes[i] for i in order], [scores[i] for i in order])
            hits += winner is not None and self.correct[order[winner]]
        return hits / len(self.orders)

    def probe(self, scores: Scores) -> float:
        """Mean score of a few samples; -inf where none of them is scored."""
        known = [s for i in self.orders[0][:PROBES] if (s := scores[i]) is not None]
        return math.fsum(known) / len(known) if known else -math.inf


def _baselines(ballots: Sequence[Ballot], k: int | None) -> dict[Key, NDArray[np.float64]]:
    """What needs no scores."""
    return {
        Key("mean"): np.array([sum(b.correct) / len(b.correct) for b in ballots]),
        Key("majority"): _right(VOTES["majority"], ballots, [[None] * len(b.correct) for b in ballots]),
        Key("pass"): np.array(
            [pass_at_k(len(b.correct), sum(b.correct), k or len(b.correct)) for b in ballots]
        ),
    }


def _votes(
    votes: Mapping[str, Vote], ballots: Sequence[Ballot], columns: Sequence[Scores]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """Outcomes by vote, and why a vote cannot take these scores."""
    found, refused = {}, {}
    for name, vote in votes.items():
        given = [_weights(column) if name in NON_NEGATIVE else column for column in columns]
        try:
            found[name] = _right(vote, ballots, given)
        except ValueError as error:  # a rule that needs probabilities
            refused[name] = str(error)
    return found, refused


def fitted(
    ballots: Sequence[Ballot], columns: Sequence[Scores], names: Sequence[str], seed: int = 0
) -> NDArray[np.float64]:
    """Outcome of the log-odds vote with probabilities and accuracy learnt on the other half of the problems."""
    side, out = halves(names, seed), np.zeros(len(names))
    raw = any(s is not None and not 0 <= s <= 1 for column in columns for s in column)
    for fold in (0, 1):
        pairs = [
            (s, float(good))
            for i in np.flatnonzero(side == fold).tolist()
            for s, good in zip(columns[i], ballots[i].correct, strict=True)
            if s is not None
        ]
        test: list[int] = np.flatnonzero(side != fold).tolist()
        if not pairs:
            continue
        scores, targets = np.array(pairs).T
        calibrated = Platt.fit(scores, targets, raw=raw)
        q = float(np.clip(targets.mean(), 0.01, 0.99))
        vote = log_odds(accuracy=q, choices=choices([b for b, s in zip(ballots, side) if s == fold]), base=q)
        given = [[None if s is None else calibrated(s) for s in columns[i]] for i in test]
        out[test] = _right(vote, [ballots[i] for i in test], given)
    return out


def choices(ballots: Sequence[Ballot]) -> int | None:
    """How many answers the policy may give, from how often two wrong samples of a problem agree (1 in m - 1); None
    where no two can be compared."""
    agree = pairs = 0
    for ballot in ballots:
        wrong = Counter(
            c for c, good in zip(ballot.classes, ballot.correct, strict=True) if c is not None and not good
        )
        pairs += math.comb(wrong.total(), 2)
        agree += sum(math.comb(n, 2) for n in wrong.values())
    return max(2, round(1 + pairs / agree)) if agree else None


def _right(vote: Vote, ballots: Sequence[Ballot], columns: Sequence[Scores]) -> NDArray[np.float64]:
    return np.array([b.right(vote, scores) for b, scores in zip(ballots, columns, strict=True)])


def _weights(scores: Scores) -> Scores:
    return softmax(scores) if any(s is not None and s < 0 for s in scores) else scores


def _shown(e: Estimate, sign: str = "") -> str:
    return f"{e.value:{sign}.4f} [{e.low:{sign}.4f}, {e.high:{sign}.4f}]"
