"""Log-probabilities of sampled tokens under another model: what distillation compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.errors import InputError
from preceptor.generation import Request
from preceptor.trace import Trace

if TYPE_CHECKING:
    from preceptor.policy import TransformersPolicy

Logps = tuple[float, ...] | None
"""One a sampled token; None: could not be read."""


def read_logprobs(reader: TransformersPolicy, traces: Sequence[Trace]) -> list[Logps]:
    """Per trace, in nats at temperature 1, by one packed forward pass behind the reader's own rendering of the
    prompt.

    The ids are read as they are: `reader` must have the writer's vocabulary (`same_vocabulary`). None for a trace
    without ids and for one that is longer than the reader's context.
    """
    out: list[Logps] = [None] * len(traces)
    rows, asked, positions, places = [], [], [], []
    for k, trace in enumerate(traces):
        before = reader.prefix(Request(trace.problem))
        ids = trace.token_ids
        context = reader.engine.context
        if ids is None or not before or (context is not None and len(before) + len(ids) > context):
            continue
        rows.append((*before, *ids))
        positions.append(range(len(before) - 1, len(before) + len(ids) - 1))
        asked.append([[i] for i in ids])
        places.append(k)
    found, _ = reader.reader.read(rows, positions, asked)
    for k, read in zip(places, found, strict=True):
        out[k] = tuple(read.logprobs[:, 0].tolist()) if traces[k].token_ids else ()
    return out


def same_vocabulary(student: TransformersPolicy, teacher: TransformersPolicy) -> None:
    """InputError when a token id means two things."""
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    different = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
    if different:
        raise InputError(
            f"teacher: got a vocabulary that differs in {len(different)} tokens (first {different[:3]}), expected the "
            "student's: token by token distillation needs one vocabulary."
        )
