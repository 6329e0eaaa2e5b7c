"""FoVer's random merge: from the left, join step t with t + 1 with probability 0.2, skip both, never the last.

Makes steps of more than one inference for free; the label of a merged step is the AND of its two. Traces of at
most two steps stay. Ours: every trace draws for itself (the original draws by the position alone, and so merges
the same positions of all traces).
"""

from __future__ import annotations

import random
from dataclasses import replace

from preceptor.errors import InputError
from preceptor.judgement import Judgement, Source, first_below
from preceptor.trace import Step, Trace, content_id, stream_seed


def merge_groups(steps: int, p: float, rng: random.Random) -> list[tuple[int, ...]]:
    """Which of `steps` steps are joined: (t,) or (t, t + 1), in order."""
    groups: list[tuple[int, ...]] = []
    t = 0
    while t < steps:
        joined = t < steps - 2 and rng.random() < p
        groups.append((t, t + 1) if joined else (t,))
        t += len(groups[-1])
    return groups


def merge_steps(
    trace: Trace, judgement: Judgement, *, p: float = 0.2, seed: int = 0
) -> tuple[Trace, Judgement]:
    """The same text with merged steps, and its labels (1, 0 or None, of validity).

    A wrong part makes the whole wrong; an unknown part makes an otherwise right whole unknown.
    """
    if not 0 <= p <= 1:
        raise InputError(f"p: got {p}, expected a probability")
    if judgement.trace != trace.id or judgement.scores is None:
        raise InputError(
            f"merge: got a judgement of trace {judgement.trace} with scores={judgement.scores is not None}, "
            f"expected scores of trace {trace.id}. Merge labelled traces."
        )
    scores = judgement.scores
    groups = merge_groups(len(scores), p, random.Random(stream_seed("merge", seed, trace.id)))
    steps = [trace.steps[g[0]] if len(g) == 1 else _joined(trace, g) for g in groups]
    merged = replace(trace, steps=tuple(steps), parent=trace.id)
    labels = tuple(_and([scores[t] for t in group]) for group in groups)
    said = judgement.rationale
    own = judgement.source
    return merged, replace(
        judgement,
        trace=merged.id,
        source=Source(own.name, own.version, content_id(own.config, "merged", p, seed)),
        scores=labels,
        counts=None,
        first_error=first_below(labels, 0.5),
        rationale=said and tuple("; ".join(filter(None, (said[t] for t in g))) or None for g in groups),
    )


def _and(labels: list[float | None]) -> float | None:
    known = [y for y in labels if y is not None]
    return None if len(known) < len(labels) and min(known, default=1.0) > 0 else min(known)


def _joined(trace: Trace, group: tuple[int, ...]) -> Step:
    first, last = trace.steps[group[0]], trace.steps[group[-1]]
    if first.observation is not None:
        raise InputError(
            f"merge: step {group[0]} of trace {trace.id} has an observation, expected a text without turns."
        )
    return Step(first.start, last.end, first.kind, last.observation)
