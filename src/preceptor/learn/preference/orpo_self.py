"""Self-iterative process feedback for small models: pairs ranked by step scores, trained with ORPO, repeated.

The answers of a problem are ranked by the mean (or least) of their steps' scores (Monte Carlo values, or a reward
model trained on them): best against worst, second best against second worst, and so on, `per_problem` pairs at most.
A pair whose chosen answer is wrong and whose rejected one is right is never made. Published: lambda 0.1 (ORPO's
default). How many pairs a problem has, and the ranking's use of outcomes, are not found: ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare_whole
from preceptor.learn.preference.scoring import Aggregate, outcome_of, trajectory_score
from preceptor.trace import Trace


def orpo_pairs(
    traces: Sequence[Trace],
    judgements: Sequence[Judgement],
    *,
    aggregate: Aggregate = "mean",
    margin: float = 0.0,
    per_problem: int = 1,
) -> Built[Pair]:
    """Pairs whose scores differ by more than `margin`; equal texts count once."""
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in by_problem(traces, judgements):
        ranked: dict[str, tuple[float, bool, Trace]] = {}
        for trace, judged in group:
            verdict, score = outcome_of(trace, dropped), trajectory_score(judged, aggregate)
            if verdict is None:
                continue
            if score is None:
                dropped["unscored"] += 1
                continue
            ranked.setdefault(trace.text, (score, verdict, trace))
        order = sorted(ranked.values(), key=lambda r: -r[0])
        for best, worst in list(zip(order, order[::-1]))[: min(per_problem, len(order) // 2)]:
            if best[0] - worst[0] <= margin:
                dropped["tie"] += 1
            elif worst[1] > best[1]:
                dropped["outcome-against-process"] += 1
            else:
                pairs += compare_whole(best[2], worst[2], dropped, scores=[best[0], worst[0]])
    return Built(tuple(pairs), dropped)
