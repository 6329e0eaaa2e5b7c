"""Step-KTO (title as in the catalogue): labels of the outcome and of every step, no pairs.

The builder of its records; the loss is `losses.step_kto`. Published (from memory): beta 0.1, lambda 1, 3 iterations
of sampling, labelling, training and a new reference. The weighting between outcome and steps is not found: equal.
Ours: a step without a score and an undecided outcome are left out of the loss, not taken for bad.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from preceptor.annotate.tree.tree import right
from preceptor.credit import token_spans
from preceptor.judgement import Judgement
from preceptor.learn.preference.records import Attempt, Built, Piece, by_problem
from preceptor.learn.preference.scoring import observed
from preceptor.trace import Trace


def step_kto_attempts(
    traces: Sequence[Trace],
    judgements: Sequence[Judgement],
    *,
    threshold: float = 0.5,
    steps: bool = True,
) -> Built[Attempt]:
    """A step is good when its score is at least `threshold`; `steps=False` leaves plain KTO on outcomes."""
    dropped: Counter[str] = Counter()
    records: list[Attempt] = []
    for group in by_problem(traces, judgements):
        for trace, judged in group:
            if trace.error is not None or trace.token_ids is None or trace.token_ends is None:
                dropped["failed" if trace.error is not None else "no-ids"] += 1
                continue
            if observed(trace):
                dropped["observations"] += 1
                continue
            labels = _labels(trace, judged, threshold) if steps else ()
            good = right(trace)
            if good is None and not labels:
                dropped["no-label"] += 1
                continue
            meta = {"trace": trace.id}
            records.append(
                Attempt(trace.problem, Piece(trace.text, trace.token_ids), good, labels, meta=meta)
            )
    return Built(tuple(records), dropped)


def _labels(trace: Trace, judged: Judgement, threshold: float) -> tuple[tuple[int, int, bool], ...]:
    spans = token_spans([s.end for s in trace.steps], trace.token_ends or ())
    scored = zip(spans, judged.scores or (None,) * len(spans), strict=True)
    return tuple((a, b, score >= threshold) for (a, b), score in scored if score is not None and b > a)
