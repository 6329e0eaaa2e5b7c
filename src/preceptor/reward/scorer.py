"""`PRM`: a trained discriminative process reward model as a scorer.

Rows of all traces are sorted by length, padded on the right under a token budget and read in one forward
pass a batch; identical rows are computed once. Cost: one forward pass over prompt and steps per trace,
whatever the number of steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from preceptor.errors import InputError, ItemError, ModelError
from preceptor.judgement import Judgement, Question, Source
from preceptor.reward.format import KEY, Format
from preceptor.reward.link import LINKS
from preceptor.reward.render import Rendered, Row, SeparatorRenderer
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class PRM:
    """Scores every step with the model's probability that it is good."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fmt: Format,
        source: Source,
        *,
        batch_tokens: int = 4096,
    ):
        from preceptor.reward.readout import looks_right

        self.model, self.tokenizer, self.format = model, tokenizer, fmt
        self._source, self.batch_tokens = source, batch_tokens
        self.render = SeparatorRenderer(tokenizer, fmt.separator_id, fmt.max_length)
        self.causal = not looks_right(model)
        self._lock = Lock()
        self._flops_per_token = 2.0 * model.num_parameters(exclude_embeddings=True)

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        device: str | None = None,
        dtype: str = "auto",
        batch_tokens: int = 4096,
        fmt: Format | None = None,
    ) -> PRM:
        """Open a directory; `dtype` "auto" keeps the checkpoint's. `fmt` is for one that has no record."""
        import torch

        from preceptor.policy.checkpoint import model_fingerprint
        from preceptor.reward import head

        directory = Path(directory)
        model, tokenizer = head.load(directory, dtype=dtype)
        record = getattr(model.config, KEY, None)
        if fmt is not None:
            record = fmt.to_record()
        if record is None:
            raise InputError(
                f"{directory}: config.json has no {KEY!r} record, so the separator is unknown. Give it: "
                "load_scorer(directory, separator=...)."
            )
        fmt = Format.from_record(record)
        if LINKS[fmt.link].width != model.config.num_labels:
            raise ModelError(
                f"{directory}: got a head of width {model.config.num_labels}, expected "
                f"{LINKS[fmt.link].width} for the link {fmt.link!r}"
            )
        if head.token_id(tokenizer, fmt.separator) != fmt.separator_id:
            raise ModelError(
                f"{directory}: the separator {fmt.separator!r} is not token {fmt.separator_id} of the "
                "tokenizer. Put the tokenizer back that the model was trained with."
            )
        weights = model_fingerprint(model, tokenizer, ())
        source = Source.of("prm", weights=weights, format=fmt.to_record())
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.nn.Module.to(model, place)
        return cls(model, tokenizer, fmt, source, batch_tokens=batch_tokens)

    @property
    def source(self) -> Source:
        return self._source

    @property
    def question(self) -> Question:
        return self.format.question

    def __repr__(self) -> str:
        size = self.model.num_parameters() / 1e6
        return f"<PRM {self.question.value}, {size:.1f}M parameters, reads {self.format.separator!r}>"

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace. A step whose score is not a number, or that does not fit the context,
        is None and the judgement's `error` names it; a trace without steps has `scores == ()`."""
        with self._lock:  # a tokenizer must not be used by two threads at a time
            return self._score(traces)

    def _score(self, traces: Sequence[Trace]) -> list[Judgement]:
        begin = time.perf_counter()
        rendered = [self.render(trace) for trace in traces]
        payer: dict[Row, int] = {}
        for i, r in enumerate(rendered):
            for row in r.rows:
                payer.setdefault(row, i)
        scores = dict(zip(payer, self.score_rows(list(payer)), strict=True))
        share = (time.perf_counter() - begin) / max(len(traces), 1)
        return [
            self._judgement(trace, r, scores, self._usage(r, {x for x in r.rows if payer[x] == i}, share))
            for i, (trace, r) in enumerate(zip(traces, rendered, strict=True))
        ]

    def score_rows(self, rows: Sequence[Row]) -> list[list[float]]:
        """Scores at the readouts of each row, NaN included; the order of the rows does not matter."""
        import torch

        from preceptor.reward.readout import collate, read, token_batches

        link = LINKS[self.format.link].score
        out: list[list[float]] = [[] for _ in rows]
        with torch.inference_mode():
            for indices in token_batches([len(r.token_ids) for r in rows], self.batch_tokens):
                batch = {k: v.to(self.model.device) for k, v in collate([rows[i] for i in indices]).items()}
                values = link(read(self.model, batch, causal=self.causal)).tolist()
                for i, row_values in zip(indices, values, strict=True):
                    out[i] = row_values[: len(rows[i].positions)]
        return out

    def _judgement(
        self, trace: Trace, rendered: Rendered, scores: dict[Row, list[float]], usage: Usage
    ) -> Judgement:
        values: list[float | None] = [None] * len(trace.steps)
        broken: list[int] = []
        for row in rendered.rows:
            for t, value in zip(row.steps, scores[row], strict=True):
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

    def _usage(self, rendered: Rendered, own: set[Row], seconds: float) -> Usage:
        scored = sum(len(row.token_ids) for row in own)
        total = sum(len(row.token_ids) for row in rendered.rows)
        return Usage(
            scored=scored,
            reused=total - scored,
            calls=1,
            seconds=seconds,
            flops=scored * self._flops_per_token,
        )
