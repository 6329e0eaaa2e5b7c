"""From a trace to token ids with a known readout position per step.

Layout: prompt ids, then for every step its own ids and the separator *id*, then the observation that
followed, if any. Steps are encoded apart and the separator is appended by hand, so positions are known
by construction: nothing is searched for, and no text a policy writes can move a readout.

A trace longer than the model's context is read through windows: the prompt, and as many steps as fit.
When a step does not fit any more, the next window starts with that step behind up to half a window of
the steps before it. Where a window starts depends only on what stands before, so scores keep the prefix
property, and every step is read once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from preceptor.errors import ItemError
from preceptor.policy.render import prompt_ids, text_ids
from preceptor.trace import Trace

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Row:
    """One sequence for the model: step `steps[k]` of the trace is read at index `positions[k]`."""

    token_ids: tuple[int, ...]
    positions: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Rendered:
    """What to compute for one trace. Steps in no row have no score; `error` says why."""

    rows: tuple[Row, ...]
    flags: tuple[str, ...] = ()
    error: ItemError | None = None


class SeparatorRenderer:
    """`renderer(trace) -> Rendered`."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, separator_id: int, max_length: int):
        self.tokenizer, self.separator_id, self.max_length = tokenizer, separator_id, max_length
        added = tokenizer.added_tokens_decoder
        self._reserved = separator_id in added
        self._separator = added[separator_id].content if self._reserved else ""
        special = {t.content for t in added.values() if t.special} | {self._separator} - {""}
        longest_first = sorted(special, key=lambda s: (-len(s), s))
        self._special = re.compile("|".join(map(re.escape, longest_first))) if special else None
        self._prompt = lru_cache(maxsize=4096)(lambda problem: tuple(prompt_ids(tokenizer, problem)))
        self._text = lru_cache(maxsize=1 << 14)(self._encode)

    def __call__(self, trace: Trace) -> Rendered:
        prompt = self._prompt(trace.problem)
        heads = [(*self._text(text.rstrip()), self.separator_id) for text in trace.step_texts]
        tails = [self._text(s.observation) if s.observation else () for s in trace.steps]
        room = self.max_length - len(prompt)
        spans = windows([len(h) for h in heads], [len(t) for t in tails], room)
        rows = tuple(_row(prompt, heads, tails, span) for span in spans)
        read = {t for row in rows for t in row.steps}
        unread = [t for t in range(len(heads)) if t not in read]
        flags = [*self._flags(trace), *(["windowed"] if len(rows) > 1 else [])]
        error = None
        if unread:
            shown = f"{unread[:5]}{' ...' if len(unread) > 5 else ''}"
            error = ItemError(
                "too-long",
                f"steps {shown} do not fit the context of {self.max_length} tokens beside a prompt of "
                f"{len(prompt)}",
            )
        return Rendered(rows, tuple(flags), error)

    def _encode(self, text: str) -> tuple[int, ...]:
        ids = text_ids(self.tokenizer, text)
        # An added token that is not marked special is not split by `text_ids`: leave the policy's copy out.
        return tuple(i for i in ids if i != self.separator_id) if self._reserved else tuple(ids)

    def _flags(self, trace: Trace) -> list[str]:
        if self._special is None:
            return []
        written = trace.text + "".join(s.observation or "" for s in trace.steps)
        found = set(self._special.findall(written))
        flags = ["neutralised-separator"] if self._separator in found else []
        return flags + (["neutralised-special-token"] if found - {self._separator} else [])


@dataclass(frozen=True)
class Span:
    """A window over the steps `[start, end)` in which those from `first` on are read."""

    start: int
    first: int
    end: int


def windows(heads: Sequence[int], tails: Sequence[int], room: int) -> list[Span]:
    """Cover the steps with windows of at most `room` tokens; a step larger than that is in none.

    `heads[t]` counts the tokens of step t up to its readout, `tails[t]` those after it.

    >>> windows([4, 4, 4, 4], [0, 0, 0, 0], room=9)
    [Span(start=0, first=0, end=2), Span(start=1, first=2, end=3), Span(start=2, first=3, end=4)]
    """
    begin = [0, *accumulate(h + t for h, t in zip(heads, tails, strict=True))]
    spans: list[Span] = []
    start = first = 0
    for t, head in enumerate(heads):
        if begin[t] - begin[start] + head <= room:
            continue
        if t > first:
            spans.append(Span(start, first, t))
        if head > room:
            start = first = t + 1
            continue
        context = min(room // 2, room - head)
        first = t
        while begin[t] - begin[start] > context:
            start += 1
    if first < len(heads):
        spans.append(Span(start, first, len(heads)))
    return spans


def _row(
    prompt: tuple[int, ...], heads: list[tuple[int, ...]], tails: list[tuple[int, ...]], span: Span
) -> Row:
    ids, positions = list(prompt), []
    for t in range(span.start, span.end):
        ids += heads[t]
        if t >= span.first:
            positions.append(len(ids) - 1)
        if t < span.end - 1:
            ids += tails[t]
    return Row(tuple(ids), tuple(positions), tuple(range(span.first, span.end)))
