"""Mutual consistency of rStar: which solutions a second model comes to as well, and which answer that speaks for.

Pure functions: where a solution is cut, whether its completions agree, and the score of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from preceptor.search.tree import Node, Path

_WORD = re.compile(r"\S+")


class Verdicts(NamedTuple):
    """Of one solution's completions."""

    canon: str
    """The solution's own answer."""
    completions: tuple[str | None, ...]
    """Their answers; None: none, or unfinished."""

    @property
    def agreeing(self) -> int:
        return sum(c == self.canon for c in self.completions)


def loose(v: Verdicts) -> bool:
    """Some completion agrees."""
    return v.agreeing > 0


def mid(v: Verdicts) -> bool:
    """At least half of the completions agree."""
    return 2 * v.agreeing >= len(v.completions)


def strict(v: Verdicts) -> bool:
    """All completions agree."""
    return v.agreeing == len(v.completions)


def maj(v: Verdicts) -> bool:
    """The most frequent answer of the completions is the solution's; the first of equals."""
    known = [c for c in v.completions if c is not None]
    return bool(known) and max(dict.fromkeys(known), key=known.count) == v.canon


RULES = {"loose": loose, "maj": maj, "mid": mid, "strict": strict}


def cuts(path: Path, count: int, low: float, high: float) -> list[int]:
    """`count` offsets at which words of the text begin, spread evenly over the shares `low` to `high` of its words;
    fewer where the text has fewer words."""
    starts = [found.start() for found in _WORD.finditer(path.text)]
    shares = [low + (high - low) * i / max(count - 1, 1) for i in range(count)] if starts else []
    return sorted({starts[min(int(share * len(starts)), len(starts) - 1)] for share in shares})


def confident(nodes: Sequence[Node], survived: Sequence[bool] | None, rewards: Sequence[float]) -> int | None:
    """Index of the winner among solutions with answers.

    Of an answer: (sum of its survivors' rewards) / (number of all survivors) + its survivors / its solutions.
    Without a survivor, or without a filter (`survived` None), all count as survivors. Ties: to the first answer; the
    solution shown is its best rewarded survivor.
    """
    if survived is None or not any(survived):
        survived = [True] * len(nodes)
    classes: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        if node.canon is not None:
            classes.setdefault(node.canon, []).append(i)
    standing = {c: [i for i in group if survived[i]] for c, group in classes.items()}
    total = sum(map(len, standing.values()))
    if not total:
        return None

    def score(c: str) -> float:
        return sum(rewards[i] for i in standing[c]) / total + len(standing[c]) / len(classes[c])

    winner = max((c for c in classes if standing[c]), key=score)
    return max(standing[winner], key=lambda i: rewards[i])
