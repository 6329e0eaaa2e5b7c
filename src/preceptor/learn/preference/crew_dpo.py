"""CRew-DPO ("Confidence as a Reward"): among a problem's samples, right and confident against wrong and confident.

Confidence is a judgement with one score a trace, on its last step: `preceptor.reward.likelihood.CRew`. Chosen is the
right sample of highest confidence, rejected the wrong one of highest confidence. The exact pairing is not found;
`among_right` adds the catalogue's alternative, right and most confident against right and least confident.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare_whole
from preceptor.learn.preference.scoring import outcome_of, trajectory_score
from preceptor.trace import Trace


def crew_dpo_pairs(
    traces: Sequence[Trace], judgements: Sequence[Judgement], *, among_right: bool = False
) -> Built[Pair]:
    """At most one pair a problem, two with `among_right`; of equal confidences the first sample counts."""
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in by_problem(traces, judgements):
        sides: dict[bool, list[tuple[float, Trace]]] = {True: [], False: []}
        for trace, judged in group:
            verdict, score = outcome_of(trace, dropped), trajectory_score(judged, "last")
            if verdict is not None and score is None:
                dropped["unscored"] += 1
            elif verdict is not None and score is not None:
                sides[verdict].append((score, trace))
        right, wrong = sides[True], sides[False]
        if right and wrong:
            pairs += _pair(max(right, key=_score), max(wrong, key=_score), dropped, "outcome")
        else:
            dropped["one-sided"] += 1
        if among_right and right:
            best, worst = max(right, key=_score), min(right, key=_score)
            if best[0] > worst[0]:
                pairs += _pair(best, worst, dropped, "confidence")
    return Built(tuple(pairs), dropped)


def _score(scored: tuple[float, Trace]) -> float:
    return scored[0]


def _pair(
    best: tuple[float, Trace], worst: tuple[float, Trace], dropped: Counter[str], kind: str
) -> list[Pair]:
    return compare_whole(best[1], worst[1], dropped, kind=kind, scores=[best[0], worst[0]])
