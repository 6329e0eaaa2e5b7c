"""Weighted DPO of StepORLM: verdict first, then the share of good steps, and a weight that grows with the gap.

A trace's key is (right, share of good steps). Between a right and a wrong trace the pair's weight is 1; between two
of the same verdict it is the gap of the shares, in (0, 1]; equal keys make no pair. The exact published weight is
not found; this is the catalogue's default. Loss: -w log sigma(beta (delta_w - delta_l)).

`consistent` is the filter of the judge's own training: a right trace must have all steps good, a wrong one at least
one bad. Left out: the optimisation world and the judge's training (`preceptor.reward`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from preceptor.annotate.tree.tree import right
from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare_whole
from preceptor.learn.preference.scoring import outcome_of
from preceptor.trace import Trace


def w_dpo_pairs(
    traces: Sequence[Trace], judgements: Sequence[Judgement], *, threshold: float = 0.5
) -> Built[Pair]:
    """All pairs of a problem's distinct traces; a step is good when its score is at least `threshold`."""
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in by_problem(traces, judgements):
        keys: dict[str, tuple[bool, float, Trace]] = {}
        for trace, judged in group:
            verdict, share = outcome_of(trace, dropped), good_share(judged, threshold)
            if verdict is not None and share is not None:
                keys.setdefault(trace.text, (verdict, share, trace))
            elif verdict is not None:
                dropped["unscored"] += 1
        for one, other in combinations(keys.values(), 2):
            best, worst = (one, other) if one[:2] >= other[:2] else (other, one)
            weight = 1.0 if best[0] != worst[0] else best[1] - worst[1]
            if weight == 0:
                dropped["tie"] += 1
                continue
            kind = "verdict" if best[0] != worst[0] else "process"
            pairs += compare_whole(best[2], worst[2], dropped, weight, kind=kind)
    return Built(tuple(pairs), dropped)


def good_share(judged: Judgement, threshold: float = 0.5) -> float | None:
    """Share of good steps; None unless every step has a score."""
    scores = [s for s in judged.scores or () if s is not None]
    if not scores or len(scores) != len(judged.scores or ()):
        return None
    return sum(s >= threshold for s in scores) / len(scores)


def consistent(trace: Trace, judged: Judgement, threshold: float = 0.5) -> bool | None:
    """Whether the judgement agrees with the verdict; None when either is unknown."""
    verdict, share = right(trace), good_share(judged, threshold)
    return None if verdict is None or share is None else verdict == (share == 1.0)
