"""Step-DPO (title as in the catalogue): at the first wrong step, a step that leads to the answer against it.

For a wrong solution with its first error at step k, K continuations of the k - 1 steps before it are drawn; the
first steps of those that reach the gold answer are chosen, one pair each, equal ones once a state; rejected is the
step as it was written. Published: beta 0.4 (72B), 4 epochs, batch 128, 10K pairs. Continuations come from the
rollout store, so those that an annotator drew at this prefix cost nothing.

Deviation: the published format writes "Step k:" headers and puts the header into the state; here a state ends where
the step before does. The number of continuations is not found; 8 is ours. An end-of-text token is part of a step
only where it was sampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from preceptor.annotate.rollout.montecarlo import MonteCarlo, Prefix, Rollout
from preceptor.judgement import NO_ERROR, Judgement
from preceptor.learn.preference.records import Built, Pair, by_problem, compare, piece
from preceptor.learn.preference.scoring import outcome_of
from preceptor.trace import Trace


def step_dpo_pairs(
    traces: Sequence[Trace],
    judgements: Sequence[Judgement],
    monte_carlo: MonteCarlo,
    *,
    per_state: int | None = None,
) -> Built[Pair]:
    """Pairs at the judged first error of each wrong trace; `per_state` limits the pairs of one trace."""
    dropped: Counter[str] = Counter()
    states: list[tuple[Trace, int]] = []
    for group in by_problem(traces, judgements):
        for trace, judged in group:
            if outcome_of(trace, dropped) is not False:
                continue
            if judged.first_error is None or judged.first_error == NO_ERROR:
                dropped["no-first-error"] += 1
                continue
            states.append((trace, judged.first_error))
    drawn = monte_carlo.draw([Prefix.of(trace, k) for trace, k in states])
    pairs: list[Pair] = []
    for (trace, k), rollouts in zip(states, drawn, strict=True):
        pairs += _pairs(trace, k, rollouts, dropped)[:per_state]
    return Built(tuple(pairs), dropped)


def _pairs(trace: Trace, k: int, rollouts: Sequence[Rollout], dropped: Counter[str]) -> list[Pair]:
    found: dict[str, list[Pair]] = {}
    state, rejected = piece(trace, 0, k), piece(trace, k, k + 1)
    for rollout in rollouts:
        other = rollout.trace
        if not rollout.right or len(other.steps) <= k or other.prefix(k) != trace.prefix(k):
            continue
        step = other.step_texts[k]
        if step not in found:
            chosen = piece(other, k, k + 1)
            meta: dict[str, Any] = {"trace": trace.id, "step": k, "draw": rollout.request.draw}
            found[step] = compare(trace.problem, state, chosen, rejected, dropped, **meta)
    if not found:
        dropped["no-right-continuation"] += 1
    return [pair for pairs in found.values() for pair in pairs]
