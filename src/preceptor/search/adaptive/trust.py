"""Which answer is right, and how far the scorer can be trusted, learned together from one problem's samples.

Samples vote for answers, a scorer scores them. A hypothesis says how the two hang together: sample i is right
with probability sigmoid(a + b logit(s_i)), s_i its step scores reduced by one of a few aggregators; right samples
share one answer, each wrong one has one of M wrong answers at random. b = 0 means that the scores say nothing, and
the most probable answer is then the most frequent one; a large b follows the scores. Hypotheses and answers are weighed
by their posterior, so a scorer that contradicts the votes loses its say on this problem, and one that agrees with
them gains it.

Two precautions. A text sampled twice has the same score twice, which is no second agreement: how far to trust is
learned from distinct texts, and only then do all samples vote. Samples that continue a beginning which the scorer
chose are no free votes: they count only under hypotheses that believe it. Not from a paper; the grids, their
priors and M are our choice. Left out: what other problems tell of the scorer, since an answer must not depend on
the batch it is found in.
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
AGGREGATORS = ("last", "min", "mean")
OFFSETS = (-2.0, -1.0, 0.0, 1.0)
"""a: log-odds that a sample with score 1/2 is right; equally likely."""
SLOPES = {0.0: 0.4, 0.5: 0.2, 1.0: 0.2, 2.0: 0.2}
"""b and its prior probability."""
WRONG = 5
"""M: answers that a wrong sample may have."""
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


@dataclass(frozen=True)
class Trust:
    """What one problem's samples say."""

    answers: dict[str, float]
    """Probability of each answer to be the right one, in order of first appearance; the rest is "none of them"."""
    slope: float
    """Posterior mean of b: 0, the scores say nothing here; 1, they mean what they say."""

    @property
    def best(self) -> str | None:
        return max(self.answers, key=lambda c: self.answers[c]) if self.answers else None


def believed(samples: Sequence[Sample]) -> Trust:
    groups = by_class([s.answer for s in samples])
    if not groups:
        return Trust({}, 0.0)
    once = {s.text: k for k, s in reversed(list(enumerate(samples)))}
    distinct = np.isin(np.arange(len(samples)), list(once.values()))
    slopes = np.array(list(SLOPES))
    counted = np.where(slopes[:, None] == 0, [s.free for s in samples], True)  # (b, sample)
    terms = [_terms(samples, groups, how) for how in AGGREGATORS]
    known = np.stack([_answers(*t, counted * distinct) for t in terms])  # (how, a, b, class or none)
    learned = logsumexp(known, axis=-1) + np.log(np.array(list(SLOPES.values())))
    weight = np.exp(learned - learned.max())
    weight /= weight.sum()
    votes = np.stack([_answers(*t, counted) for t in terms])
    chance = np.exp(votes - logsumexp(votes, axis=-1, keepdims=True))
    by_answer = (weight[..., None] * chance).sum((0, 1, 2))
    slope = float((weight.sum((0, 1)) * slopes).sum())
    return Trust(dict(zip(groups, map(float, by_answer[:-1]), strict=True)), slope)


def _terms(
    samples: Sequence[Sample], groups: dict[str, list[int]], how: str
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Log-probability of each sample as a right and as a wrong one, (a, b, sample); who gives which answer."""
    odds = np.array([_log_odds(s.scores, how) for s in samples])
    z = np.array(OFFSETS)[:, None, None] + np.array(list(SLOPES))[None, :, None] * odds
    member = np.array([[s.answer == name for s in samples] for name in groups], dtype=bool)
    answered = member.any(0)
    right, wrong = -np.logaddexp(0, -z), -np.logaddexp(0, z) - np.log(WRONG)
    return right * answered, wrong * answered, member


def _answers(right: Floats, wrong: Floats, member: NDArray[np.bool_], counted: Floats) -> Floats:
    """(a, b, class or none): log-likelihood of the counted samples when that answer is the right one."""
    gain, none = (right - wrong) * counted, (wrong * counted).sum(-1, keepdims=True)
    return np.concatenate([np.einsum("abn,cn->abc", gain, member) + none, none], axis=-1)


def _log_odds(scores: Sequence[float | None] | None, how: str) -> float:
    value = aggregate(scores, how)
    if value is None:
        return 0.0
    p = min(max(value, 1e-6), 1 - 1e-6)
    return float(np.clip(np.log(p / (1 - p)), -LIMIT, LIMIT))
