"""Which answer is right, and how far the scorer can be trusted, learned together from one problem's samples.

Samples vote for answers, a scorer scores them. A hypothesis says how the two hang together: sample i is right
with probability sigmoid(a + b logit(s_i)), s_i its step scores reduced by one of a few aggregators; right samples
share one answer, each wrong one has one of M wrong answers at random. b = 0 means that the scores say nothing, and
the most probable answer is then the most frequent one; a large b follows the scores. All hypotheses and answers are
weighed by their posterior, so a scorer that contradicts the votes loses its say on this problem, and one that agrees
with them gains it. Not from a paper; the grids, their priors and M are our choice. Left out: what other problems tell
of the scorer, since an answer must not depend on the batch it is found in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preceptor.search.aggregate import aggregate
from preceptor.search.vote import by_class

AGGREGATORS = ("last", "min", "mean")
OFFSETS = (-2.0, -1.0, 0.0, 1.0)
"""a: log-odds that a sample with score 1/2 is right; equally likely."""
SLOPES = {0.0: 0.4, 0.5: 0.2, 1.0: 0.2, 2.0: 0.2}
"""b and its prior probability."""
WRONG = 5
"""M: answers that a wrong sample may have."""
LIMIT = 4.0
"""Log-odds of a score beyond which more does not count."""


@dataclass(frozen=True)
class Trust:
    """What one problem's samples say."""

    answers: dict[str, float]
    """Probability of each answer class to be the right one, in order of first appearance; the rest is "none"."""
    slope: float
    """Posterior mean of b: 0, the scores say nothing here; 1, they mean what they say."""
    worth: tuple[float, ...]
    """Probability of each sample to be right."""

    @property
    def best(self) -> str | None:
        return max(self.answers, key=lambda c: self.answers[c]) if self.answers else None


def believed(classes: Sequence[str | None], scores: Sequence[Sequence[float | None] | None]) -> Trust:
    """`classes`: each sample's canonical answer (None: no answer, certainly wrong); `scores`: its step scores
    (None, or a None within: unknown, taken for log-odds 0)."""
    groups = by_class(classes)
    if not groups:
        return Trust({}, 0.0, (0.0,) * len(classes))
    member = np.array([[c == name for c in classes] for name in groups], dtype=bool)
    answered = member.any(0)
    slopes, priors = np.array(list(SLOPES)), np.log(np.array(list(SLOPES.values())))
    total: list[NDArray[np.float64]] = []
    chances: list[NDArray[np.float64]] = []
    for how in AGGREGATORS:
        odds = np.array([_log_odds(own, how) for own in scores])
        z = np.array(OFFSETS)[:, None, None] + slopes[None, :, None] * odds  # (a, b, sample)
        right, wrong = -np.logaddexp(0, -z), -np.logaddexp(0, z) - np.log(WRONG)
        right, wrong = right * answered, wrong * answered
        each = np.einsum("abn,cn->abc", right - wrong, member) + wrong.sum(-1, keepdims=True)
        none = wrong.sum(-1, keepdims=True)
        total.append(np.concatenate([each, none], axis=-1) + priors[None, :, None])
        chances.append(1 / (1 + np.exp(-z)))
    log = np.stack(total)  # (how, a, b, class or none)
    posterior = np.exp(log - log.max())
    posterior /= posterior.sum()
    by_answer = posterior.sum((0, 1, 2))
    slope = float((posterior.sum((0, 1, 3)) * slopes).sum())
    mass = np.einsum("habc,cn->n", posterior[..., :-1], member)
    return Trust(dict(zip(groups, map(float, by_answer[:-1]), strict=True)), slope, tuple(map(float, mass)))


def _log_odds(scores: Sequence[float | None] | None, how: str) -> float:
    value = aggregate(scores, how)
    if value is None:
        return 0.0
    p = min(max(value, 1e-6), 1 - 1e-6)
    return float(np.clip(np.log(p / (1 - p)), -LIMIT, LIMIT))
