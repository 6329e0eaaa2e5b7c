"""A reward model behind a vLLM server (`POST /pooling`) as a scorer.

Two ways of asking. With the model's tokenizer at hand (`tokenizer`), rows are rendered here and sent as token
ids: exactly the ids a local model reads, windows included. Without, the chat's messages are sent as text and the
server tokenizes them; then anything in a problem or a step that could become a special token is broken up
with a blank, and reported as a flag.

What the server pools (`pooling`): `"step"`, the documented default of Qwen's PRM, one row of activated values per
tag, `data[0].data` of shape [tags, 2]; `"all"`, one row of raw values per token, which needs the ids. Rows are
counted before anything is read from them: a number that is not the number of tags (tokens) is the item error
`count-mismatch`, never a shifted score. Values that should be probabilities and are not are `not-activated`.

WARNING: a *language model* used as a PRM (Math-Shepherd, RLHFlow, every verbalizer) cannot be read this way. vLLM
0.6.4 pooled its logits; later versions delete the output table and pool hidden states, so `returned_token_ids`
index hidden features and the numbers mean nothing (vLLM issue 16545). Such formats are refused here. Verify any
served model against a local one on an example.

Cost: one call per row. Left out: streaming, and judges that generate (`judges/`).
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import httpx

from preceptor.errors import InputError, ItemError
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy.retry import CallFailed, Calls, run_to_end
from preceptor.reward.format import Format
from preceptor.reward.link import Link
from preceptor.reward.remote_wire import chat_of, check_activated, pooling_url, readable, rows_of
from preceptor.reward.render import Rendered, Renderer, Row
from preceptor.trace import Trace
from preceptor.usage import Ledger, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Ask:
    """One call: what is sent, how many rows must come back, and which of them are read for which steps."""

    body: bytes
    rows: int
    reads: tuple[int, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    scores: tuple[float, ...] = ()
    usage: Usage = field(default_factory=Usage)
    error: ItemError | None = None


@dataclass(eq=False)
class PoolingScorer:
    """Scores every step by calling the server at `base_url` (`http://HOST:PORT`, with or without `/v1`)."""

    base_url: str
    model: str
    format: Format
    _: KW_ONLY
    tokenizer: PreTrainedTokenizerBase | None = None
    """The served model's tokenizer: rows are sent as ids. None: as messages."""
    pooling: Literal["step", "all"] = "step"
    max_length: int | None = None
    """Tokens the server takes; longer traces are read through windows. Used with `tokenizer` only."""
    activated: bool | None = None
    """Whether the server applies softmax or sigmoid itself. None: for `step` pooling, yes; for `all`, no."""
    concurrency: int = 16
    """Calls in flight at most."""
    timeout: float = 120.0
    """Seconds for one attempt in all."""
    retries: int = 4
    """Attempts after the first."""
    max_wait: float = 600.0
    """Seconds for one call over all attempts and waits."""
    api_key: str | None = field(default=None, repr=False)
    """None reads `OPENAI_API_KEY`; no key is sent when that is unset."""

    def __post_init__(self) -> None:
        self.api_key = self.api_key or os.environ.get("OPENAI_API_KEY") or None
        self.url = pooling_url(self.base_url)
        if self.concurrency < 1 or self.retries < 0 or min(self.timeout, self.max_wait) <= 0:
            raise InputError(
                f"{self!r}: expected concurrency >= 1, retries >= 0, timeout > 0 and max_wait > 0 (seconds)"
            )
        self._columns = readable(self.format, self.pooling, self.tokenizer is not None)
        self._render = None
        if self.tokenizer is not None:
            fmt = self.format if self.max_length is None else self.format.within(self.max_length)
            self._render = Renderer(self.tokenizer, fmt.layout, fmt.max_length, whole=fmt.whole)
            if self.pooling == "step" and len(self._render.encoder.tag_ids(fmt.layout.tag)) != 1:
                raise InputError(
                    f"tokenizer: makes the tokens {self._render.encoder.tag_ids(fmt.layout.tag)} of the tag "
                    f"{fmt.layout.tag!r}, expected one. Give the tokenizer of the served model."
                )
        self._lock = Lock()

    @property
    def question(self) -> Question:
        return self.format.question

    @cached_property
    def source(self) -> Source:
        """Of address, model name and format. Weights swapped behind the same name do not show in it."""
        return Source.of(
            f"vllm-{self.format.name or 'prm'}",
            server=[self.url, self.model],
            format=self.format.to_record(),
            how=[self.pooling, self._activated, self.tokenizer is not None, self.max_length],
        )

    @property
    def _activated(self) -> bool:
        return self.pooling == "step" if self.activated is None else self.activated

    def score(self, traces: Sequence[Trace]) -> list[Judgement]:
        """One judgement per trace, in order. Item errors, beside those of the renderer: `count-mismatch`,
        `not-activated`, `nan-score`, `bad-body`, `timeout`, `connection`, `truncated-body`, `http-STATUS`.
        Raises `ServerUnreachable` when no call could be connected."""
        began = time.perf_counter()
        with self._lock:  # a tokenizer must not be used by two threads at a time
            asked = [self._asks(trace) for trace in traces]
        wanted = list(dict.fromkeys(ask.body for asks, *_ in asked for ask in asks))
        by_body = {ask.body: ask for asks, *_ in asked for ask in asks}
        answers = run_to_end(lambda: self._all([by_body[body] for body in wanted])) if wanted else []
        found = dict(zip(wanted, answers, strict=True))
        payer: dict[bytes, int] = {}
        for i, (asks, *_) in enumerate(asked):
            for ask in asks:
                payer.setdefault(ask.body, i)
        share = Usage(seconds=(time.perf_counter() - began) / max(len(traces), 1))
        return [
            self._judge(trace, *asked[i], found, share, {b for b in payer if payer[b] == i})
            for i, trace in enumerate(traces)
        ]

    def _asks(self, trace: Trace) -> tuple[list[Ask], tuple[str, ...], ItemError | None]:
        """The trace's calls, flags, and what could not be rendered."""
        if self._render is None:
            if not trace.steps:
                return [], (), None
            messages, flags = chat_of(self.format.layout, trace)
            body = self._body(messages=messages)
            n = len(trace.steps)
            return [Ask(body, n, tuple(range(n)), tuple(range(n)))], flags, None
        rendered: Rendered = self._render(trace)
        return [self._of_row(row) for row in rendered.rows], rendered.flags, rendered.error

    def _of_row(self, row: Row) -> Ask:
        assert self._render is not None
        body = self._body(input=list(row.token_ids))
        if self.pooling == "all":
            return Ask(body, len(row.token_ids), row.positions, row.steps)
        (tag,) = self._render.encoder.tag_ids(self.format.layout.tag)
        places = {at: k for k, at in enumerate(i for i, t in enumerate(row.token_ids) if t == tag)}
        return Ask(body, len(places), tuple(places[at] for at in row.positions), row.steps)

    def _body(self, **what: Any) -> bytes:
        return json.dumps({"model": self.model, "encoding_format": "float", **what}).encode("ascii")

    async def _all(self, asks: Sequence[Ask]) -> list[Answer]:
        done: dict[int, Answer] = {}
        todo = iter(range(len(asks)))
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency)
        async with httpx.AsyncClient(headers=headers, verify=_tls(), timeout=None, limits=limits) as client:
            calls = Calls(client, self.url, self.timeout, self.retries, self.max_wait, self.api_key)

            async def worker() -> None:
                for i in todo:
                    done[i] = await self._one(calls, asks[i])

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(asks))):
                        group.create_task(worker())
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
        return [done[i] for i in range(len(asks))]

    async def _one(self, calls: Calls, ask: Ask) -> Answer:
        usage = Usage()
        try:
            answer = await calls.post(ask.body)
            told = answer.get("usage")
            tokens = told.get("prompt_tokens") if isinstance(told, dict) else None
            usage = Usage(scored=tokens if isinstance(tokens, int) else 0)
            rows = rows_of(answer, self._columns)
            if len(rows) != ask.rows:
                what = "steps (tags)" if self.pooling == "step" else "tokens"
                raise CallFailed(
                    "count-mismatch",
                    f"got {len(rows)} rows of values for {ask.rows} {what}. Is the server's pooling "
                    f"{self.pooling.upper()}, its step tag {self.format.layout.tag!r}, and its context long enough?",
                )
            return Answer(tuple(self._scores([rows[k] for k in ask.reads])), usage)
        except CallFailed as failure:
            return Answer(usage=usage, error=ItemError(failure.kind, failure.message))

    def _scores(self, rows: list[list[float]]) -> list[float]:
        import torch

        link = self.format.link
        if self._activated and link.activation != "identity":
            check_activated(rows, link)
            link = Link("identity", link.weights)
        return [float(x) for x in link.score(torch.tensor(rows, dtype=torch.float32)).tolist()]

    def _judge(
        self,
        trace: Trace,
        asks: Sequence[Ask],
        flags: tuple[str, ...],
        error: ItemError | None,
        found: dict[bytes, Answer],
        share: Usage,
        own: set[bytes],
    ) -> Judgement:
        values: list[float | None] = [None] * len(trace.steps)
        usage, broken = share + Usage(calls=1), []
        for ask in asks:
            answer = found[ask.body]
            tokens = answer.usage.scored
            usage += Usage(scored=tokens) if ask.body in own else Usage(reused=tokens)
            error = answer.error or error
            for t, value in zip(ask.steps, answer.scores):  # none where the call failed
                if math.isfinite(value):
                    values[t] = value
                else:
                    broken.append(t)
        if broken:
            error = ItemError("nan-score", f"the model's score of steps {broken[:5]} is not a number")
        nothing = bool(values) and all(v is None for v in values)
        return Judgement(
            trace=trace.id,
            question=self.question,
            source=self.source,
            scores=None if nothing else tuple(values),
            flags=flags,
            usage=Ledger(scorer=usage),
            error=error,
        )


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()
