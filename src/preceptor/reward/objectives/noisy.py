"""Objectives for labels that are known to be wrong in places.

FREEPRM   outcomes copied to all steps, and a class that soaks up their noise (arXiv 2506.03570)
SORM      a step is right if any rollout from it succeeds; monotone, balanced per position (GLoRe)
SCAN      soft targets on the steps before the first dead prefix (SCAN)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.annotate.rules import balance_positions, copy_outcome, propagate, scan_targets
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import Linear
from preceptor.reward.link import Link
from preceptor.reward.losses import freeprm
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.binary import HARD_BCE, SOFT_BCE
from preceptor.reward.objectives.rows import by_problem, retarget, success_rate, values
from preceptor.reward.render import Renderer


def copied_outcomes(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """Pseudo labels: every step is as right as the answer."""
    copied = retarget(items, lambda i: copy_outcome(i.outcome, len(i.trace.steps)), dropped, "no-outcome")
    return examples(copied, render, dropped)


def any_rollout(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """1 where some rollout succeeded, 1 before such a step, and equally many of both at each position. Labels
    without rollouts count as one rollout per step."""

    def reached(item: Labelled) -> list[float | None]:
        return [None if v is None else float(v > 0) for v in values(item)]

    marked = retarget(items, lambda i: propagate(reached(i)), dropped, "no-labelled-step")
    balanced = balance_positions([i.targets for i in marked])
    thinned = [replace(i, targets=t) for i, t in zip(marked, balanced, strict=True)]
    kept = [i for i in thinned if any(t is not None for t in i.targets)]
    if len(kept) < len(thinned):
        dropped.add("balanced-away", len(thinned) - len(kept))
    return examples(kept, render, dropped)


def scan_rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """Wrong solutions are cut at the first prefix from which nothing succeeded, with soft targets on the two
    steps before; right solutions count as right throughout. The policy's confidence in itself is the
    problem's success rate."""
    out: list[Labelled] = []
    for same in by_problem(items):
        rate = success_rate(same)

        def soft(item: Labelled, rate: float | None = rate) -> list[float | None] | None:
            if item.outcome == 1:
                return [1.0] * len(item.trace.steps)
            found = scan_targets(values(item), rate) if rate and item.outcome == 0 else None
            return None if found is None else [*found, *[None] * (len(item.trace.steps) - len(found))]

        out += retarget(same, soft, dropped, "no-dead-prefix")
    return examples(out, render, dropped)


FREEPRM = Objective(
    loss=lambda outputs, batch: freeprm(outputs, batch["targets"], batch["mask"]),
    head=Linear(3),
    # Outputs are (right, wrong, buffer); without the buffer, right and wrong share all probability.
    link=Link("softmax", (1.0, 0.0), columns=(0, 1)),
    rows=copied_outcomes,
    question=Question.VALIDITY,
    source="FreePRM (arXiv 2506.03570)",
)
SORM = replace(HARD_BCE, rows=any_rollout, source="GLoRe, Stepwise ORMs (arXiv 2402.10963)")
SCAN = replace(SOFT_BCE, rows=scan_rows, source="SCAN, self-denoising Monte Carlo annotation")
