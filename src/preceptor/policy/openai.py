"""A policy behind any OpenAI-compatible server (vLLM, SGLang, llama.cpp, hosted services).

Every request is one HTTP call with its own seed, so a draw does not depend on its neighbors; the prompt
text of a prefix is byte-identical in all its draws, so the server's prefix cache finds it.

What is sent. `completions`: `problem.prompt + "\\n" + prefix`, the convention of base models. `chat`: the
prompt as user message and the prefix, if any, as an unfinished assistant message with
`continue_final_message` (vLLM, SGLang); a server without it answers 400 or starts a new turn, so use
`completions` there. A request that carries `messages` goes to the chat endpoint whatever `api` is, for only
the server knows the model's template. `top_k` is sent only when set, for the official API refuses it; start
vLLM with `--generation-config vllm`, or the model's own top-k is silently added to the distribution.

Where it stopped. Servers strip the stop text, and plain ones do not say whether a stop string or the end of
the text ended the answer, which are different things here (`Finish.BOUNDARY`, `Finish.STOP`). A server that
names its stop (`stop_reason` of vLLM, `matched_stop` of SGLang) is believed and the text is put back. From
any other server no guess is made: the draw is asked for again without stop strings and cut here, and so is
every later one. That is exact, and costs the tokens written after the stop, which are counted.
More than four stop strings, which servers refuse, are cut here too.

Given words and given texts. `choose` samples one token and reads the list of the likeliest ones beside it;
`likelihood` has the prompt sent back (`echo`) with its log-probabilities (vLLM; llama.cpp ignores the wish,
which is noticed). How both are read, and how far they can be trusted: `openai_given.py`.

Usage is the server's `usage` object (vLLM tells reused tokens only with `--enable-prompt-tokens-details`).
Where it is missing, the sampled tokens are counted from the log-probabilities; without those they count as 0
and a `RuntimeWarning` says that token budgets do not bind.
Left out: streaming, token ids (never given), `prefix_ids` (the prompt's ids are unknown), price.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar

import httpx

from preceptor.errors import InputError, ItemError
from preceptor.generation import Choice, Continuation, Likelihood, Request
from preceptor.policy.openai_answer import NAMED_STOP, check_unicode, choice_of, continuation_of, usage_of
from preceptor.policy.openai_given import choice_between, distinct, echoed
from preceptor.policy.retry import CallFailed, Calls, run_to_end
from preceptor.trace import content_id
from preceptor.usage import Usage

Answer = TypeVar("Answer", Continuation, Choice, Likelihood)
PATHS = {"completions": "/completions", "chat": "/chat/completions"}
MOST_STOPS = 4
"""Servers refuse longer lists of stop strings; those are cut here."""


@dataclass(eq=False)
class OpenAIPolicy:
    """Continues prefixes by calling `base_url` (as in the official client: with its `/v1`)."""

    base_url: str
    model: str
    _: KW_ONLY
    api: Literal["completions", "chat"] = "completions"
    concurrency: int = 16
    """Calls in flight at most."""
    timeout: float = 120.0
    """Seconds for one attempt in all."""
    retries: int = 4
    """Attempts after the first."""
    max_wait: float = 600.0
    """Seconds for one request over all attempts and waits."""
    logprobs: bool = True
    """Ask for the log-probabilities of the sampled tokens; turn off for servers that refuse."""
    top_logprobs: int = 20
    """Length of the list `choose` asks for. 20 is the usual limit; the official `completions` takes 5."""
    api_key: str | None = field(default=None, repr=False)
    """None reads `OPENAI_API_KEY`; no key is sent when that is unset."""

    def __post_init__(self) -> None:
        if self.api_key is None:
            self.api_key = os.environ.get("OPENAI_API_KEY") or None
        if self.api_key and not (
            self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key
        ):
            raise InputError(
                "api_key: got one with blanks or unprintable characters, expected ASCII. Copy it again."
            )
        self.base_url = _checked_url(self.base_url)
        if self.api not in PATHS:
            raise InputError(f"api: got {self.api!r}, expected one of {sorted(PATHS)}")
        if (
            min(self.concurrency, self.top_logprobs) < 1
            or self.retries < 0
            or self.timeout <= 0
            or self.max_wait <= 0
        ):
            raise InputError(
                f"{self!r}: expected concurrency >= 1, top_logprobs >= 1, retries >= 0, timeout > 0 and "
                "max_wait > 0 (seconds)"
            )
        self._cuts_here = False

    @property
    def fingerprint(self) -> str:
        """Of address, model name and API. Weights swapped behind the same name do not show in it."""
        return content_id("openai", "1", self.base_url, self.model, self.api)

    def generate(self, requests: Sequence[Request]) -> list[Continuation]:
        """One continuation per request, in order; works inside a running event loop too.

        Item errors: `bad-prompt`, `timeout`, `connection`, `truncated-body`, `http-STATUS`, `bad-body`,
        `empty-choices`, `content-filter`. Raises `ServerUnreachable` when no call could be connected.
        """
        requests = list(requests)
        done = self._done([self._path(r) for r in requests], lambda calls, i: self._one(calls, requests[i]))
        if any(c.error is None and c.text and not c.usage.generated for c in done):
            warnings.warn(
                f"{self.base_url} reports no usage: generated tokens count as 0, token budgets do not bind. "
                "Limit calls or seconds instead.",
                RuntimeWarning,
                stacklevel=2,
            )
        return done

    def choose(self, requests: Sequence[Request], options: Sequence[str]) -> list[Choice]:
        """One per request, in order, from the list of the likeliest next tokens; one token is sampled each.

        An option's probability is that of the listed tokens that spell it (a space in front does not
        count), so options must be single tokens. An option beyond the end of the list gets the smallest
        listed probability, an upper bound (GenPRM's rule): then `mass` is None and `error` is
        `bounded-option` beside the `probs`. Item errors without `probs`: `no-option` (none is listed),
        `no-logprobs`, and those of `generate`. InputError for options that are the same but for spaces.

        A space at the end of a prefix is not sent: tokenizers write it as part of the word that follows.
        """
        words = distinct(options)
        requests = [replace(r, prefix=r.prefix.removesuffix(" "), prefix_ids=None) for r in requests]

        async def one(calls: Calls, i: int) -> Choice:
            spent = Usage()
            try:
                answer = await calls.post(self._body(requests[i], False, listed=True))
                choice = choice_of(answer, calls)
                spent = usage_of(answer, choice)
                return choice_between(choice, words, self.top_logprobs, spent)
            except CallFailed as failure:
                return Choice(None, usage=spent, error=ItemError(failure.kind, failure.message))

        return self._done([self._path(r) for r in requests], one)

    def likelihood(self, requests: Sequence[Request], texts: Sequence[str]) -> list[Likelihood]:
        """One per request, in order; token ids and entropies are not known here.

        Always by `/completions` and the plain prompt. Item errors: `no-echo` (the server does not send the
        prompt back), `no-logprobs`, `merged-token` (a token covers the end of the prefix and the start of
        the text), `unaligned` (the tokens do not spell the text), `no-chat` (the request carries messages),
        and those of `generate`.
        """
        asked = list(zip(requests, texts, strict=True))

        async def one(calls: Calls, i: int) -> Likelihood:
            (request, text), spent = asked[i], Usage()
            if not text:
                return Likelihood()
            try:
                prefix, body = self._echo_body(request, text)
                answer = await calls.post(body)
                choice = choice_of(answer, calls)
                spent = usage_of(answer, choice)
                return echoed(choice, prefix, text, spent)
            except CallFailed as failure:
                return Likelihood(usage=spent, error=ItemError(failure.kind, failure.message))

        return self._done([PATHS["completions"]] * len(asked), one)

    def _path(self, request: Request) -> str:
        return PATHS["chat" if request.messages else self.api]

    def _done(self, paths: list[str], one: Callable[[Calls, int], Awaitable[Answer]]) -> list[Answer]:
        """`one(calls, i)` for every item i, whose call goes to `paths[i]`; wall time shared equally."""
        if not paths:
            return []
        began = time.monotonic()
        done: list[Answer] = run_to_end(lambda: self._all(paths, one))
        share = Usage(seconds=(time.monotonic() - began) / len(done))
        return [replace(a, usage=a.usage + share) for a in done]

    async def _all(self, paths: list[str], one: Callable[[Calls, int], Awaitable[Answer]]) -> list[Answer]:
        done: dict[int, Answer] = {}
        todo = iter(range(len(paths)))
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

        async def worker(calls: dict[str, Calls]) -> None:
            for i in todo:
                done[i] = await one(calls[paths[i]], i)

        async with httpx.AsyncClient(
            headers=headers,
            verify=_tls(),
            timeout=None,
            limits=httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
        ) as client:
            calls = {
                path: Calls(
                    client, self.base_url + path, self.timeout, self.retries, self.max_wait, self.api_key
                )
                for path in set(paths)
            }
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(paths))):
                        group.create_task(worker(calls))
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
        return [done[i] for i in range(len(paths))]

    async def _one(self, calls: Calls, request: Request) -> Continuation:
        spent, stop = Usage(), request.sampling.stop
        try:
            cut = len(stop) > MOST_STOPS or (bool(stop) and self._cuts_here)
            answer = await calls.post(self._body(request, cut))
            choice = choice_of(answer, calls)
            if stop and not cut and not any(name in choice for name in NAMED_STOP):
                spent, self._cuts_here, cut = usage_of(answer, choice), True, True
                answer = await calls.post(self._body(request, cut))
                choice = choice_of(answer, calls)
            spent += usage_of(answer, choice)
            return continuation_of(choice, stop, cut, spent)
        except CallFailed as failure:
            return Continuation.failed(failure.kind, failure.message, spent)

    def _body(self, request: Request, cut: bool, *, listed: bool = False) -> bytes:
        """`cut`: stop strings are not sent. `listed`: one token, with the list of the likeliest ones."""
        sampling, prompt, chat = (
            request.sampling,
            request.problem.prompt,
            self._path(request) == PATHS["chat"],
        )
        for text in (prompt, request.prefix, *sampling.stop, *(part for m in request.messages for part in m)):
            check_unicode("bad-prompt", text)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": 1 if listed else sampling.max_tokens,
            # Some servers list the probabilities after temperature and top-p: 1 leaves the model's own.
            "temperature": 1.0 if listed else sampling.temperature,
            "top_p": 1.0 if listed else sampling.top_p,
            "seed": request.stream % 2**31,
        }
        if sampling.top_k and not listed:
            body["top_k"] = sampling.top_k
        if sampling.stop and not cut and not listed:
            body["stop"] = list(sampling.stop)
        if not chat:
            body["prompt"] = f"{prompt}\n{request.prefix}"
            if listed or self.logprobs:
                body["logprobs"] = self.top_logprobs if listed else 1
            return json.dumps(body).encode("ascii")
        turns = [m._asdict() for m in request.messages] or [{"role": "user", "content": prompt}]
        if request.prefix:
            turns.append({"role": "assistant", "content": request.prefix})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        body["messages"] = turns
        if listed or self.logprobs:
            body["logprobs"] = True
        if listed:
            body["top_logprobs"] = self.top_logprobs
        return json.dumps(body).encode("ascii")

    def _echo_body(self, request: Request, text: str) -> tuple[str, bytes]:
        """What stands before the text, and the call. One token is sampled, for servers refuse to sample none."""
        if request.messages:
            raise CallFailed(
                "no-chat", "a server reads a given text only after a plain prompt, not in a chat"
            )
        prefix = f"{request.problem.prompt}\n{request.prefix}"
        check_unicode("bad-prompt", prefix + text)
        body = {"model": self.model, "prompt": prefix + text, "max_tokens": 1, "temperature": 1.0}
        return prefix, json.dumps(body | {"echo": True, "logprobs": 1}).encode("ascii")


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Loading the certificates takes longer than a short call, so once for all batches."""
    return httpx.create_ssl_context()


def _checked_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(
            f"base_url: got an unreadable one ({error}), expected http(s)://HOST[:PORT]/v1"
        ) from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        shown = f"{url.scheme}://{url.host}{url.path}"
        raise InputError(
            f"base_url: got {shown!r}{' with a password' if url.userinfo else ''}"
            f"{' with a query or fragment' if url.query or url.fragment else ''}, expected "
            "http(s)://HOST[:PORT]/v1 and nothing else. Pass a key as api_key."
        )
    return base_url.rstrip("/")
