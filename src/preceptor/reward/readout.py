"""The batch and the readout: one data path for training and for serving.

Rows are padded on the right. A causal model never looks right, so it needs no attention mask, and
leaving the mask out is what makes the fast attention kernels available; models that do look right get it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from preceptor.reward.render import Row

if TYPE_CHECKING:
    import torch


def token_batches(lengths: Sequence[int], max_tokens: int, max_rows: int | None = None) -> list[list[int]]:
    """Indices grouped by similar length, longest first; padded size <= `max_tokens` (or one row).

    >>> token_batches([5, 2, 9, 2], max_tokens=10)
    [[2], [0, 1], [3]]
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        full = not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > max_tokens
        if full or (max_rows is not None and len(batches[-1]) >= max_rows):
            batches.append([])
        batches[-1].append(i)
    return batches


def collate(
    rows: Sequence[Row], targets: Sequence[Sequence[float | None]] | None = None
) -> dict[str, torch.Tensor]:
    """Rows of B sequences with up to L tokens and T readouts, padded on the right.

    `input_ids`, `attention_mask` (B, L) int; `positions` (B, T) int; `mask` (B, T) bool: readouts that
    exist and, with targets, are labelled; `targets` (B, T) float, 0 outside the mask.
    """
    import torch

    size = (len(rows), max(len(r.token_ids) for r in rows))
    reads = (len(rows), max(len(r.positions) for r in rows))
    input_ids = torch.zeros(size, dtype=torch.long)
    attention = torch.zeros(size, dtype=torch.long)
    positions = torch.zeros(reads, dtype=torch.long)
    mask = torch.zeros(reads, dtype=torch.bool)
    values = torch.zeros(reads)
    for i, row in enumerate(rows):
        input_ids[i, : len(row.token_ids)] = torch.tensor(row.token_ids)
        attention[i, : len(row.token_ids)] = 1
        positions[i, : len(row.positions)] = torch.tensor(row.positions)
        wanted = [1.0] * len(row.positions) if targets is None else targets[i]
        mask[i, : len(wanted)] = torch.tensor([w is not None for w in wanted])
        values[i, : len(wanted)] = torch.tensor([0.0 if w is None else w for w in wanted])
    batch = {"input_ids": input_ids, "attention_mask": attention, "positions": positions, "mask": mask}
    return batch if targets is None else {**batch, "targets": values}


def read(model: Any, batch: dict[str, torch.Tensor], *, causal: bool) -> torch.Tensor:
    """One forward pass; the head's outputs at the readouts, (B, T, C) in fp32."""
    seen = None if causal else batch["attention_mask"]
    logits = model(input_ids=batch["input_ids"], attention_mask=seen).logits
    at = batch["positions"].unsqueeze(-1).expand(-1, -1, logits.shape[-1])
    return logits.gather(1, at).float()


def looks_right(model: Any) -> bool:
    """Whether the output at a token depends on later tokens, found by trying it."""
    import torch

    training = model.training
    model.eval()
    with torch.no_grad():
        ids = torch.tensor([[0, 1, 0], [0, 1, 1]], device=model.device)
        first, second = model(input_ids=ids).logits[:, 1].float()
    model.train(training)
    return not torch.allclose(first, second, atol=1e-4, rtol=1e-3, equal_nan=True)
