"""One label per trace out of several annotators' (catalogue indices 0 and 203).

Annotators who name the same first error settle it. Where they differ, the named adjudicator's answer counts and a trace
without one waits; without an adjudicator, more than half must agree. Two experts and an adjudicator is the catalogue's
default for OPV. Of equal first errors, a step that was rated differently (neutral against right) has no label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from preceptor.errors import ItemError
from preceptor.judgement import Judgement, Question, Source

SETTLED = "human:settled"


def settle(judgements: Sequence[Judgement], adjudicator: str | None = None) -> list[Judgement]:
    """One judgement per trace, in the order they first occur; `adjudicator` is an annotator's name.

    `extra["settled"]` is `"single"`, `"agreed"`, `"majority"` or `"adjudicated"`. An open trace has no scores and the
    error `"needs-adjudication"` or `"no-majority"`.
    """
    traces: dict[str, list[Judgement]] = defaultdict(list)
    for judged in judgements:
        if judged.first_error is not None:
            traces[judged.trace].append(judged)
    judge = None if adjudicator is None else f"human:{adjudicator}"
    return [_settle(trace, own, judge) for trace, own in traces.items()]


def _settle(trace: str, own: Sequence[Judgement], adjudicator: str | None) -> Judgement:
    source = Source.of(SETTLED, adjudicator=adjudicator)
    last = [judged for judged in own if judged.source.name == adjudicator]
    experts = [judged for judged in own if judged.source.name != adjudicator] or last
    votes = Counter(judged.first_error for judged in experts)
    modal, count = votes.most_common(1)[0]
    if len(votes) == 1:
        how, chosen = "single" if len(experts) == 1 else "agreed", experts
    elif last:
        how, chosen = "adjudicated", last
    elif adjudicator is None and 2 * count > len(experts):
        how, chosen = "majority", [judged for judged in experts if judged.first_error == modal]
    else:
        kind = "no-majority" if adjudicator is None else "needs-adjudication"
        error = ItemError(kind, f"first errors by annotators: {dict(votes)}")
        return Judgement(trace, Question.VALIDITY, source, None, error=error)
    rows = zip(*(judged.scores or () for judged in chosen), strict=True)
    return Judgement(
        trace,
        Question.VALIDITY,
        source,
        tuple(row[0] if len(set(row)) == 1 else None for row in rows),
        first_error=chosen[0].first_error,
        extra={"settled": how, "annotators": [judged.source.name for judged in own]},
    )
