"""Attention in which rollouts of one prefix read its keys and values once, not once per row.

The query of a row attends to two sets of keys: the shared prefix, together with all rows of its group,
and the row's own tokens. The two results are joined by their log-sum-exps, which is
exact (Juravsky et al. 2024, Hydragen, arXiv 2402.05099; ours also groups rows whose prefixes begin one
another). Used on a CPU, for models with full attention in every layer that run on `sdpa`; all others copy
the prefix to each row.

Shapes: N rows, G groups of at most R rows, H key heads, Q queries per key head, P prefix columns, D head size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from preceptor.policy.engine_cache import Computed
from preceptor.policy.engine_plan import Ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "preceptor_shared_prefix"
LARGEST = 16
"""Rows in a group, at most: a larger one would leave the others padded."""

_active: ContextVar[Groups | None] = ContextVar("groups", default=None)


def can_share(model: PreTrainedModel, windows: Sequence[int | None]) -> bool:
    full = all(w is None for w in windows)
    return full and model.device.type == "cpu" and model.config._attn_implementation in ("sdpa", NAME)


@contextmanager
def sharing(model: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """Put the model on this attention, and back."""
    if not wanted:
        yield
        return
    before = model.config._attn_implementation
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


class Groups:
    """Which live rows read which prefix. Rows are given places when requests are admitted; they may leave."""

    def __init__(self, slots: int):
        self.group = np.zeros(slots, np.int64)
        self.place = np.zeros(slots, np.int64)
        self.length = np.zeros(slots, np.int64)
        self.assigned = 0
        self.layers: Computed = []
        self.size = 1
        self._mask = self._spot = self._gather = torch.empty(0)

    def assign(
        self, roots: Sequence[Ids], lengths: Sequence[int], computed: Mapping[Ids, tuple[Computed, int]]
    ) -> None:
        """Give row `n` the first `lengths[n]` columns of `roots[n]`, and lay out the keys and values."""
        seen: Counter[Ids] = Counter()
        numbers: dict[tuple[Ids, int], int] = {}
        for n, root in enumerate(roots):
            part, self.place[n] = divmod(seen[root], LARGEST)
            seen[root] += 1
            self.group[n] = numbers.setdefault((root, part), len(numbers))
        self.length[: len(roots)] = lengths
        self.assigned = len(roots)
        self.size = min(LARGEST, max(seen.values()))
        self._lay_out([root for root, _ in numbers], max(lengths), computed)

    def _lay_out(
        self, roots: Sequence[Ids], columns: int, computed: Mapping[Ids, tuple[Computed, int]]
    ) -> None:
        sources: dict[int, tuple[Computed, list[int], list[int]]] = {}
        for group, root in enumerate(roots):
            if root in computed:
                source, row = computed[root]
                _, groups, rows = sources.setdefault(id(source), (source, [], []))
                groups.append(group)
                rows.append(row)
        self.layers = []
        if len(sources) == 1:
            ((source, groups, rows),) = sources.values()
            if len(groups) == len(roots):  # one copy, or none where they lie as they are needed
                whole = rows == list(range(source[0][0].shape[0]))
                taken = [[t if whole else t[rows] for t in pair] for pair in source]
                self.layers = [(k[:, :, :columns], v[:, :, :columns]) for k, v in taken]
                return
        for layer, like in enumerate(next(iter(sources.values()))[0] if sources else ()):
            pair = [t.new_zeros(len(roots), t.shape[1], columns, t.shape[3]) for t in like]
            for source, groups, rows in sources.values():
                for buffer, held in zip(pair, source[layer]):
                    width = min(columns, held.shape[2])
                    buffer[groups, :, :width] = held[rows, :, :width]
            self.layers.append((pair[0], pair[1]))

    def state(self) -> tuple[np.ndarray, ...]:
        return self.group, self.place, self.length

    @contextmanager
    def reading(self, rows: int, dtype: torch.dtype) -> Iterator[None]:
        """For one decode step of the first `rows` rows."""
        groups = self.layers[0][0].shape[0] if self.layers else 0
        spot = self.group[:rows] * self.size + self.place[:rows]
        gather = np.zeros(groups * self.size, np.int64)
        length = np.zeros(groups * self.size, np.int64)
        if groups:
            gather[spot], length[spot] = np.arange(rows), self.length[:rows]
            columns = torch.arange(self.layers[0][0].shape[2])
            hidden = columns >= torch.from_numpy(length)[:, None]
            self._mask = (hidden.to(dtype) * torch.finfo(dtype).min).view(groups, 1, self.size, -1)
        self._spot, self._gather = torch.from_numpy(spot), torch.from_numpy(gather)
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    def attend(self, layer: int, query_NHQD: torch.Tensor, scale: float | None) -> Any:
        """Output (N, H, Q, D) and log-sum-exp (N, H, Q) over each row's shared columns."""
        keys, values = self.layers[layer]
        groups = keys.shape[0]
        _, heads, queries, size = query_NHQD.shape
        rows = self.size * queries
        grouped = query_NHQD[self._gather].view(groups, self.size, heads, queries, size)
        grouped = grouped.transpose(1, 2).reshape(groups, heads, rows, size)
        if self._mask.shape[2] != rows:  # once a step: the first layer makes room for all queries of a row
            self._mask = self._mask.repeat_interleave(queries, dim=2)
        out, lse = _flash(grouped, keys, values, self._mask, scale)
        out = out.view(groups, heads, self.size, queries, -1).transpose(1, 2).flatten(0, 1)
        lse = lse.view(groups, heads, self.size, queries).transpose(1, 2).flatten(0, 1)
        return out[self._spot], lse[self._spot]


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls: query (N, H*Q, 1, D), key and value (N, H, columns, D) of the rows alone.

    Outside a decode step of the engine (a prefill) this is plain `sdpa`.
    """
    groups = _active.get()
    if groups is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    rows, heads, _, size = query.shape
    grouped = query.view(rows, key.shape[1], heads // key.shape[1], size)
    out, lse = _flash(grouped, key, value, attention_mask, scaling)
    if groups.layers:
        shared, shared_lse = groups.attend(int(module.layer_idx), grouped, scaling)  # type: ignore[arg-type]
        own = torch.sigmoid(lse - shared_lse)[..., None].to(out.dtype)
        out = torch.lerp(shared, out, own)
    return out.reshape(rows, 1, heads, -1), None


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None,
) -> Any:
    """`scaled_dot_product_attention` on a CPU, with the log-sum-exp that the public function drops."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, False, attn_mask=mask, scale=scale
    )
