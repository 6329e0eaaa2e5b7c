"""Many token rows through a decoder's body, every shared beginning computed once and nothing padded.

The rows' distinct tokens (`packed_plan`) are laid end to end in one row of batch 1, with each segment's own
position ids and an attention that keeps segments apart (`packed_attention`). With `cache_tokens`, keys, values
and hidden states of the last rows stay, so rows that grew since the last call cost their new tokens only.

Whether a body can be run this way is found out once, on a few random tokens; one that cannot (it looks to the
right, keeps a state, brings its own attention) is read in padded batches sorted by length, with a
mask. The results are the same: in float32 equal to one row at a time to rounding. Left out: rows of several
models, images, and fused kernels for packed rows on a GPU, where the loop over segments is the slower part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from preceptor.errors import InputError, ModelError
from preceptor.policy.checkpoint import version_stamp
from preceptor.policy.engine import layer_windows
from preceptor.policy.packed_attention import Pass, Unsupported, packed_attention
from preceptor.policy.packed_plan import Held, Ids, Layout, Segment, batches, lay_out, packs, whole
from preceptor.policy.packed_together import columns_of, end_to_end, gathered

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FAILURES = (TypeError, AttributeError, RuntimeError, ValueError, LookupError, Unsupported)


KeysAndValues = list[tuple[torch.Tensor, torch.Tensor]]
CPU_TOKENS = 2048
"""No pass on a CPU is larger: its activations would leave the processor's cache."""


@dataclass(frozen=True)
class Cost:
    """Tokens per row of a call: computed for it first, and read off another row or an earlier call.

    They add up to the tokens up to the row's last asked position (all of a row's, for a body that looks to
    the right): what stands behind is not computed.
    """

    computed: tuple[int, ...]
    reused: tuple[int, ...]


class PackedForward:
    """`body`: a model of transformers without head that gives `last_hidden_state`.

    `max_tokens` bounds one forward pass. `cache_tokens` bounds what is kept between calls; it is dropped when
    an optimizer's step has changed a weight, and by `clear()`. Not for two threads at a time.
    """

    def __init__(self, body: PreTrainedModel, *, max_tokens: int = 8192, cache_tokens: int = 0):
        if max_tokens < 1 or cache_tokens < 0:
            raise InputError(
                f"PackedForward: got max_tokens={max_tokens}, cache_tokens={cache_tokens}, expected at least "
                "1 and 0"
            )
        self.body, self.max_tokens, self.cache_tokens = body, max_tokens, cache_tokens
        self.packs: bool | None = None
        """Whether the body is run packed; None: not tried yet."""
        self.causal = True
        self._held = Held(cache_tokens)
        self._stamp: Any = None
        self._windows: list[int | None] = []

    def clear(self) -> None:
        """Forget what is kept between calls: needed when weights change in a way PyTorch does not count."""
        self._held = Held(self.cache_tokens)

    @property
    def held_tokens(self) -> int:
        """Tokens whose keys, values and hidden states are kept."""
        return self._held.tokens

    def hidden(
        self, rows: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
    ) -> tuple[list[torch.Tensor], Cost]:
        """Final hidden states at `positions[i]` of `rows[i]`, in any order: (len(positions[i]), h) each, in the
        model's dtype and without gradient. InputError for a position outside its row."""
        _check(rows, positions)
        if self.packs is None:
            self.probe()
        given = [tuple(map(int, row)) for row in rows]
        if self.causal:
            given = [row[: max(at) + 1] if len(at) else () for row, at in zip(given, positions)]
        else:
            given = [row if len(at) else () for row, at in zip(given, positions)]
        was_training = self.body.training
        self.body.eval()
        try:
            with torch.inference_mode():
                if self.packs:
                    try:
                        return self._packed(given, positions)
                    except Unsupported:  # something that the probe's few tokens did not show
                        self.packs = False
                return self._padded(given, positions)
        finally:
            self.body.train(was_training)

    def keys_and_values(self, rows: Sequence[Ids]) -> tuple[KeysAndValues, list[int | None]]:
        """Layer by layer, (kept, heads, tokens, size), padded on the right with whatever; and where among these each
        row is, None for a row that is not kept."""
        paths = self._held.paths(rows)
        kept = [path for path in paths if path]
        if not kept:
            return [], [None] * len(paths)
        place = end_to_end(dict.fromkeys(span.segment for path in kept for span in path))
        columns = torch.as_tensor(columns_of(kept, place), device=self.body.device)
        layers = []
        for k in range(len(self._windows)):
            keys, values = (torch.cat([s.layers[k][i] for s in place], dim=2)[0] for i in (0, 1))
            layers.append((gathered(keys, columns), gathered(values, columns)))
        places = iter(range(len(kept)))
        return layers, [next(places) if path else None for path in paths]

    def probe(self) -> None:
        """Find out how this body can be read, by comparing with one row at a time."""
        from preceptor.policy.packed_check import reads_left_only, same_when_packed

        was_training = self.body.training
        self.body.eval()
        try:
            with torch.inference_mode():
                self.causal = reads_left_only(self.body)
                self.packs = False
                if self.causal:
                    try:
                        self._windows = layer_windows(self.body.config.get_text_config(decoder=True))
                        self.packs = same_when_packed(self)
                    except (*_FAILURES, ModelError):
                        pass  # a model that refuses packed rows is read in padded ones
        finally:
            self.body.train(was_training)

    def _packed(self, rows: list[Ids], positions: Sequence[Sequence[int]]) -> tuple[list[torch.Tensor], Cost]:
        if self._held.rows and self._stamp != version_stamp(self.body):
            self.clear()
        limit = min(self.max_tokens, CPU_TOKENS) if self.body.device.type == "cpu" else self.max_tokens
        layout = lay_out(rows, self._held.sorted() if self._held.rows else (), limit)
        cost = _cost(rows, layout)
        keep = self._held.with_rows(layout) if self.cache_tokens else {}
        keep_segments = {span.segment for path in keep.values() for span in path}
        asks = _Asks(rows, positions, layout)
        passes = packs(layout.fresh, limit)
        fresh = set(layout.fresh)
        last = {x.segment: n for n, group in enumerate(passes) for s in group for x in s.path}
        out: torch.Tensor | None = None
        for segment in asks.by_segment.keys() - fresh:
            out = asks.answer(out, [segment], segment.hidden)
        with packed_attention(self.body) if passes else ExitStack():
            for n, group in enumerate(passes):
                stored = {s for s in group if s in keep_segments or last.get(s, n) > n}
                hidden = self._forward(group, stored)
                out = asks.answer(out, group, hidden)
                for segment, part in zip(group, hidden.split([len(s.ids) for s in group])):
                    segment.hidden = part.clone() if segment in keep_segments else None
                for segment, final in last.items():
                    if final == n and segment in fresh and segment not in keep_segments:
                        segment.layers = []
        if self.cache_tokens:
            self._held.rows = keep
            self._stamp = version_stamp(self.body)
        return self._split(out, positions), cost

    def _forward(self, group: list[Segment], stored: set[Segment]) -> torch.Tensor:
        device = self.body.device
        ids = torch.tensor([[i for s in group for i in s.ids]], device=device)
        at = np.concatenate([np.arange(s.start, s.start + len(s.ids)) for s in group])
        run = Pass(group, stored, self._windows, device)
        with run.running():
            output = self.body(
                input_ids=ids, position_ids=torch.as_tensor(at, device=device)[None], use_cache=False
            )
        if run.layer == 0:
            raise Unsupported("the model's attention does not go through the interface")
        return output.last_hidden_state[0]

    def _padded(self, rows: list[Ids], positions: Sequence[Sequence[int]]) -> tuple[list[torch.Tensor], Cost]:
        layout = whole(rows, fold=self.causal)
        asks = _Asks(rows, positions, layout)
        out: torch.Tensor | None = None
        for group in batches(layout.fresh, self.max_tokens):
            ids = np.zeros((len(group), len(group[0].ids)), np.int64)
            mask = np.zeros_like(ids)
            for k, segment in enumerate(group):
                ids[k, : len(segment.ids)], mask[k, : len(segment.ids)] = segment.ids, 1
            inside = torch.as_tensor(mask, device=self.body.device)
            output = self.body(
                input_ids=torch.as_tensor(ids, device=self.body.device),
                attention_mask=inside,
                use_cache=False,
            )
            out = asks.answer(out, group, output.last_hidden_state[inside.bool()])
        return self._split(out, positions), _cost(rows, layout)

    def _split(self, out: torch.Tensor | None, positions: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        if out is None:
            size = self.body.config.get_text_config(decoder=True).hidden_size
            out = torch.empty(0, size, dtype=self.body.dtype, device=self.body.device)
        return list(out.split([len(at) for at in positions]))


class _Asks:
    """Where each asked hidden state comes from and where it goes to in one (asked, h) tensor."""

    def __init__(self, rows: Sequence[Ids], positions: Sequence[Sequence[int]], layout: Layout):
        self.total = sum(map(len, positions))
        self.by_segment: dict[Segment, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        first = 0
        for row, asked in zip(rows, positions):
            if not len(asked):
                continue
            at, place = np.asarray(asked, np.int64), np.arange(first, first + len(asked))
            path = layout.paths[row]
            ends = list(accumulate(count for _, count in path))
            which = np.searchsorted(ends, at, side="right")
            for k in dict.fromkeys(which.tolist()):
                segment, count = path[k]
                inside = which == k
                self.by_segment[segment].append((at[inside] - (ends[k] - count), place[inside]))
            first += len(asked)

    def answer(
        self, out: torch.Tensor | None, group: Sequence[Segment], hidden: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Put what is asked of these segments, whose hidden states lie end to end in `hidden`, into `out`."""
        if hidden is None:
            return out
        ends = [0, *accumulate(len(s.ids) for s in group)]
        found = [(a + end, to) for s, end in zip(group, ends) for a, to in self.by_segment.get(s, ())]
        if not found:
            return out
        if out is None:
            out = hidden.new_empty(self.total, hidden.shape[1])
        source, target = (torch.as_tensor(np.concatenate(x), device=hidden.device) for x in zip(*found))
        out[target] = hidden[source]
        return out


def _cost(rows: Sequence[Ids], layout: Layout) -> Cost:
    """The first row that needs a token pays for it."""
    paid = dict.fromkeys(layout.fresh, 0)
    computed = []
    for row in rows:
        own = 0
        for segment, count in layout.paths[row]:
            if segment in paid:
                own += max(0, count - paid[segment])
                paid[segment] = max(paid[segment], count)
        computed.append(own)
    return Cost(tuple(computed), tuple(len(row) - own for row, own in zip(rows, computed)))


def _check(rows: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> None:
    if len(rows) != len(positions):
        raise InputError(f"positions: got {len(positions)} lists, expected one for each of {len(rows)} rows")
    for k, (row, at) in enumerate(zip(rows, positions)):
        if len(at) and not 0 <= min(at) <= max(at) < len(row):
            raise InputError(
                f"positions of row {k}: got {min(at)} to {max(at)}, expected 0 to {len(row) - 1}. Count from 0."
            )
