"""DRM (dimension-level reward model): DPO pairs by the best and the worst reward of a problem's samples.

The reward is a judgement with one score a trace, on its last step: `preceptor.reward.likelihood.DRM`, which makes
confidence, relevance and coherence comparable within the problem. No gold answer is read. A tie makes no pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare_whole
from preceptor.learn.preference.scoring import observed, trajectory_score
from preceptor.trace import Trace


def best_worst_pairs(traces: Sequence[Trace], judgements: Sequence[Judgement]) -> Built[Pair]:
    """At most one pair a problem; of equal rewards the first sample counts."""
    dropped: Counter[str] = Counter()
    pairs: list[Pair] = []
    for group in by_problem(traces, judgements):
        scored: list[tuple[float, Trace]] = []
        for trace, judged in group:
            score = trajectory_score(judged, "last")
            if observed(trace):
                dropped["observations"] += 1
            elif trace.error is not None or score is None:
                dropped["unscored"] += 1
            else:
                scored.append((score, trace))
        if not scored:
            continue
        best, worst = max(scored, key=lambda s: s[0]), min(scored, key=lambda s: s[0])
        if best[0] == worst[0]:
            dropped["tie"] += 1
        else:
            pairs += compare_whole(best[1], worst[1], dropped, scores=[best[0], worst[0]])
    return Built(tuple(pairs), dropped)
