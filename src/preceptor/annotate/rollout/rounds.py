"""Rounds that several methods walk: the bare problem once, then prefix by prefix over all traces together.

What the rollouts of a walk come to is put into one judgement by `labelled`. Left out: which prefixes are worth
probing (each method's own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from preceptor.annotate.rollout.base import RolloutAnnotator, spent
from preceptor.annotate.rollout.montecarlo import (
    Evidence,
    MonteCarlo,
    Prefix,
    Rollout,
    lost_prefix,
    rollout_flags,
    tally,
)
from preceptor.errors import ItemError
from preceptor.judgement import Judgement
from preceptor.store.rollouts import served
from preceptor.trace import Grade, Trace


def at_root(monte_carlo: MonteCarlo, traces: Sequence[Trace], count: int) -> list[list[Rollout]]:
    """`count` rollouts of the bare problem of each trace, drawn and graded once a problem, in one call.

    The first trace of a problem carries their cost; the others have what it saved them.
    """
    keys = [(trace.problem.id, trace.problem.prompt) for trace in traces]
    firsts: dict[tuple[str, str], Trace] = {}
    for key, trace in zip(keys, traces, strict=True):
        firsts.setdefault(key, trace)
    prefixes = [Prefix.of(trace, 0) for trace in firsts.values()]
    drawn = dict(zip(firsts, monte_carlo.draw(prefixes, [range(count)] * len(prefixes)), strict=True))
    found = []
    for key in keys:
        found.append(drawn[key])
        drawn[key] = [replace(r, continuation=served(r.continuation)) for r in drawn[key]]
    return found


def to_first_zero(
    monte_carlo: MonteCarlo, traces: Sequence[Trace], rollouts: Sequence[int]
) -> list[list[Evidence]]:
    """Evidence at 1, 2, ... steps of each trace, `rollouts[i]` at a prefix, up to the first value of 0.

    A prefix without a decided rollout ends the walk too, for no later zero is then surely the first. The last
    step is never rolled out.
    """
    found: list[list[Evidence]] = [[] for _ in traces]
    while active := [i for i, trace in enumerate(traces) if _goes_on(trace, found[i])]:
        prefixes = [Prefix.of(traces[i], len(found[i]) + 1) for i in active]
        drawn = monte_carlo.draw(prefixes, [range(rollouts[i]) for i in active])
        for i, here in zip(active, drawn, strict=True):
            found[i].append(tally(here))
    return found


def _goes_on(trace: Trace, found: Sequence[Evidence]) -> bool:
    return len(found) < len(trace.steps) - 1 and (not found or bool(found[-1].value))


def labelled(
    annotator: RolloutAnnotator,
    trace: Trace,
    scores: Sequence[float | None],
    found: Mapping[int, Evidence],
    first_error: int | None,
    *flags: str,
) -> Judgement:
    """One judgement from the evidence at prefix lengths; that of the bare problem (0) has no place in `counts`."""
    evidence = list(found.values())
    return Judgement(
        trace=trace.id,
        question=annotator.question,
        source=annotator.source,
        scores=tuple(scores),
        counts=tuple(found[t].counts if t in found else None for t in range(1, len(trace.steps) + 1)),
        undecided=sum(e.undecided + e.failed for e in evidence),
        first_error=first_error,
        flags=(*rollout_flags(evidence), *flags),
        usage=spent(evidence),
    )


def discarded(
    annotator: RolloutAnnotator, trace: Trace, error: ItemError, evidence: Sequence[Evidence] = ()
) -> Judgement:
    """A trace that the method leaves out on purpose: no scores, the reason, and the flag `"discarded"`."""
    failed = annotator.failed(trace, error, evidence)
    return replace(failed, flags=(*rollout_flags(evidence), "discarded"))


def no_verdict(grade: Grade) -> ItemError | None:
    """For methods that treat right and wrong traces differently: the trace's own grade is not decided."""
    if grade.decided:
        return None
    return ItemError("undecided", f"the trace could not be graded: {grade.reason}")


def unknown(evidence: Evidence, place: str) -> ItemError | None:
    """No rollout from `place` was decided: the policy failed, or nothing could be graded."""
    if evidence.trials:
        return None
    return lost_prefix([evidence]) or ItemError("undecided", f"no rollout from {place} could be graded")
