"""How much should each training domain count? Learned from a small set with outcomes (DreamPRM,
arXiv 2505.20241).

Two levels: the model is trained on step labels whose squared error is weighted by domain; the weights are
trained so that, after such a step, the mean of a solution's logits says its outcome on the meta set. The loop is
`reward/bilevel.py`, the gradients `losses/bilevel.py`. The meta set: a share of the training problems, with
outcomes, that is in no lower step; its own labels are not used. Head: one linear layer on the logits of the
whole vocabulary, as published; `Linear(1)` on the hidden state is the cheaper form. The paper's model is
multimodal and reads every prefix as a prompt of its own; here all prefixes are read in one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import InputError
from preceptor.reward.examples import Dropped, Group, Labelled, examples
from preceptor.reward.head import HeadSpec, LogitsLinear
from preceptor.reward.link import SIGMOID
from preceptor.reward.losses import mse
from preceptor.reward.objective import Objective
from preceptor.reward.render import Renderer
from preceptor.trace import stream_seed

PUBLISHED_HEAD = LogitsLinear(1)


def world(item: Labelled) -> str:
    return item.trace.problem.world or "unnamed"


def dreamprm(
    domain: Callable[[Labelled], str] = world,
    meta: float | Callable[[Labelled], bool] = 0.1,
    *,
    weights_lr: float = 0.01,
    unroll: int = 5,
    head: HeadSpec = PUBLISHED_HEAD,
) -> Objective:
    """`domain`: of a labelled trace; `meta`: which traces are the meta set, or the share of the problems that
    are; `weights_lr`: of AdamW on the domains' parameters (0 leaves all weights at 1, which is uniform
    training); `unroll`: lower steps per update of the weights."""
    if not callable(meta) and not 0 < meta < 1:
        raise InputError(f"meta: got {meta}, expected a share between 0 and 1, or a rule")
    names: list[str] = []

    def held(item: Labelled) -> bool:
        if callable(meta):
            return meta(item)
        return stream_seed("meta", item.trace.problem.prompt) % 10_000 < 10_000 * meta

    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        upper = [i for i in items if held(i)]
        lower = [i for i in items if not held(i)]
        names[:] = sorted({domain(i) for i in lower})
        unknown = sum(i.outcome is None for i in upper)
        if unknown:
            dropped.add("meta-without-outcome", unknown)
        out: list[Group] = []
        for item in lower:
            out += _marked([item], render, dropped, domain=names.index(domain(item)), meta=0, outcome=0.0)
        for item in upper:
            if item.outcome is not None:
                every = replace(item, targets=(item.outcome,) * len(item.trace.steps))
                out += _marked([every], render, dropped, domain=0, meta=1, outcome=item.outcome)
        return out

    def trainer(*args: Any) -> Any:
        from preceptor.reward.bilevel import BilevelTrainer

        return BilevelTrainer(*args, domains=tuple(names), weights_lr=weights_lr, unroll=unroll)

    return Objective(
        loss=lambda outputs, batch: mse(outputs, batch["targets"], batch["mask"], link="sigmoid"),
        head=head,
        link=SIGMOID,
        rows=rows,
        trainer=trainer,
        source="DreamPRM (arXiv 2505.20241)",
    )


def _marked(items: Sequence[Labelled], render: Renderer, dropped: Dropped, **extra: float) -> list[Group]:
    return [(replace(example, extra=extra),) for (example,) in examples(items, render, dropped)]


DREAMPRM = dreamprm()
