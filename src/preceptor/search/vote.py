"""Scores and answers to one winner.

Every rule has the signature `(classes, scores) -> index | None`: `classes[i]` is the canonical form of
candidate i's answer (None: it has none and takes no part), `scores[i]` its scalar score (None: unscored).
The result is the index of the candidate whose text and answer are returned, so the answer shown is one that
was written, never a canonical string. None: nobody answered.

Unscored candidates rank below every scored one and weigh nothing in a sum; where no candidate is scored,
every rule is the majority. Ties go to the class, then the candidate, that came first. `hybrid`, `reward_frequency`,
`pessimistic` and `log_odds` make a rule from settings; `VOTES` has each with its defaults.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")
Classes = Sequence[str | None]
Scores = Sequence[float | None]
Vote = Callable[[Classes, Scores], "int | None"]
LOGIT_CLIP = 1e-7


def by_class(classes: Classes) -> dict[str, list[int]]:
    """Indices of the members of each class, classes in order of first appearance."""
    members: dict[str, list[int]] = {}
    for i, name in enumerate(classes):
        if name is not None:
            members.setdefault(name, []).append(i)
    return members


def connected_classes(answers: Sequence[Item | None], same: Callable[[Item, Item], bool]) -> list[str | None]:
    """Classes from a pairwise test that need not be symmetric or transitive.

    Two answers belong together when a chain of `same(a, b) or same(b, a)` joins them.
    """
    root = list(range(len(answers)))

    def find(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    for i, a in enumerate(answers):
        for j, b in enumerate(answers[:i]):
            if a is not None and b is not None and find(i) != find(j) and (same(a, b) or same(b, a)):
                low, high = sorted((find(i), find(j)))
                root[high] = low
    return [None if a is None else str(find(i)) for i, a in enumerate(answers)]


def _rank(score: float | None) -> float:
    return -math.inf if score is None else score


def _best(members: Sequence[int], scores: Scores) -> int:
    return max(members, key=lambda i: _rank(scores[i]))


def _winner(classes: Classes, scores: Scores, worth: Callable[[Sequence[int]], Any]) -> int | None:
    """Best-scored member of the class of greatest worth; majority where nobody is scored."""
    members = by_class(classes)
    if not members:
        return None
    if all(scores[i] is None for group in members.values() for i in group):
        return majority(classes, scores)
    return _best(max(members.values(), key=worth), scores)


def majority(classes: Classes, scores: Scores = ()) -> int | None:
    """The first candidate of the most frequent class; scores are not looked at."""
    members = by_class(classes)
    return max(members.values(), key=len)[0] if members else None


def bon(classes: Classes, scores: Scores) -> int | None:
    """The best-scored candidate that has an answer."""
    return _winner(classes, scores, lambda group: _rank(scores[_best(group, scores)]))


def weighted(classes: Classes, scores: Scores) -> int | None:
    """The class with the greatest sum of scores, which must not be negative; majority if all sums are 0."""
    for i, (name, score) in enumerate(zip(classes, scores, strict=True)):
        if name is not None and score is not None and score < 0:
            raise ValueError(
                f"weighted vote: candidate {i} has weight {score}, expected weights >= 0. Map scores with a "
                "sigmoid, `min_max` or `softmax` first."
            )
    if not any(score for name, score in zip(classes, scores, strict=True) if name is not None):
        return best_in_majority(classes, scores)
    return _winner(classes, scores, lambda group: math.fsum(scores[i] or 0.0 for i in group))


def mean_reward(classes: Classes, scores: Scores) -> int | None:
    """The class with the greatest mean score of its scored members; favors singletons."""

    return _winner(classes, scores, lambda group: _mean(group, scores))


def _mean(group: Sequence[int], scores: Scores) -> float:
    """Of the scored members; -inf where none is."""
    known = [s for i in group if (s := scores[i]) is not None]
    return math.fsum(known) / len(known) if known else -math.inf


def best_in_majority(classes: Classes, scores: Scores) -> int | None:
    """The best-scored member of the most frequent class."""
    return _winner(classes, scores, len)


def pass_rate(classes: Classes, scores: Scores) -> int | None:
    """`weighted`, ties to the class with more members: for weights that are shares of a few verdicts."""
    if weighted(classes, scores) is None:
        return None
    # 0.1 + 0.2 and 0.3 are the same number of verdicts
    return _winner(
        classes, scores, lambda group: (round(math.fsum(scores[i] or 0.0 for i in group), 9), len(group))
    )


def share(counts: Sequence[int]) -> float:
    """Of the largest class among those who answered."""
    return max(counts) / sum(counts)


def agreement(counts: Sequence[int]) -> float:
    """1 - the entropy of the classes over that of as many different answers; 1 for unanimous, 0 for scattered."""
    n = sum(counts)
    if len(counts) == 1:
        return 1.0
    return 1 - math.fsum(-c / n * math.log(c / n) for c in counts) / math.log(n)


GATES: dict[str, Callable[[Sequence[int]], float]] = {"agreement": agreement, "share": share}
"""How sure a majority is, from the sizes of the classes."""


def hybrid(threshold: float = 0.5, gate: str = "share") -> Vote:
    """The majority where it is sure (`GATES[gate]` at least `threshold`), the best-scored candidate elsewhere."""
    if gate not in GATES:
        raise ValueError(f"hybrid vote: got gate {gate!r}, expected one of {sorted(GATES)}")

    def vote(classes: Classes, scores: Scores) -> int | None:
        sizes = [len(group) for group in by_class(classes).values()]
        sure = bool(sizes) and GATES[gate](sizes) >= threshold
        return (best_in_majority if sure else bon)(classes, scores)

    return vote


CLASS_REWARD: dict[str, Callable[[Sequence[int], Scores], float]] = {
    "max": lambda group, scores: _rank(scores[_best(group, scores)]),
    "mean": _mean,
}
"""What the members of a class say of it."""
FREQUENCY_FORMS: dict[str, Callable[[float, float, float], float]] = {
    "additive": lambda reward, frequency, alpha: alpha * reward + (1 - alpha) * frequency,
    "geometric": lambda reward, frequency, alpha: reward**alpha * frequency ** (1 - alpha),
}


def reward_frequency(alpha: float = 0.5, reward: str = "mean", form: str = "geometric") -> Vote:
    """Reward of a class, min-max normalised over the classes (all equal: 1; unscored: 0), against its frequency.

    `alpha` 0 is the majority, 1 the best class by reward.
    """
    if not 0 <= alpha <= 1 or reward not in CLASS_REWARD or form not in FREQUENCY_FORMS:
        raise ValueError(
            f"reward-frequency vote: got alpha={alpha}, reward={reward!r}, form={form!r}, expected alpha in [0, 1], "
            f"reward one of {sorted(CLASS_REWARD)}, form one of {sorted(FREQUENCY_FORMS)}"
        )

    def vote(classes: Classes, scores: Scores) -> int | None:
        groups = list(by_class(classes).values())
        raw = {group[0]: CLASS_REWARD[reward](group, scores) for group in groups}
        known = [r for r in raw.values() if r > -math.inf]
        low, high = min(known, default=0.0), max(known, default=0.0)

        def worth(group: Sequence[int]) -> float:
            own, frequency = raw[group[0]], len(group) / sum(map(len, groups))
            rho = 0.0 if own == -math.inf else 1.0 if high == low else (own - low) / (high - low)
            return FREQUENCY_FORMS[form](rho, frequency, alpha)

        return _winner(classes, scores, worth)

    return vote


def pessimistic(alpha: float = 1.0) -> Vote:
    """Mean score of a class less `alpha ln N / (members + 1)`: what few have said is not trusted.

    `alpha` 0 is the mean-reward vote; a large one is the majority.
    """
    if alpha < 0:
        raise ValueError(f"pessimistic vote: got alpha={alpha}, expected a number >= 0")

    def vote(classes: Classes, scores: Scores) -> int | None:
        penalty = alpha * math.log(max(sum(name is not None for name in classes), 1))
        return _winner(classes, scores, lambda group: _mean(group, scores) - penalty / (len(group) + 1))

    return vote


def log_odds(accuracy: float = 0.5, choices: int | None = None, base: float = 0.5) -> Vote:
    """Sum of log odds: a low-scored sample is evidence against its answer.

    `w = logit(p) - logit(base) + ln(accuracy (m - 1) / (1 - accuracy))` with p the score, which must be a
    calibrated probability; `accuracy` is the policy's on one sample, m = `choices` the number of answers it
    might give (None: those it gave, at least 2), `base` the share of right samples among those the scores were
    calibrated on. `base = accuracy` leaves `logit(p) + ln(m - 1)`.
    """
    if not (0 < accuracy < 1 and 0 < base < 1) or (choices is not None and choices < 2):
        raise ValueError(
            f"log-odds vote: got accuracy={accuracy}, base={base}, choices={choices}, expected probabilities "
            "inside (0, 1) and choices >= 2 or None"
        )

    def vote(classes: Classes, scores: Scores) -> int | None:
        m = choices or max(len(by_class(classes)), 2)
        shift = math.log(m - 1) + _logit(accuracy) - _logit(base)
        taking = [None if c is None or s is None else _logit(s) + shift for c, s in zip(classes, scores)]

        def worth(group: Sequence[int]) -> float:
            known = [w for i in group if (w := taking[i]) is not None]
            return math.fsum(known) if known else -math.inf

        return _winner(classes, scores, worth)

    return vote


def _logit(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(
            f"log-odds vote: got score {p}, expected a calibrated probability in [0, 1]. Calibrate the scorer, or "
            "choose an aggregator that keeps its scores in [0, 1]."
        )
    p = min(max(p, LOGIT_CLIP), 1 - LOGIT_CLIP)
    return math.log(p) - math.log1p(-p)


VOTES: dict[str, Vote] = {
    "best_in_majority": best_in_majority,
    "bon": bon,
    "hybrid": hybrid(),
    "log_odds": log_odds(),
    "majority": majority,
    "mean_reward": mean_reward,
    "pass_rate": pass_rate,
    "pessimistic": pessimistic(),
    "reward_frequency": reward_frequency(),
    "weighted": weighted,
}


def min_max(scores: Scores) -> list[float | None]:
    """Scores of one problem mapped to [0, 1): `(s - min) / (max - min + 0.001)`; None stays None."""
    known = [s for s in scores if s is not None]
    if not known:
        return list(scores)
    low, high = min(known), max(known)
    return [None if s is None else (s - low) / (high - low + 1e-3) for s in scores]


def softmax(scores: Scores, temperature: float = 1.0) -> list[float | None]:
    """Scores of one problem mapped to weights that sum to 1; None stays None."""
    known = [s for s in scores if s is not None]
    if not known:
        return list(scores)
    top = max(known)
    raised = [None if s is None else math.exp((s - top) / temperature) for s in scores]
    total = math.fsum(w for w in raised if w is not None)
    return [None if w is None else w / total for w in raised]
