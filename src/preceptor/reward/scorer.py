"""`PRM`: a trained discriminative reward model as a scorer.

Rows of all traces go through one packed forward pass (`preceptor.policy.packed`): nothing is padded, what rows
have in common at their beginning is computed once, and the head sees the readouts alone. Cost: the distinct
tokens of prompts and steps, whatever the number of steps. With `cache_tokens`, beams that grew since the last
call cost their new steps only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from preceptor.errors import InputError, ItemError, ModelError
from preceptor.judgement import Judgement, Question, Source
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from preceptor.policy.packed import Cost
    from preceptor.reward.format import Format
    from preceptor.reward.model import StepModel
    from preceptor.reward.render import Rendered, Row


class PRM:
    """Scores every step with the model's probability that it is good."""

    def __init__(
        self,
        model: StepModel,
        tokenizer: PreTrainedTokenizerBase,
        fmt: Format,
        source: Source,
        *,
        batch_tokens: int = 8192,
        cache_tokens: int = 0,
    ):
        from preceptor.policy.packed import PackedForward
        from preceptor.reward.render import Renderer

        self.model, self.tokenizer, self.format = model, tokenizer, fmt
        self._source = source
        self.render = Renderer(tokenizer, fmt.layout, fmt.max_length, whole=fmt.whole)
        self.forward = PackedForward(model.body, max_tokens=batch_tokens, cache_tokens=cache_tokens)
        self._lock = Lock()
        self._flops_per_token = 2.0 * model.dense_parameters()

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        device: str | None = None,
        dtype: str = "auto",
        batch_tokens: int = 8192,
        cache_tokens: int = 0,
        fmt: Format | None = None,
    ) -> PRM:
        """Open a directory; `dtype` "auto" keeps the checkpoint's.

        `fmt`: how it is read, for a checkpoint that does not carry a record of its own; `batch_tokens`: tokens
        of one forward pass; `cache_tokens`: tokens whose keys and values are kept for the next call.
        """
        from preceptor.policy.checkpoint import model_fingerprint
        from preceptor.reward import model as models
        from preceptor.reward.format import KEY, Format, context_length
        from preceptor.reward.layout import Tagged, tag_ids

        directory = Path(directory)
        if fmt is None:
            record = getattr(models.read_config(directory), KEY, None)
            if record is None:
                raise InputError(
                    f"{directory}: config.json has no {KEY!r} record, so how it is read is unknown. Name its "
                    "format: load_scorer(directory, format=...); `preceptor formats` lists them."
                )
            fmt = Format.from_record(record)
        model, tokenizer = models.load(directory, fmt, dtype=dtype, device=device)
        layout = fmt.layout
        own_record = getattr(model.config, KEY, None) is not None
        if own_record and isinstance(layout, Tagged) and tag_ids(tokenizer, layout.tag) != layout.ids:
            raise ModelError(
                f"{directory}: the separator {layout.tag!r} is not token {layout.ids} of the tokenizer. Put the "
                "tokenizer back that the model was trained with."
            )
        fmt = fmt.within(context_length(model.config))
        weights = model_fingerprint(model, tokenizer, ())
        source = Source.of(fmt.name or "prm", weights=weights, format=fmt.to_record())
        return cls(model, tokenizer, fmt, source, batch_tokens=batch_tokens, cache_tokens=cache_tokens)

    @property
    def source(self) -> Source:
        return self._source

    @property
    def question(self) -> Question:
        return self.format.question

    def __repr__(self) -> str:
        size = self.model.dense_parameters() / 1e6
        return f"<PRM {self.question.value}, {size:.1f}M parameters, format {self.format.name or 'unnamed'}>"

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace. A step whose score is not a number, or that does not fit the context,
        is None and the judgement's `error` names it; a trace without steps has `scores == ()`."""
        with self._lock:  # a tokenizer must not be used by two threads at a time
            return self._score(traces)

    def _score(self, traces: Sequence[Trace]) -> list[Judgement]:
        begin = time.perf_counter()
        rendered = [self.render(trace) for trace in traces]
        rows = [row for r in rendered for row in r.rows]
        scores, cost = self._read(rows)
        share = (time.perf_counter() - begin) / max(len(traces), 1)
        out, at = [], 0
        for trace, r in zip(traces, rendered, strict=True):
            own = slice(at, at + len(r.rows))
            at += len(r.rows)
            computed = sum(cost.computed[own])
            usage = Usage(
                scored=computed,
                reused=sum(cost.reused[own]),
                calls=1,
                seconds=share,
                flops=computed * self._flops_per_token,
            )
            out.append(self._judgement(trace, r, scores[own], usage))
        return out

    def score_rows(self, rows: Sequence[Row]) -> list[list[float]]:
        """Scores at the readouts of each row, NaN included; the order of the rows does not matter."""
        return self._read(rows)[0]

    def _read(self, rows: Sequence[Row]) -> tuple[list[list[float]], Cost]:
        import torch

        states, cost = self.forward.hidden([r.token_ids for r in rows], [r.positions for r in rows])
        if not states:
            return [], cost
        with torch.inference_mode():
            values = self.format.link.score(self.model.outputs(torch.cat(states))).tolist()
        ends = [0, *accumulate(len(r.positions) for r in rows)]
        scores = [values[a:b] for a, b in pairwise(ends)]
        if len(rows) > 1 and not all(map(math.isfinite, values)):
            # A row may have its NaN from the rows it shares its beginning with: those are read alone.
            self.forward.clear()
            for i, row in enumerate(rows):
                if not all(map(math.isfinite, scores[i])):
                    scores[i] = self._read([row])[0][0]
        return scores, cost

    def _judgement(
        self, trace: Trace, rendered: Rendered, scores: Sequence[Sequence[float]], usage: Usage
    ) -> Judgement:
        values: list[float | None] = [None] * len(trace.steps)
        broken: list[int] = []
        for row, found in zip(rendered.rows, scores, strict=True):
            for t, value in zip(row.steps, found, strict=True):
                if math.isfinite(value):
                    values[t] = value
                else:
                    broken.append(t)
        error = rendered.error
        if broken:
            error = ItemError("nan-score", f"the model's score of steps {broken[:5]} is not a number")
        nothing = bool(values) and all(v is None for v in values)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if nothing else tuple(values),
            flags=rendered.flags,
            usage=Ledger(scorer=usage),
            error=error,
        )
