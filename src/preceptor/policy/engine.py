"""The embedded generation engine: many draws from many prefixes, on any decoder of `transformers`.

All live rows share one buffer of keys and values; each distinct prefix is computed once and copied to its
rollouts; finished rows make room for waiting requests; sampling is vectorized and depends only on each
request's random stream. A row is admitted with all of its prefix but the last token in the cache; that
token is fed by the row's first decode step, so a prefill needs no logits.

With a `memory`, prefixes that grew since the last call are read from where they grew.

Left out: speculative decoding, several devices beyond what the model's own layer placement does, and a memory
where rows do not read their prefix together (a GPU). Numbers agree with a plain forward to rounding (1e-6 in
float32); in bfloat16 the rounding depends on the batch, so a draw may, rarely, come out differently in another
batch.

Shapes: N live rows, V vocabulary. Columns are those of `RowCache`.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache

from preceptor.errors import ModelError
from preceptor.generation import Sampling
from preceptor.policy.engine_attention import Groups, can_share, sharing
from preceptor.policy.engine_cache import Computed, RowCache
from preceptor.policy.engine_plan import Entry, Ids, plan
from preceptor.policy.engine_sampling import choose, uniforms

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from preceptor.policy.packed import PackedForward

REFILL = 4
"""Waiting requests are admitted when one slot in this many is free."""
PREFILL = (4096, 32768)
"""Prefix tokens, padding included, in one forward pass on a CPU and on a GPU."""
SLACK = 128
"""Columns beyond the widest row: how many steps pass between two moves to the left."""


@dataclass(frozen=True)
class Task:
    """One request in ids: `limit` new tokens at most."""

    prefix: Ids
    stream: int
    limit: int
    sampling: Sampling
    watch: np.ndarray | None = None
    """Bool per vocabulary entry; the engine calls `stopped` only after these tokens."""
    stopped: Callable[[list[int]], bool] | None = None


@dataclass(frozen=True)
class Output:
    """What was sampled for a task. `reason`: "eos", "stop", "limit" or "not-finite"."""

    ids: list[int]
    logprobs: list[float]
    reason: str
    prefilled: int
    reused: int


Adjust = Callable[[torch.Tensor, Sequence[tuple[Task, list[int]]]], torch.Tensor]
"""From the logits (N, V) of the live rows, each with its task and the ids sampled so far, to those chosen from."""


class Engine:
    """Holds the model and, between calls, the buffer."""

    def __init__(self, model: PreTrainedModel, eos_ids: Collection[int], slots: int | None = None):
        self.model = model
        self.eos_ids = sorted(set(eos_ids))
        self.slots = slots
        self.config = model.config.get_text_config(decoder=True)
        self.windows = layer_windows(self.config)
        self.may_share = True
        self.adjust: Adjust | None = None
        self.memory: PackedForward | None = None
        """Keeps the keys and values of prefixes between calls; used where rows read their prefix together."""
        self.context: int | None = getattr(self.config, "max_position_embeddings", None)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._cache: RowCache | None = None

    @property
    def shares(self) -> bool:
        """Whether rows read their prefix together; asked anew, as a trainer may move its model."""
        return self.may_share and can_share(self.model, self.windows)

    def run(self, tasks: Sequence[Task]) -> list[Output]:
        """One output per task, in order. The model's train/eval mode is put back afterwards."""
        if not tasks:
            return []
        outputs: list[Output | None] = [None] * len(tasks)
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(), sharing(self.model, self.shares):
                for index, output in _Run(self, tasks).results():
                    outputs[index] = output
        finally:
            self.model.train(was_training)
        return [o for o in outputs if o is not None]

    def forward(self, ids: torch.Tensor, **inputs: Any) -> Any:
        keep = {"logits_to_keep": 1} if self._keeps else {}
        return self.model(input_ids=ids, use_cache=True, **keep, **inputs)

    def cache_for(self, tasks: Sequence[Task]) -> RowCache:
        """A buffer wide enough for every task, kept from the last call where it fits."""
        slots = min(
            self.slots or self._default_slots(max(len(t.prefix) + t.limit for t in tasks)), len(tasks)
        )
        width = max(t.limit + (1 if self.shares else len(t.prefix)) for t in tasks)
        held, device, dtype = self._cache, self.model.device, self.model.dtype
        if held is None or not held.fits(slots, width + SLACK // 2, device, dtype):
            self._cache = None
            self._cache = held = RowCache(slots, width + SLACK, self.windows, device, dtype)
        held.rows = held.column = held.low = 0
        return held

    def _default_slots(self, width: int) -> int:
        """As many rows as fit in 2 GiB on a CPU or half of the free memory of a GPU, at most 256 / 512."""
        c = self.config
        heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
        size = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
        row = 2 * len(self.windows) * heads * size * self.model.dtype.itemsize * (width + SLACK)
        row += 24 * c.vocab_size  # logits, log-probs, probabilities and their float64 sums
        if self.model.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.model.device)
            return max(1, min(512, free // 2 // row))
        return max(1, min(256, 2**31 // row))


def layer_windows(config: Any) -> list[int | None]:
    """Sliding window per layer (None: full attention). ModelError for layers that are neither."""
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types is None:
        return [window] * config.num_hidden_layers
    known = {"full_attention": None, "sliding_attention": window}
    unknown = sorted(set(types) - set(known))
    if unknown:
        raise ModelError(
            f"{config.model_type}: got layers of type {unknown}, expected {sorted(known)}. The embedded "
            "engine keeps attention keys and values only. Serve it with vLLM and use openai:URL#model."
        )
    return [known[t] for t in types]


class _Run:
    """One call of `Engine.run`: the waiting entries and the live rows."""

    def __init__(self, engine: Engine, tasks: Sequence[Task]):
        self.engine, self.tasks = engine, tasks
        self.cache = cache = engine.cache_for(tasks)
        slots = min(cache.slots, engine.slots or cache.slots)
        self.slots = slots
        self.waiting = deque(plan([t.prefix for t in tasks], block=2 * slots))
        self.last_use = {e.root: k for k, e in enumerate(self.waiting)}
        self.groups = Groups(slots) if engine.shares else None
        # columns that a prefix may need to the left of its last token
        self.ahead = 0 if engine.shares else max(len(t.prefix) for t in tasks) - 1
        self.admitted = 0
        self.roots: dict[Ids, tuple[Computed, int]] = {}
        self.recalled: dict[Ids, int] = {}
        """Tokens at the beginning of a root that the engine's memory had, or another root paid for."""
        self.entries: list[Entry] = []
        self.start = np.zeros(slots, np.int64)  # column of position 0; less than 0 where prefixes are shared
        self.begin = np.zeros(slots, np.int64)  # first column that holds a token of the row
        self.first = np.zeros(slots, np.int64)  # column of the first sampled token
        self.end = np.zeros(slots, np.int64)  # column behind the last one allowed
        self.stream = np.zeros(slots, np.uint64)
        self.temperature = np.zeros(slots, np.float32)
        self.top_p = np.zeros(slots, np.float64)
        self.top_k = np.zeros(slots, np.int64)
        self.ids = np.zeros((slots, cache.length + 1), np.int64)
        self.logprobs = np.zeros((slots, cache.length + 1), np.float64)
        self.watch = np.zeros(slots, np.int64)  # index into `watches`, -1 for none
        distinct = {id(t.watch): t.watch for t in tasks if t.watch is not None}
        self.kinds = {key: kind for kind, key in enumerate(distinct)}
        self.watches = list(distinct.values())
        self.is_eos = np.zeros(engine.config.vocab_size, bool)
        self.is_eos[[i for i in engine.eos_ids if i < len(self.is_eos)]] = True
        self.by_type = engine.config.layer_types if len(set(engine.windows)) > 1 else None

    def results(self) -> Iterator[tuple[int, Output]]:
        while self.waiting or self.entries:
            free = self.slots - len(self.entries)
            if self.waiting and (free * REFILL >= self.slots or not self.entries):
                self._admit(free)
            yield from self._step()

    # admission

    def _admit(self, free: int) -> None:
        batch = [self.waiting.popleft() for _ in range(min(free, len(self.waiting)))]
        roots = list(dict.fromkeys(e.root for e in batch if e.root not in self.roots))
        self._prefill(self._recall(roots))
        cache, n = self.cache, len(self.entries)
        if not n:
            cache.column = self.ahead
        for row, entry in enumerate(batch, n):
            self._fill_row(row, entry)
        self.entries += batch
        self.admitted += len(batch)
        if self.groups is None:
            self._copy_prefixes(n, batch)
            in_use = set[Ids]()
        else:
            in_use = {e.root for e in self.entries}
            self._regroup()
        self.roots = {r: v for r, v in self.roots.items() if r in in_use or self.last_use[r] >= self.admitted}
        cache.rows = len(self.entries)
        cache.start_rows(n, self.begin[n : cache.rows])
        cache.low = int(self.begin[: cache.rows].min())

    def _copy_prefixes(self, row: int, batch: list[Entry]) -> None:
        for prefix, same in groupby(batch, key=lambda e: e.prefix):
            entries = list(same)
            if len(prefix) > 1:
                source, source_row = self.roots[entries[0].root]
                self.cache.place(slice(row, row + len(entries)), source, source_row, len(prefix) - 1)
            row += len(entries)

    def _regroup(self) -> None:
        if self.groups is not None:
            lengths = [len(e.prefix) - 1 for e in self.entries]
            self.groups.assign([e.root for e in self.entries], lengths, self.roots)

    def _fill_row(self, row: int, entry: Entry) -> None:
        task, column = self.tasks[entry.index], self.cache.column
        self.start[row] = column - len(entry.prefix) + 1
        self.begin[row] = self.start[row] if self.groups is None else column
        self.first[row] = column + 1
        self.end[row] = column + 1 + task.limit
        self.stream[row] = task.stream
        self.temperature[row] = task.sampling.temperature
        self.top_p[row], self.top_k[row] = task.sampling.top_p, task.sampling.top_k
        self.watch[row] = self.kinds.get(id(task.watch), -1)
        self.ids[row, column] = entry.prefix[-1]

    def _shift(self) -> None:
        """Move to the left as far as the live rows, and the prefixes still to come, allow."""
        by = min(self.cache.low, self.cache.column - self.ahead)
        n, column = len(self.entries), self.cache.column
        self.cache.shift(by)
        for history in (self.ids, self.logprobs):
            history[:n, : column + 1 - by] = history[:n, by : column + 1].copy()
        for columns in (self.start, self.begin, self.first, self.end):
            columns[:n] -= by

    def _recall(self, roots: list[Ids]) -> list[Ids]:
        """Read the roots through the engine's memory, which computes what they grew by; returns what is left."""
        memory, asked = self.engine.memory, [r for r in roots if len(r) > 1]
        if memory is None or self.groups is None or not asked or sum(map(len, asked)) > memory.cache_tokens:
            return roots
        rows = [r[:-1] for r in asked]
        _, cost = memory.hidden(rows, [[len(row) - 1] for row in rows])
        kept, places = memory.keys_and_values(rows)
        for root, reused, place in zip(asked, cost.reused, places):
            if place is not None:
                self.roots[root], self.recalled[root] = (kept, place), reused
        return [r for r in roots if r not in self.roots]

    def _prefill(self, roots: list[Ids]) -> None:
        """Compute all but the last token of each root: right-padded, so that no mask is needed."""
        roots = sorted((r for r in roots if len(r) > 1), key=len, reverse=True)
        device = self.engine.model.device
        while roots:
            longest = len(roots[0]) - 1
            count = max(1, min(len(roots), PREFILL[device.type == "cuda"] // longest))
            chunk, roots = roots[:count], roots[count:]
            padded = np.zeros((len(chunk), longest), np.int64)
            for k, root in enumerate(chunk):
                padded[k, : len(root) - 1] = root[:-1]
            source = DynamicCache()
            self.engine.forward(torch.as_tensor(padded, device=device), past_key_values=source)
            computed: Computed = [(layer.keys, layer.values) for layer in source.layers]  # type: ignore
            for k, root in enumerate(chunk):
                self.roots[root] = (computed, k)

    # decoding

    def _step(self) -> Iterator[tuple[int, Output]]:
        cache, n = self.cache, len(self.entries)
        if cache.column >= cache.length:
            self._shift()
        column, device = cache.column, self.engine.model.device
        masks = {w: cache.mask_for(w) for w in set(cache.windows)}
        mask: Any = masks[cache.windows[0]]
        if self.by_type is not None:
            mask = {kind: masks[w] for kind, w in zip(self.by_type, cache.windows)}
        with self.groups.reading(n, cache.mask.dtype) if self.groups else nullcontext():
            logits = self.engine.forward(
                torch.as_tensor(self.ids[:n, column : column + 1], device=device),
                attention_mask=mask,
                position_ids=torch.as_tensor((column - self.start[:n])[:, None], device=device),
                past_key_values=cache,
            ).logits[:, -1]
        column += 1
        if self.engine.adjust is not None:
            logits = self.engine.adjust(logits, [self._so_far(row) for row in range(n)])
        drawn = uniforms(self.stream[:n], column - self.first[:n])
        tokens, logprobs = choose(logits, drawn, self.temperature[:n], self.top_p[:n], self.top_k[:n])
        self.ids[:n, column], self.logprobs[:n, column] = tokens, logprobs
        cache.column = column
        finished = self._finished(tokens, logprobs)
        for row, reason in finished.items():
            yield self.entries[row].index, self._output(row, reason)
        if finished:
            self._drop(finished)

    def _so_far(self, row: int) -> tuple[Task, list[int]]:
        sampled = self.ids[row, self.first[row] : self.cache.column + 1]
        return self.tasks[self.entries[row].index], sampled.tolist()

    def _finished(self, tokens: np.ndarray, logprobs: np.ndarray) -> dict[int, str]:
        n, after = len(tokens), self.cache.column + 1
        reasons = dict.fromkeys(np.flatnonzero(self.end[:n] <= after).tolist(), "limit")
        for row in self._watched(tokens):
            stopped = self.tasks[self.entries[row].index].stopped
            if stopped is not None and stopped(self.ids[row, self.first[row] : after].tolist()):
                reasons[row] = "stop"
        reasons |= dict.fromkeys(np.flatnonzero(self.is_eos[tokens]).tolist(), "eos")
        reasons |= dict.fromkeys(np.flatnonzero(~np.isfinite(logprobs)).tolist(), "not-finite")
        return reasons

    def _watched(self, tokens: np.ndarray) -> list[int]:
        """Rows whose last token may have completed a stop string."""
        hit = np.zeros(len(tokens), bool)
        for kind, watch in enumerate(self.watches):
            hit |= watch[tokens] & (self.watch[: len(tokens)] == kind)
        return np.flatnonzero(hit).tolist()

    def _output(self, row: int, reason: str) -> Output:
        sampled = slice(self.first[row], self.cache.column + 1)
        entry = self.entries[row]
        before = len(entry.prefix) - entry.prefilled  # what the entry computes of its root stands behind this
        known = min(max(self.recalled.get(entry.root, 0) - before, 0), entry.prefilled)
        return Output(
            self.ids[row, sampled].tolist(),
            self.logprobs[row, sampled].tolist(),
            reason,
            entry.prefilled - known,
            entry.reused + known,
        )

    def _drop(self, finished: dict[int, str]) -> None:
        """Fill the finished rows' places with the last live ones."""
        cache, n = self.cache, len(self.entries)
        bad = [row for row, reason in finished.items() if reason == "not-finite"]
        if bad:
            cache.wipe(bad)
        left = n - len(finished)
        target = sorted(row for row in finished if row < left)
        source = [row for row in range(left, n) if row not in finished]
        if target:
            cache.move(source, target)
            for state in self._row_state():
                state[target] = state[source]
            for to, row in zip(target, source):
                self.entries[to] = self.entries[row]
        del self.entries[left:]
        cache.rows = left
        if left:
            cache.low = int(self.begin[:left].min())
            if self.groups and left * 2 < self.groups.assigned:
                self._regroup()

    def _row_state(self) -> tuple[np.ndarray, ...]:
        sampling = (self.stream, self.temperature, self.top_p, self.top_k, self.watch)
        columns = (self.start, self.begin, self.first, self.end)
        groups = self.groups.state() if self.groups else ()
        return *columns, *groups, *sampling, self.ids, self.logprobs
