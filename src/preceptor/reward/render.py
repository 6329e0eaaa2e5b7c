"""From a trace to token ids with a known readout position per step.

A layout (`layout.py`) turns a problem and its steps into pieces of ids; here they become rows. Every piece is
encoded apart and joined by hand, so positions are known by construction: nothing is searched for, and no
text a policy writes can move a readout or add one.

A trace longer than the model's context is read through windows: the prompt, and as many steps as fit.
When a step does not fit any more, the next window starts with that step behind up to half a window of
the steps before it. Where a window starts depends only on what stands before, so scores keep the prefix
property, and every step is read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from preceptor.errors import ItemError
from preceptor.reward.layout import Encoder, Layout, Pieces
from preceptor.trace import Finish, Trace, steps_from_ends

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Row:
    """One sequence for the model: step `steps[k]` of the trace is read at index `positions[k]`, and its first
    token stands at `begins[k]`."""

    token_ids: tuple[int, ...]
    positions: tuple[int, ...]
    steps: tuple[int, ...]
    begins: tuple[int, ...] = ()
    following: tuple[int, ...] = ()
    """The token behind each readout, -1 for none: what heads on next tokens are asked about. It need not be
    in `token_ids`."""
    branches: tuple[int, ...] = ()
    """The last `len(branches)` tokens of the row are no continuation: the k-th stands in place of the token at
    `branches[k]`, and sees only what stands before that. For training (see `readout.tree_mask`)."""

    @property
    def next_ids(self) -> tuple[int, ...]:
        """`following`, or the tokens of the row behind its readouts where that is not given."""
        ids = self.token_ids
        return self.following or tuple(ids[p + 1] if p + 1 < len(ids) else -1 for p in self.positions)


@dataclass(frozen=True)
class Rendered:
    """What to compute for one trace. Steps in no row have no score; `error` says why."""

    rows: tuple[Row, ...]
    flags: tuple[str, ...] = ()
    error: ItemError | None = None


class Renderer:
    """`renderer(trace) -> Rendered`.

    `whole`: an outcome model's view, all steps in one, read once; the score belongs to the last step.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        layout: Layout,
        max_length: int,
        *,
        whole: bool = False,
    ):
        self.tokenizer, self.layout, self.max_length, self.whole = tokenizer, layout, max_length, whole
        self.encoder = Encoder(tokenizer)
        added = tokenizer.added_tokens_decoder.values()
        self._tag = layout.tag if layout.tag.strip() else ""
        special = {t.content for t in added if t.special} | ({self._tag} - {""})
        longest_first = sorted(special, key=lambda s: (-len(s), s))
        self._special = re.compile("|".join(map(re.escape, longest_first))) if special else None

    def __call__(self, trace: Trace) -> Rendered:
        if self.whole and len(trace.steps) > 1:
            rendered = self(replace(trace, steps=steps_from_ends([len(trace.text)])))
            more = len(trace.steps) - 1
            return replace(
                rendered,
                rows=tuple(replace(row, steps=tuple(t + more for t in row.steps)) for row in rendered.rows),
            )
        if getattr(self.layout, "needs_reference", False) and trace.problem.gold is None:
            why = "the problem has no gold answer, which this model is shown"
            return Rendered((), (), ItemError("no-reference", why))
        pieces = self._pieces(trace, 0, len(trace.steps) + 1)
        heads, tails = pieces.heads, pieces.tails
        spans = windows(
            [len(h) for h in heads], [len(t) for t in tails], self.max_length - len(pieces.prompt)
        )
        if len(spans) == 1 and spans[0] == Span(0, 0, len(heads)):
            rows: tuple[Row, ...] = (_row(pieces, spans[0]),)
        else:
            rows = tuple(_row(self._pieces(trace, s.start, s.end), s) for s in spans)
        read = {t for row in rows for t in row.steps}
        unread = [t for t in range(len(heads)) if t not in read]
        flags = [*self._flags(trace), *(["windowed"] if len(rows) > 1 else [])]
        return Rendered(rows, tuple(flags), self._too_long(unread, len(pieces.prompt)))

    def _pieces(self, trace: Trace, start: int, end: int) -> Pieces:
        """Of the steps `[start, end)`. The readout of a whole, finished trajectory is one step more."""
        inside = slice(start, end)
        seen = [s.observation for s in trace.steps[inside]]
        pieces = self.layout.pieces(self.encoder, trace.problem, trace.step_texts[inside], seen, start)
        if not pieces.end or not trace.steps or end <= len(trace.steps) or trace.finish is not Finish.STOP:
            return pieces
        return replace(pieces, heads=(*pieces.heads, pieces.end), tails=(*pieces.tails, ()))

    def _too_long(self, unread: Sequence[int], prompt: int) -> ItemError | None:
        if not unread:
            return None
        shown = f"{list(unread[:5])}{' ...' if len(unread) > 5 else ''}"
        return ItemError(
            "too-long",
            f"steps {shown} do not fit the context of {self.max_length} tokens beside a prompt of {prompt}",
        )

    def _flags(self, trace: Trace) -> list[str]:
        if self._special is None:
            return []
        # A tag may begin with the blank that layouts put before a step.
        written = [
            f" {text.strip()}" for text in (*trace.step_texts, *(s.observation or "" for s in trace.steps))
        ]
        found = set(self._special.findall("\n".join(written)))
        flags = ["neutralised-separator"] if self._tag and self._tag in found else []
        return flags + (["neutralised-special-token"] if found - {self._tag} else [])


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


def _row(pieces: Pieces, span: Span) -> Row:
    """`pieces` are those of the steps `[span.start, span.end)`."""
    ids, positions, begins, following = list(pieces.prompt), [], [], []
    for k, (head, tail) in enumerate(zip(pieces.heads, pieces.tails, strict=True)):
        begin = len(ids)
        ids += head
        if span.start + k >= span.first:
            begins.append(begin)
            positions.append(max(len(ids) - 1, 0))
            behind = (*tail, *(i for head in pieces.heads[k + 1 : k + 2] for i in head))
            following.append(behind[0] if behind else -1)
        if k < len(pieces.heads) - 1:
            ids += tail
    steps = tuple(range(span.first, span.end))
    return Row(tuple(ids), tuple(positions), steps, tuple(begins), tuple(following))


def with_trajectory(found: Mapping[int, float], steps: int, alpha: float) -> dict[int, float]:
    """Scores of `steps` steps: each plus `alpha` times the trajectory's, which `found` holds under the index
    behind the last step, where it was read. Their mean is the published mean of the steps + alpha * it."""
    more = alpha * found.get(steps, 0.0) if alpha else 0.0
    return {t: value + more for t, value in found.items() if t < steps}
