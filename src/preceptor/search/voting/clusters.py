"""Answers in free form, grouped by mutual entailment (SIOP's clustering). Pure functions; no model.

Greedy: each answer that has no cluster yet opens one and takes in every later such answer that says the same. Strict:
entailment both ways. Loose: no contradiction either way, and not neutral both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

ENTAILS, NEUTRAL, CONTRADICTS = "entailment", "neutral", "contradiction"
Relation = Callable[[str, str], "str | None"]
"""What the first answer says of the second: one of the three words; None: not known."""


def same_meaning(forth: str | None, back: str | None, strict: bool = True) -> bool:
    """Whether two answers say the same, from what each says of the other; an unknown relation is no agreement."""
    if forth is None or back is None:
        return False
    if strict:
        return forth == back == ENTAILS
    return CONTRADICTS not in (forth, back) and not forth == back == NEUTRAL


def clustered(answers: Sequence[str | None], relation: Relation, strict: bool = True) -> list[str | None]:
    """The cluster of each answer, named by its first member; equal answers are one without asking. None stays None."""
    cluster: dict[str, str] = {}
    distinct = list(dict.fromkeys(a for a in answers if a is not None))
    for i, a in enumerate(distinct):
        if a in cluster:
            continue
        cluster[a] = a
        for b in distinct[i + 1 :]:
            if b not in cluster and same_meaning(relation(a, b), relation(b, a), strict):
                cluster[b] = a
    return [None if a is None else cluster[a] for a in answers]


def cluster_weights(
    clusters: Sequence[str | None], evidence: Mapping[str, float] | None = None, eta: float = 0.0
) -> dict[str, float]:
    """`q_c` proportional to `(n_c / K) exp(eta * evidence_c)`, K the number of answers given; sums to 1.

    >>> cluster_weights(["a", "b", "a", None])
    {'a': 0.6666666666666666, 'b': 0.3333333333333333}
    """
    raw: dict[str, float] = {}
    for name in clusters:
        if name is not None:
            raw[name] = raw.get(name, 0.0) + math.exp(eta * (evidence or {}).get(name, 0.0))
    total = math.fsum(raw.values())
    return {name: w / total for name, w in raw.items()}
