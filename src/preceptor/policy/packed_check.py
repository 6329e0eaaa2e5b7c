"""Can this body be read packed? Asked once per body, on a few random tokens.

A model's code may ignore position ids, look to the right, carry a state from token to token or compute its
attention in its own way; all of that would give wrong numbers without any error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from preceptor.policy.packed import PackedForward


def reads_left_only(body: PreTrainedModel) -> bool:
    """Whether hidden states stay as they are when tokens are added on the right."""
    row = tokens(body, 10)
    long = _plain(body, row)[: len(row) // 2]
    return alike(long, _plain(body, row[: len(row) // 2]))


def same_when_packed(forward: PackedForward) -> bool:
    """Packed passes against one row at a time: lone rows, shared beginnings, a past from another pass, a row
    cut in two, and what is kept between calls; longer than the sliding window where that is narrow."""
    from preceptor.policy.packed import PackedForward

    body = forward.body
    windows = [w for w in forward._windows if w is not None and w <= 64]
    base = tokens(body, max([12, *(2 * w + 3 for w in windows)]))
    n = len(base)
    rows = [base, base[: n // 2] + base[::-1][: n // 3], base[1:], base[: n // 3], [*base[: n - 1], base[0]]]
    probe = PackedForward(body, max_tokens=max(2, n - 2), cache_tokens=8 * n)
    probe.packs, probe.causal, probe._windows = True, True, forward._windows
    asked = [list(range(len(row))) for row in rows]
    plain = [_plain(body, row) for row in rows]
    found: list[torch.Tensor] = []
    for order in ([0], [4, 3, 2, 1], [1, 0]):
        hidden, _ = probe.hidden([rows[k] for k in order], [asked[k] for k in order])
        found.append(torch.cat(hidden))
    return alike(torch.cat(found), torch.cat([plain[k] for k in (0, 4, 3, 2, 1, 1, 0)]))


def tokens(body: PreTrainedModel, count: int) -> list[int]:
    """Random ids, as many as wanted or as the context holds."""
    context = getattr(body.config.get_text_config(decoder=True), "max_position_embeddings", None)
    count = count if not context or context < 0 else max(2, min(count, context))
    table = int(body.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    return np.random.default_rng(0).integers(0, table, count).tolist()


def _plain(body: PreTrainedModel, row: list[int]) -> torch.Tensor:
    ids = torch.tensor([row], device=body.device)
    return body(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).last_hidden_state[0]


def alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to rounding, by the root of the mean square; kernels on a GPU may round float32 to 10 bits."""
    if a.dtype == torch.float32 or a.dtype == torch.float64:
        tolerance = 1e-4 if a.device.type == "cpu" else 5e-3
    else:
        tolerance = 0.05
    a, b = a.double(), b.double()
    return bool((a - b).square().mean().sqrt() <= tolerance * b.square().mean().sqrt())
