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
        allow_pickle: bool = False,
    ) -> PRM:
        """Open a directory; `dtype` "auto" keeps the checkpoint's.

        `fmt`: how it is read, for a checkpoint that does not carry a record of its own; `batch_tokens`: tokens
        of one forward pass; `cache_tokens`: tokens whose keys and values are kept for the next call;
        `allow_pickle`: read a head that is only there as a pickled file, tensors and nothing else.
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
        model, tokenizer = models.load(directory, fmt, dtype=dtype, device=device, allow_pickle=allow_pickle)
        layout = fmt.layout
        if isinstance(layout, Tagged) and layout.single and len(tag_ids(tokenizer, layout.tag)) != 1:
            raise ModelError(
                f"{directory}: its tokenizer makes the tokens {tag_ids(tokenizer, layout.tag)} of the tag "
                f"{layout.tag!r}, expected one. Use the tokenizer that the model was trained with."
            )
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

    def remember(self, tokens: int) -> None:
        """Keep the keys and values of so many tokens for the next call, so that beams which grew cost their
        new steps only; 0 forgets. Memory: 2 x layers x key heads x head size numbers a token."""
        from preceptor.policy.packed import PackedForward

        self.forward = PackedForward(self.model.body, max_tokens=self.forward.max_tokens, cache_tokens=tokens)

    @property
    def causal(self) -> bool:
        """Whether a step's score may depend on what stands before it only."""
        return self.forward.causal

    def __repr__(self) -> str:
        size = self.model.dense_parameters() / 1e6
        return f"<PRM {self.question.value}, {size:.1f}M parameters, format {self.format.name or 'unnamed'}>"

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace. A step whose score is not a number, or that does not fit the context,
        is None and the judgement's `error` names it; a trace without steps has `scores == ()`.

        Where the layout reads the trajectory too, its score stands in the last step's `rationale`; a trace
        that has none although scores want it (it is not finished) has the flag `no-trajectory`."""
        with self._lock:  # a tokenizer must not be used by two threads at a time
            return self._score(traces)

    def _score(self, traces: Sequence[Trace]) -> list[Judgement]:
        begin = time.perf_counter()
        rendered = [self.render(trace) for trace in traces]
        rows = [row for r in rendered for row in r.rows]
        scores, cost = self.read_rows(rows)
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
        return self.read_rows(rows)[0]

    def read_rows(self, rows: Sequence[Row]) -> tuple[list[list[float]], Cost]:
        """`score_rows`, and the tokens each row cost."""
        import torch

        states, cost = self.forward.hidden([r.token_ids for r in rows], [r.positions for r in rows])
        if not states:
            return [], cost
        with torch.inference_mode():
            given = torch.cat(states)
            following = [i for r in rows for i in r.next_ids] if self.model.reads_next_token else []
            asked = torch.tensor(following, device=given.device).clamp(min=0) if following else None
            values = self.format.link.score(self.model.outputs(given, asked)).tolist()
            values = [v if i >= 0 else math.nan for v, i in zip(values, following)] if following else values
        ends = [0, *accumulate(len(r.positions) for r in rows)]
        scores = [values[a:b] for a, b in pairwise(ends)]
        if len(rows) > 1 and not all(map(math.isfinite, values)):
            # A row may have its NaN from the rows it shares its beginning with: those are read alone.
            self.forward.clear()
            for i, row in enumerate(rows):
                if not all(map(math.isfinite, scores[i])):
                    scores[i] = self.read_rows([row])[0][0]
        return scores, cost

    def _judgement(
        self, trace: Trace, rendered: Rendered, scores: Sequence[Sequence[float]], usage: Usage
    ) -> Judgement:
        from preceptor.reward.render import with_trajectory

        steps, alpha = len(trace.steps), self.format.trajectory
        read = {
            t: value
            for row, of_row in zip(rendered.rows, scores, strict=True)
            for t, value in zip(row.steps, of_row, strict=True)
        }
        found = with_trajectory(read, steps, alpha)
        values = [found[t] if math.isfinite(found.get(t, math.nan)) else None for t in range(steps)]
        broken = [t for t, value in read.items() if not math.isfinite(found.get(t, value))]
        error = rendered.error
        if broken:
            error = ItemError("nan-score", f"the model's score of steps {broken[:5]} is not a number")
        nothing = bool(values) and all(v is None for v in values)
        whole, flags, why = read.get(steps), rendered.flags, None
        if whole is not None and math.isfinite(whole) and not nothing:
            why = (*[None] * (steps - 1), f"trajectory {whole:.6g}")
        elif alpha and values and whole is None:
            flags = (*flags, "no-trajectory")
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if nothing else tuple(values),
            rationale=why,
            flags=flags,
            usage=Ledger(scorer=usage),
            error=error,
        )
