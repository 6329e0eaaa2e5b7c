"""Attention over segments packed into one row, each behind its own past.

A segment with nothing before it is one plain causal `scaled_dot_product_attention`, so padding and masks cost
nothing. A segment behind others reads their keys and values first; where its past is the shorter part, empty
queries stand in for the past so that the kernel's own causal mode applies, else a small mask is used. Small
segments behind others are read many at a time (`packed_together`).
Registered with `AttentionInterface`; models whose attention needs more than queries, keys, values, a scale
and a sliding window are refused (`Unsupported`).

Shapes: T packed tokens, H heads, K key heads, D size of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention as sdpa
from transformers import AttentionInterface

from preceptor.policy.packed_plan import Segment
from preceptor.policy.packed_together import Together, end_to_end, groups, masked

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "preceptor_packed"
_REFUSED = ("softcap", "s_aux", "sinks", "position_bias", "cache")
_active: ContextVar[Pass | None] = ContextVar("pass", default=None)


class Unsupported(Exception):
    """This model's attention cannot be run on packed segments."""


@contextmanager
def packed_attention(body: PreTrainedModel) -> Iterator[None]:
    """Put the model on this attention, and back."""
    before = body.config._attn_implementation
    can = getattr(
        body, "_can_set_attn_implementation", None
    )  # asked first: setting it in vain logs a warning
    if can is not None and not can():
        raise Unsupported("the model's attention cannot be replaced")
    AttentionInterface.register(NAME, attention)
    body.set_attn_implementation(NAME)
    try:
        if body.config._attn_implementation != NAME:
            raise Unsupported("the model's attention cannot be replaced")
        yield
    finally:
        body.set_attn_implementation(before)


class Pass:
    """One forward pass over some segments. `kept`: those whose keys and values are stored on them."""

    def __init__(
        self,
        segments: Sequence[Segment],
        kept: set[Segment],
        windows: Sequence[int | None],
        device: torch.device,
    ):
        self.kept, self.windows = kept, windows
        self.columns = end_to_end(segments)
        self.length = sum(len(s.ids) for s in segments)
        self.layer = 0
        small = groups(segments)
        together = {s for members in small for s in members}
        self._alone = [s for s in segments if s not in together]
        stored = {before: None for s in together for before, _ in s.path if before not in self.columns}
        self._stored = list(stored)
        place = self.columns | end_to_end(stored, self.length)
        self._together = [Together(members, place, device) for members in small]
        self._masks: dict[tuple[int, int, int | None], torch.Tensor] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        window: int | None,
        scale: float | None,
    ) -> torch.Tensor:
        """query (1, H, T, D), key and value (1, K, T, D); the output is (1, T, H, D)."""
        out = query.new_empty(1, self.length, query.shape[1], value.shape[-1])
        if self._together:
            keys, values = (
                torch.cat([t, *(s.layers[self.layer][i] for s in self._stored)], dim=2)[0]
                for i, t in enumerate((key, value))
            )
            for group in self._together:
                group.attend(query[0], keys, values, window, scale, out[0])
        for segment in self._alone:
            begin = self.columns[segment]
            end = begin + len(segment.ids)
            q, k, v = query[:, :, begin:end], key[:, :, begin:end], value[:, :, begin:end]
            if segment.path:
                skip = 0 if window is None else max(0, segment.start - window + 1)
                pasts = [self._past(segment, which, t, skip) for which, t in enumerate((key, value))]
                k, v = (torch.cat([*past, own], dim=2) for past, own in zip(pasts, (k, v)))
            out[:, begin:end] = self._one(q, k, v, window, scale).transpose(1, 2)
        for segment in self.kept:
            begin = self.columns[segment]
            end = begin + len(segment.ids)
            segment.layers.append((key[:, :, begin:end].clone(), value[:, :, begin:end].clone()))
        self.layer += 1
        return out

    def _past(self, segment: Segment, which: int, packed: torch.Tensor, skip: int) -> list[torch.Tensor]:
        """Keys (`which` 0) or values (1) of what stands before a segment, without the first `skip`."""
        parts = []
        for before, count in segment.path:
            if skip < count:
                at = self.columns.get(before)
                if at is None:
                    parts.append(before.layers[self.layer][which][:, :, skip:count])
                else:
                    parts.append(packed[:, :, at + skip : at + count])
            skip = max(0, skip - count)
        return parts

    def _one(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int | None, scale: float | None
    ) -> torch.Tensor:
        new, seen = q.shape[2], k.shape[2]
        grouped = q.shape[1] != k.shape[1]
        if window is None or seen <= window:
            if new == seen:
                return sdpa(q, k, v, is_causal=new > 1, scale=scale, enable_gqa=grouped)
            if new == 1:
                return sdpa(q, k, v, scale=scale, enable_gqa=grouped)
            if seen - new <= new:
                q = torch.cat([q.new_zeros(1, q.shape[1], seen - new, q.shape[3]), q], dim=2)
                return sdpa(q, k, v, is_causal=True, scale=scale, enable_gqa=grouped)[:, :, seen - new :]
            window = None
        return masked(q, k, v, self._mask(new, seen, window, q), scale)

    def _mask(self, new: int, seen: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """(new, seen), 0 or minus infinity: query i stands at column seen - new + i."""
        known = self._masks.get((new, seen, window))
        if known is None or known.device != like.device:
            ahead = torch.arange(new, device=like.device)[:, None] + seen - new
            ahead = ahead - torch.arange(seen, device=like.device)
            hidden = ahead < 0 if window is None else (ahead < 0) | (ahead >= window)
            known = like.new_zeros(new, seen).masked_fill_(hidden, float("-inf"))
            self._masks[new, seen, window] = known
        return known


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls."""
    run = _active.get()
    if run is None:
        raise RuntimeError(
            f"{NAME}: this model is being read by a PackedForward in another thread. Use one lock for both."
        )
    given = [name for name in _REFUSED if others.get(name) is not None]
    causal = others.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if given or attention_mask is not None or not causal or query.shape[0] != 1:
        raise Unsupported(f"attention with {given or 'a mask of its own'}")
    if query.shape[2] != run.length or key.shape[2] != run.length:
        raise Unsupported(f"got {query.shape[2]} queries and {key.shape[2]} keys for {run.length} tokens")
    if "sliding_window" in others:
        window = others["sliding_window"]
    else:
        window = run.windows[getattr(module, "layer_idx", run.layer)]
    return run.attend(query, key, value, window, scaling), None
