"""Value models: how likely the right answer is from here, learned from outcomes alone.

    OVM   the outcome at every token of the solution, squared error (arXiv 2311.09724)
    TVM   the success rate of the samples that share the token prefix (arXiv 2407.12863)
    HINDSIGHT  gamma^(steps to go) times the outcome, mean per solution (MAH-DPO's value head; the target is a
          default of ours: the exact one was not found)

Served, the value is read at the end of a step. Left out: OVM's joint language-model loss, gain and bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preceptor.annotate.rules import copy_outcome, token_values
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Example, Group, Labelled, examples
from preceptor.reward.head import Linear, Mlp
from preceptor.reward.link import SIGMOID, VALUE
from preceptor.reward.losses import hindsight, ovm, tvm
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.rows import by_problem, every_token, retarget, token_rows
from preceptor.reward.render import Renderer


def outcome_everywhere(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """The outcome as the target of every token."""
    copied = retarget(items, lambda i: copy_outcome(i.outcome, len(i.trace.steps)), dropped, "no-outcome")
    return token_rows(copied, render, dropped)


def shared_prefixes(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
    """TVM's targets, from a trie over the rendered tokens of each problem's solutions. A solution that needs
    windows is left out of its trie: its rows do not begin where the others do."""
    out: list[Group] = []
    for same in by_problem(items):
        rows, outcomes = [], []
        for item in same:
            found = render(item.trace)
            if len(found.rows) != 1 or found.error is not None:
                dropped.add("step-too-long")
            elif item.outcome is None:
                dropped.add("no-outcome")
            else:
                rows.append(every_token(found.rows[0]))
                outcomes.append(item.outcome)
        rates = token_values([[row.token_ids[i] for i in row.positions] for row in rows], outcomes)
        out += [(Example(row, tuple((v,) for v in rate)),) for row, rate in zip(rows, rates, strict=True)]
    return out


def discounted(gamma: float) -> Objective:
    """Hindsight values; `gamma` 1 is the outcome itself, so plain Monte Carlo with one sample."""

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        def targets(item: Labelled) -> list[float | None] | None:
            z, n = item.outcome, len(item.trace.steps)
            return None if z is None else [z * gamma ** (n - t) for t in range(1, n + 1)]

        return examples(retarget(items, targets, dropped, "no-outcome"), render, dropped)

    return Objective(
        loss=lambda outputs, batch: hindsight(outputs, batch["targets"], batch["mask"]),
        head=Mlp(1),
        link=VALUE,
        rows=rows,
        question=Question.VALUE,
        source="MAH-DPO, value head with hindsight labels",
    )


OVM = Objective(
    loss=lambda outputs, batch: ovm(outputs, batch["targets"], batch["mask"]),
    head=Linear(1),
    link=VALUE,
    rows=outcome_everywhere,
    question=Question.VALUE,
    source="OVM, Outcome-supervised Value Models (arXiv 2311.09724)",
)
TVM = replace(
    OVM,
    loss=lambda outputs, batch: tvm(outputs, batch["targets"], batch["mask"]),
    link=SIGMOID,
    rows=shared_prefixes,
    source="Token-Supervised Value Models (arXiv 2407.12863)",
)
HINDSIGHT = discounted(0.9)
