"""Serving must give the scores that training saw.

After training, held-out traces are scored twice: by the model in memory through the trainer's own collator
and forward pass, and by the directory on disk through `PRM.score`. A wrong readout, an unsaved weight, a
lost token or another template shows as a difference; anything beyond rounding fails the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from preceptor.errors import CheckFailed
from preceptor.judgement import Judgement
from preceptor.reward.render import Renderer, Row, with_trajectory
from preceptor.trace import Trace

TOLERANCE = 1e-4
"""Difference of two fp32 scores that is still rounding: another batch shape, another kernel."""


def max_difference(
    traces: Sequence[Trace],
    render: Renderer,
    score_rows: Callable[[Sequence[Row]], list[list[float]]],
    served: Sequence[Judgement],
    trajectory: float = 0.0,
) -> float:
    """Largest absolute difference of a step's score between the two paths.

    `render` and `score_rows` are the training side's, `served` are the other's judgements; `trajectory`:
    what the format adds of the whole trajectory's score.
    Infinite when only one side has a score.
    """
    rows = [(i, row) for i, trace in enumerate(traces) for row in render(trace).rows]
    trained: list[dict[int, float]] = [{} for _ in traces]
    for (i, row), values in zip(rows, score_rows([row for _, row in rows]), strict=True):
        trained[i].update(zip(row.steps, values, strict=True))
    worst = 0.0
    for trace, read, judgement in zip(traces, trained, served, strict=True):
        found = with_trajectory(read, len(trace.steps), trajectory)
        ours = {t: v for t, v in found.items() if math.isfinite(v)}
        theirs = {t: s for t, s in enumerate(judgement.scores or ()) if s is not None}
        if ours.keys() != theirs.keys():
            return math.inf
        worst = max([worst, *(abs(ours[t] - theirs[t]) for t in ours)])
    return worst


def check(difference: float, tolerance: float = TOLERANCE) -> None:
    """Raise `CheckFailed` unless the two paths agree."""
    if not difference <= tolerance:
        raise CheckFailed(
            f"train/serve parity: scores differ by up to {difference:.2g}, expected at most {tolerance:g}. "
            "The saved model does not reproduce the scores it was trained on: do not use it."
        )
