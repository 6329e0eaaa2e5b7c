"""Which answer is right, and how far the scorer can be trusted, learned together from samples without answers.

Samples vote for answers, a scorer scores them. A hypothesis says how the two hang together: sample i is right
with probability sigmoid(a + b logit(s_i)), s_i its step scores reduced by one of a few aggregators; a wrong sample has
one of `WRONG` wrong answers at random; right ones share one answer, or where a problem has several right answers each
has one of `SEVERAL`. b = 0 means that the scores say nothing, and the most probable answer is then the most frequent
one; a large b follows the scores. Hypotheses and answers are weighed by their posterior, so a scorer that contradicts
the votes loses its say on this problem, and one that agrees with them gains it.

Two precautions. A text sampled twice has the same score twice, which is no second agreement: how far to trust is
learned from distinct texts, and only then do all samples vote. Samples that continue a beginning which the scorer
chose are no free votes: nothing is learned from them, and they count only under hypotheses that believe it.

One problem says little of the scorer: eight samples cannot tell a good one from a useless one. `learned` takes the
samples of many problems (no answers needed) and finds the prior under which they are most likely, by EM over
the weights of the hypotheses; a search on other problems then starts from it. It is a setting and not learned in
passing, since an answer must not depend on the batch it is found in. Not from a paper: grids and numbers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from preceptor.search.aggregate import aggregate
from preceptor.search.vote import by_class

Floats = NDArray[np.float64]
KINDS = ("one right answer", "several")
AGGREGATORS = ("last", "min", "mean")
OFFSETS = (-6.0, -4.0, -3.0, -2.0, -1.0, 0.0, 1.0)
"""a: log-odds that a sample with score 1/2 is right."""
SLOPES = (0.0, 0.25, 0.5, 1.0, 2.0)
"""b."""
WRONG = 5
"""Answers that a wrong sample may have."""
SEVERAL = 2
"""Answers that a right sample may have where there are several."""
IMPOSSIBLE = -12.0
"""Log-likelihood of two right answers where there is one."""
SHAPE = (len(KINDS), len(AGGREGATORS), len(OFFSETS), len(SLOPES))
USELESS = 0.7
"""Prior probability of b = 0; the other slopes share the rest."""


def _broad() -> Floats:
    """Spread evenly within a slope, but for b = 0 only over what makes an answer likelier by every vote it gets."""
    prior = np.ones(SHAPE)
    per_vote = np.array(OFFSETS) + np.log([WRONG, WRONG / SEVERAL])[:, None]
    prior[..., 0] *= (per_vote > 0)[:, None, :]
    share = np.array([USELESS, *[(1 - USELESS) / (len(SLOPES) - 1)] * (len(SLOPES) - 1)])
    return prior / prior.sum((0, 1, 2)) * share


BROAD = _broad()
"""Prior probability of each kind, aggregator, a and b when nothing is known of the scorer."""
RIGHT = 0.5
"""Step score from which a step counts as right."""
ROUNDS = 100
"""Of EM."""
LIMIT = 4.0
"""Log-odds of a score beyond which more does not count."""


class Sample(NamedTuple):
    """A finished solution."""

    text: str
    answer: str | None
    """Canonical; None: it has none, and is certainly wrong."""
    scores: Sequence[float | None] | None
    """Of its steps; unknown ones are taken for log-odds 0."""
    free: bool = True
    """Sampled from the beginning, not from a place that the scorer chose."""
    right: bool | None = None
    """Only to learn from: whether it is known to be right."""


@dataclass(frozen=True)
class Trust:
    """What one problem's samples say."""

    answers: dict[str, float]
    """Probability of each answer to be the right one, in order of first appearance; the rest is "none of them"."""
    slope: float
    """Posterior mean of b: 0, the scores say nothing here; 1, they mean what they say."""
    sure: float
    """Probability of the likeliest answer when each text counts once, however often it was sampled."""

    @property
    def best(self) -> str | None:
        """The likeliest answer; of those that differ by rounding alone the first."""
        return max(self.answers, key=lambda c: round(self.answers[c], 9)) if self.answers else None


def separation(samples: Sequence[Sample]) -> float:
    """How well "no step is below `RIGHT`" tells right from wrong: the share of the right samples that pass less
    that of the wrong ones (Youden's J), at least 0. Unknown ones are left out; 0 without either kind.
    """
    passed: dict[bool, list[bool]] = {True: [], False: []}
    for s in samples:
        if s.right is not None and s.scores:
            passed[s.right].append(all(x is not None and x >= RIGHT for x in s.scores))
    if not passed[True] or not passed[False]:
        return 0.0
    return max(0.0, float(np.mean(passed[True]) - np.mean(passed[False])))


def believed(samples: Sequence[Sample], prior: Floats = BROAD) -> Trust:
    """`prior`: of the hypotheses, shape `SHAPE`, sums to 1."""
    groups = by_class([s.answer for s in samples])
    if not groups:
        return Trust({}, float((prior.sum((0, 1, 2)) * SLOPES).sum()), 0.0)
    terms = [_terms(samples, groups, how) for how in AGGREGATORS]
    once = {s.text: k for k, s in reversed(list(enumerate(samples)))}
    distinct = np.isin(np.arange(len(samples)), list(once.values())).astype(np.float64)
    evidence, _ = _views(terms, distinct * [s.free for s in samples])
    _, likely = _views(terms, distinct)
    _, chance = _views(terms, np.ones(len(samples)))
    weight = _normalized(evidence + _log(prior))
    slope = float((weight.sum((0, 1, 2)) * SLOPES).sum())
    answers, sure = ((weight[..., None] * x).sum((0, 1, 2, 3)) for x in (chance, likely))
    return Trust(dict(zip(groups, map(float, answers), strict=True)), slope, float(sure.max()))


def learned(problems: Sequence[Sequence[Sample]], pseudo: float = 0.5) -> Floats:
    """Shape `SHAPE`: the most likely prior of these samples, drawn to `BROAD` by `pseudo` problems' worth.

    Where it is known which samples are right, that counts; elsewhere their agreement does. Samples must all have been
    drawn freely; problems without an answer say nothing.
    """
    evidence = [_learnt(list({s.text: s for s in own}.values())) for own in problems]
    prior: Floats = np.array(BROAD)
    for _ in range(ROUNDS):
        expected = sum(
            (_normalized(e + _log(prior)) for e in evidence if e is not None), start=pseudo * BROAD
        )
        prior = expected / expected.sum()
    return prior


def _learnt(samples: Sequence[Sample]) -> Floats | None:
    """Log-likelihood of distinct samples, by who is right where that is known of all, else by their votes."""
    groups = by_class([s.answer for s in samples])
    if not groups:
        return None
    terms = [_terms(samples, groups, how) for how in AGGREGATORS]
    if any(s.right is None for s in samples):
        return _views(terms, np.ones(len(samples)))[0]
    right = np.array([bool(s.right) for s in samples])
    by_score = np.stack([np.where(right, t.right, t.wrong).sum(-1) for t in terms])
    answers = len({s.answer for s in samples if s.right})
    shared = np.array([IMPOSSIBLE if answers > 1 else 0.0, -np.log(SEVERAL) * right.sum()])
    return np.asarray(by_score[None] + shared[:, None, None, None])


def _views(terms: Sequence[_Terms], counted: Floats) -> tuple[Floats, Floats]:
    """Log-likelihood of the counted samples, shape `SHAPE`, and the probability of each answer, one axis more."""
    parts = [(_one(t, counted), _several(t, counted)) for t in terms]
    evidence, chance = (np.stack([[p[kind][i] for p in parts] for kind in (0, 1)]) for i in (0, 1))
    return evidence, chance


def _one(terms: _Terms, counted: Floats) -> tuple[Floats, Floats]:
    """There is one right answer, or none among those given."""
    counts = terms.counted * counted
    none = (terms.wrong * counts).sum(-1, keepdims=True)
    each = np.einsum("abn,cn->abc", (terms.right - terms.wrong) * counts, terms.member) + none
    logs = np.concatenate([each, none], axis=-1)
    evidence = logsumexp(logs, axis=-1)
    return np.asarray(evidence), np.exp(each - evidence[..., None])


def _several(terms: _Terms, counted: Floats) -> tuple[Floats, Floats]:
    """Each answer is right or wrong on its own."""
    counts = terms.counted * counted
    good = np.einsum("abn,cn->abc", (terms.right - np.log(SEVERAL)) * counts, terms.member)
    bad = np.einsum("abn,cn->abc", terms.wrong * counts, terms.member)
    both = np.logaddexp(good, bad)
    return np.asarray((both - np.log(2)).sum(-1)), np.exp(good - both)


def _normalized(logs: Floats) -> Floats:
    weight = np.exp(logs - logs.max())
    return np.asarray(weight / weight.sum())


def _log(prior: Floats) -> Floats:
    return np.log(np.maximum(prior, 1e-12))


class _Terms(NamedTuple):
    right: Floats
    """(a, b, sample): log-probability of each sample as a right one; 0 of those without an answer."""
    wrong: Floats
    """The same as a wrong one, its answer included."""
    member: NDArray[np.bool_]
    """(class, sample)."""
    counted: Floats
    """(1, b, sample): 0 where only hypotheses that believe the scorer may count a sample."""


def _terms(samples: Sequence[Sample], groups: dict[str, list[int]], how: str) -> _Terms:
    odds = np.array([_log_odds(s.scores, how) for s in samples])
    slopes = np.array(SLOPES)
    z = np.array(OFFSETS)[:, None, None] + slopes[None, :, None] * odds
    member = np.array([[s.answer == name for s in samples] for name in groups], dtype=bool)
    answered = member.any(0)
    right, wrong = -np.logaddexp(0, -z), -np.logaddexp(0, z) - np.log(WRONG)
    counted = np.where(slopes[None, :, None] == 0, [s.free for s in samples], 1.0)
    return _Terms(right * answered, wrong * answered, member, counted)


def _log_odds(scores: Sequence[float | None] | None, how: str) -> float:
    value = aggregate(scores, how)
    if value is None:
        return 0.0
    p = min(max(value, 1e-6), 1 - 1e-6)
    return float(np.clip(np.log(p / (1 - p)), -LIMIT, LIMIT))
