"""Less padding in the update: rows of like length share a micro-batch, and columns that are padding in all go.

TRL shuffles a batch, splits it and keeps every part as wide as the batch's longest prompt and completion.
The gradient of a step is a sum over its rows, whatever part they are in, so ordering them by length changes
only the order of addition. Padding left over inside a part is masked as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

Part = dict[str, Any]
"""A micro-batch: tensors and lists with one entry a row, and numbers that belong to the whole batch."""


def by_length(parts: Sequence[Mapping[str, Any]]) -> list[Part]:
    """As many parts of as many rows, from the shortest rows to the longest."""
    whole = {key: _joined([part[key] for part in parts]) for key in parts[0]}
    lengths = whole["prompt_mask"].sum(dim=1) + whole["completion_mask"].sum(dim=1)
    order = torch.argsort(lengths, stable=True)
    return [trimmed({k: _rows(v, own) for k, v in whole.items()}) for own in order.chunk(len(parts))]


def trimmed(part: Mapping[str, Any]) -> Part:
    """Without leading columns of the prompt and trailing ones of the completion that no row uses."""
    prompt, completion = part["prompt_mask"], part["completion_mask"]
    first = prompt.shape[1] - int(prompt.sum(dim=1).max())
    width = max(1, int(completion.sum(dim=1).max()))
    out = dict(part)
    for key, value in part.items():
        if key in ("prompt_ids", "prompt_mask"):
            out[key] = value[:, first:]
        elif isinstance(value, torch.Tensor) and value.shape == completion.shape:
            out[key] = value[:, :width]
    return out


def _joined(values: Sequence[Any]) -> Any:
    if isinstance(values[0], torch.Tensor):
        return values[0] if values[0].ndim == 0 else torch.cat(list(values))
    return [row for value in values for row in value] if isinstance(values[0], list) else values[0]


def _rows(value: Any, order: torch.Tensor) -> Any:
    if isinstance(value, torch.Tensor):
        return value if value.ndim == 0 else value[order]
    return [value[i] for i in order.tolist()] if isinstance(value, list) else value
