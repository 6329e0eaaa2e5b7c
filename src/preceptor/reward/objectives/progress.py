"""Process advantages: did this step change the chance of success? (PAV, arXiv 2410.08146)

Trained directly: regression of A_t = Q(t) - Q(t-1) under the best-of-K prover, from success rates per prefix. The
value of the bare problem is the success rate of its traces. The other way of the paper, a value model whose
scores are subtracted, is `combine.Progress` on any value model.
"""

from __future__ import annotations

from collections.abc import Sequence

from preceptor.annotate.rules import advantages
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import Linear
from preceptor.reward.link import VALUE
from preceptor.reward.losses import mse
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.rows import by_problem, retarget, success_rate, values
from preceptor.reward.render import Renderer


def pav(prover_k: int = 4) -> Objective:
    """`prover_k`: K of the best-of-K prover (4, from memory); 1 is the policy itself."""

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        out: list[Labelled] = []
        for same in by_problem(items):
            root = success_rate(same)
            out += retarget(
                same,
                lambda i, root=root: advantages(values(i), root, prover_k=prover_k),  # type: ignore[misc]
                dropped,
                "no-labelled-step",
            )
        return examples(out, render, dropped)

    return Objective(
        loss=lambda outputs, batch: mse(outputs, batch["targets"], batch["mask"]),
        head=Linear(1),
        link=VALUE,
        rows=rows,
        question=Question.PROGRESS,
        source="Rewarding Progress (arXiv 2410.08146)",
    )


PAV = pav()
