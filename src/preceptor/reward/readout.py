"""The batch and the readout: one data path for training and for serving.

Rows are padded on the right. A causal model never looks right, so it needs no attention mask, and
leaving the mask out is what makes the fast attention kernels available; models that do look right get it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from preceptor.errors import InputError
from preceptor.reward.render import Row

if TYPE_CHECKING:
    import torch

    from preceptor.reward.model import StepModel


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
    rows: Sequence[Row], targets: Sequence[Sequence[Sequence[float | None]]] | None = None
) -> dict[str, torch.Tensor]:
    """Rows of B sequences with up to L tokens and T readouts, padded on the right.

    `input_ids`, `attention_mask` (B, L) int; `positions`, `next_ids` (B, T) int. With branches in a row:
    `position_ids` (B, L) and `tree` (B, 1, L, L), see `tree_mask`. With targets of K channels: `targets`
    (B, T, K) float, 0 where there is none, and `mask` (B, T, K) bool: which exist.
    """
    import torch

    size = (len(rows), max(len(r.token_ids) for r in rows))
    reads = (len(rows), max(len(r.positions) for r in rows))
    batch = {
        "input_ids": torch.zeros(size, dtype=torch.long),
        "attention_mask": torch.zeros(size, dtype=torch.long),
        "positions": torch.zeros(reads, dtype=torch.long),
        "next_ids": torch.zeros(reads, dtype=torch.long),
    }
    for i, row in enumerate(rows):
        batch["input_ids"][i, : len(row.token_ids)] = torch.tensor(row.token_ids)
        batch["attention_mask"][i, : len(row.token_ids)] = 1
        batch["positions"][i, : len(row.positions)] = torch.tensor(row.positions)
        batch["next_ids"][i, : len(row.positions)] = torch.tensor(row.next_ids).clamp(min=0)
    if any(row.branches for row in rows):
        batch |= tree_mask(rows, size[1])
    if targets is None:
        return batch
    channels = max((len(t) for row in targets for t in row), default=1)
    values = torch.zeros(*reads, channels)
    mask = torch.zeros(*reads, channels, dtype=torch.bool)
    for i, wanted in enumerate(targets):
        if wanted:
            known = torch.tensor([[y is not None for y in step] for step in wanted])
            values[i, : len(wanted)] = torch.tensor(
                [[y if y is not None else 0.0 for y in s] for s in wanted]
            )
            mask[i, : len(wanted)] = known
    return {**batch, "targets": values, "mask": mask}


def tree_mask(rows: Sequence[Row], length: int) -> dict[str, torch.Tensor]:
    """Attention that lets many alternatives to tokens of a row be read in one pass (LLM2's candidates).

    A branch has the position of the token that it replaces, and sees the tokens before that and itself.
    `position_ids` (B, L) int; `tree` (B, 1, L, L) bool: which key (last axis) a query sees.
    """
    import torch

    places = torch.arange(length).repeat(len(rows), 1)
    seen = torch.ones(length, length, dtype=torch.bool).tril().repeat(len(rows), 1, 1, 1)
    for i, row in enumerate(rows):
        trunk = len(row.token_ids) - len(row.branches)
        for k, at in enumerate(row.branches, start=trunk):
            places[i, k] = at
            seen[i, 0, k, at:] = False
            seen[i, 0, k, k] = True
    return {"position_ids": places, "tree": seen}


def read(model: StepModel, batch: dict[str, torch.Tensor], *, causal: bool) -> torch.Tensor:
    """One forward pass; the head's outputs at the readouts, (B, T, C) in fp32."""
    if "tree" in batch and not causal:
        raise InputError("branches: got a backbone that looks to the right, expected a causal language model")
    seen = batch.get("tree") if causal else batch["attention_mask"]
    more = {name: batch[name] for name in ("next_ids", "position_ids") if name in batch}
    out: torch.Tensor = model(batch["input_ids"], batch["positions"], seen, **more)
    return out


def looks_right(model: StepModel) -> bool:
    """Whether the state at a token depends on later tokens, found by trying it."""
    import torch

    from preceptor.policy.packed_check import reads_left_only

    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return not reads_left_only(model.body)
    finally:
        model.train(training)
