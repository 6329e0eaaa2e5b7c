"""Values of all next tokens at once: SAFFRON's multifurcation reward model.

The language model's output table is read as the value of the prefix with each token behind it. The table
stays as it is, a bias per token is trained with the body (or with adapters on it: `lora`). Supervision is
partial: a prefix has values for those next tokens that occur in the samples, and nothing is asked of the others. A
token that no training prefix was followed by has the value -1024 for good, so it is never chosen; which ones
these are is saved with the model.

The values: the success rate of a problem's solutions that share the prefix (TVM's trie), or any rule of that
form; published is the difference of two logits of a safety model. A prefix with one token that many solutions
share is trained on once; the loss divides by such pairs, where the published one divides by prefixes.
`next_values` reads a search's beams: one row per beam, whatever the number of candidates. The published training
script is not available, and details are from its abstract. As a scorer of steps, the model gives the value of
the token that ends the step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from preceptor.annotate.rules import token_values
from preceptor.errors import InputError
from preceptor.judgement import Question
from preceptor.reward.examples import Dropped, Example, Group, Labelled
from preceptor.reward.head import NextTokenValue, NextTokenValueModule
from preceptor.reward.layout import Tagged
from preceptor.reward.link import VALUE
from preceptor.reward.losses import saffron as saffron_loss
from preceptor.reward.objective import Objective
from preceptor.reward.objectives.rows import by_problem
from preceptor.reward.render import Renderer, Row

if TYPE_CHECKING:
    from torch import Tensor

    from preceptor.reward.model import StepModel
    from preceptor.reward.scorer import PRM

LAYOUT = Tagged("", between="\n", strip="right", read="before-last")
Values = Callable[[Sequence[Sequence[int]], Sequence[float | None]], Sequence[Sequence[float | None]]]
"""From the solutions of one problem, as token ids, and their outcomes to a value (or None) per token."""


def saffron(values: Values = token_values) -> Objective:
    def rows(items: Sequence[Labelled], render: Renderer, dropped: Dropped) -> list[Group]:
        out: list[Group] = []
        for same in by_problem(items):
            known = []
            for item in same:
                found = render(item.trace)
                if len(found.rows) != 1 or found.error is not None:
                    dropped.add("step-too-long")
                elif item.outcome is None:
                    dropped.add("no-outcome")
                elif (row := every_next(found.rows[0])).positions:
                    known.append((row, item.outcome))
            rates = values([row.following for row, _ in known], [z for _, z in known])
            out += _once([row for row, _ in known], rates)
        return out

    return Objective(
        loss=lambda outputs, batch: saffron_loss(outputs, batch["targets"], batch["mask"]),
        head=NextTokenValue(),
        link=VALUE,
        layout=LAYOUT,
        rows=rows,
        prepare=prepare,
        question=Question.VALUE,
        source="SAFFRON: multifurcation reward model",
    )


def every_next(row: Row) -> Row:
    """The same row, read before every token of its steps; `following` holds these tokens."""
    ids = (*row.token_ids, *row.following[-1:])
    begin = max(row.begins[0], 1) if row.begins else len(ids)
    positions = tuple(range(begin - 1, len(ids) - 1))
    return Row(ids[:-1], positions, (0,) * len(positions), following=ids[begin:])


def _once(rows: Sequence[Row], rates: Sequence[Sequence[float | None]]) -> list[Group]:
    """Every pair of prefix and next token is asked of the first row that has it."""
    seen: set[tuple[int, ...]] = set()
    out: list[Group] = []
    for row, own in zip(rows, rates, strict=True):
        targets: list[tuple[float | None]] = []
        for k, value in enumerate(own):
            path = row.following[: k + 1]
            targets.append((None if path in seen else value,))
            seen.add(path)
        if any(value is not None for (value,) in targets):
            out.append((Example(row, tuple(targets)),))
    return out


def prepare(model: StepModel, groups: Sequence[Group]) -> None:
    """Keep the output table as it is, and mark the tokens that training shows."""
    import torch

    head = model.head
    assert isinstance(head, NextTokenValueModule)
    if model.body.get_input_embeddings().weight is head.output.weight:
        # A tied table stays the language model's, and the embeddings are free to learn.
        weight = head.output.weight.detach().clone()
        head.output = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        head.output.weight = torch.nn.Parameter(weight)
    head.output.requires_grad_(False)
    head.seen.fill_(False)
    for (example,) in groups:
        for token, (value,) in zip(example.row.following, example.targets, strict=True):
            if value is not None:
                head.seen[token] = True


def next_values(prm: PRM, prefixes: Sequence[Sequence[int]]) -> Tensor:
    """Values of all next tokens behind each prefix, (N, V) in fp32. With `cache_tokens`, a beam that grew by
    a token costs one token."""
    import torch

    head = prm.model.head
    if not isinstance(head, NextTokenValueModule):
        raise InputError(f"next_values: got a model with {prm.format.head}, expected one with NextTokenValue")
    states, _ = prm.forward.hidden(list(prefixes), [(len(p) - 1,) for p in prefixes])
    if not states:
        return torch.empty(0, len(head.seen))
    with torch.inference_mode():
        return head.all_values(torch.cat(states).to(head.output.weight.dtype))


SAFFRON = saffron()
