"""A policy behind any OpenAI-compatible server (vLLM, SGLang, llama.cpp, hosted services).

Every request is one HTTP call with its own seed, so a draw does not depend on its neighbors; the prompt
text of a prefix is byte-identical in all its draws, so the server's prefix cache finds it.

What is sent. `completions`: `problem.prompt + "\\n" + prefix`, the convention of base models. `chat`: the
prompt as user message and the prefix, if any, as an unfinished assistant message with
`continue_final_message` (vLLM, SGLang); a server without it answers 400 or starts a new turn, so use
`completions` there. `top_k` is sent only when set, for the official API refuses it; start vLLM with
`--generation-config vllm`, or the model's own top-k is silently added to the distribution.

Where it stopped. Servers strip the stop text, and plain ones do not say whether a stop string or the end of
the text ended the answer, which are different things here (`Finish.BOUNDARY`, `Finish.STOP`). A server that
names its stop (`stop_reason` of vLLM, `matched_stop` of SGLang) is believed and the text is put back. From
any other server no guess is made: the draw is asked for again without stop strings and cut here, and so is
every later one. That is exact, and costs the tokens written after the stop, which are counted.
More than four stop strings, which servers refuse, are cut here too.

Usage is the server's `usage` object (vLLM tells reused tokens only with `--enable-prompt-tokens-details`).
Where it is missing, the sampled tokens are counted from the log-probabilities; without those they count as 0
and a `RuntimeWarning` says that token budgets do not bind.
Left out: streaming, token ids (never given), `prefix_ids` (the prompt's ids are unknown), price.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import ssl
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import httpx

from preceptor.errors import InputError
from preceptor.generation import Continuation, Request
from preceptor.policy.retry import CallFailed, Calls, run_to_end
from preceptor.trace import Finish, content_id
from preceptor.usage import Usage

PATHS = {"completions": "/completions", "chat": "/chat/completions"}
NAMED_STOP = ("stop_reason", "matched_stop")
"""Fields of a choice in which servers name the stop string that ended it."""
MOST_STOPS = 4
"""Servers refuse longer lists of stop strings; those are cut here."""
FINISH = {"stop": Finish.STOP, "length": Finish.LENGTH}


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
        if self.concurrency < 1 or self.retries < 0 or self.timeout <= 0 or self.max_wait <= 0:
            raise InputError(
                f"{self!r}: expected concurrency >= 1, retries >= 0, timeout > 0 and max_wait > 0 (seconds)"
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
        if not requests:
            return []
        began = time.monotonic()
        done = run_to_end(lambda: self._all(requests))
        share = Usage(seconds=(time.monotonic() - began) / len(done))
        if any(c.error is None and c.text and not c.usage.generated for c in done):
            warnings.warn(
                f"{self.base_url} reports no usage: generated tokens count as 0, token budgets do not bind. "
                "Limit calls or seconds instead.",
                RuntimeWarning,
                stacklevel=2,
            )
        return [replace(c, usage=c.usage + share) for c in done]

    async def _all(self, requests: list[Request]) -> list[Continuation]:
        done: dict[int, Continuation] = {}
        todo = iter(enumerate(requests))
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

        async def worker(calls: Calls) -> None:
            for i, request in todo:
                done[i] = await self._one(calls, request)

        async with httpx.AsyncClient(
            headers=headers,
            verify=_tls(),
            timeout=None,
            limits=httpx.Limits(max_connections=self.concurrency, max_keepalive_connections=self.concurrency),
        ) as client:
            url = self.base_url + PATHS[self.api]
            calls = Calls(client, url, self.timeout, self.retries, self.max_wait, self.api_key)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(requests))):
                        group.create_task(worker(calls))
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
        return [done[i] for i in range(len(requests))]

    async def _one(self, calls: Calls, request: Request) -> Continuation:
        spent, stop = Usage(), request.sampling.stop
        try:
            cut = len(stop) > MOST_STOPS or (bool(stop) and self._cuts_here)
            answer = await calls.post(self._body(request, cut))
            choice = _choice(answer, calls)
            if stop and not cut and not any(name in choice for name in NAMED_STOP):
                spent, self._cuts_here, cut = _usage(answer, choice), True, True
                answer = await calls.post(self._body(request, cut))
                choice = _choice(answer, calls)
            spent += _usage(answer, choice)
            return _continuation(choice, stop, cut, spent)
        except CallFailed as failure:
            return Continuation.failed(failure.kind, failure.message, spent)

    def _body(self, request: Request, cut: bool) -> bytes:
        sampling, prompt = request.sampling, request.problem.prompt
        for text in (prompt, request.prefix, *sampling.stop):
            _check_unicode("bad-prompt", text)
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.stream % 2**31,
        }
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.stop and not cut:
            body["stop"] = list(sampling.stop)
        if self.api == "completions":
            body["prompt"] = f"{prompt}\n{request.prefix}"
            body |= {"logprobs": 1} if self.logprobs else {}
        else:
            body["messages"] = [{"role": "user", "content": prompt}]
            if request.prefix:
                body["messages"].append({"role": "assistant", "content": request.prefix})
                body |= {"add_generation_prompt": False, "continue_final_message": True}
            body |= {"logprobs": True} if self.logprobs else {}
        return json.dumps(body).encode("ascii")


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


def _check_unicode(kind: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CallFailed(
            kind,
            f"got a lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, expected text "
            "that UTF-8 can hold; repair what it came from",
        ) from error


def _choice(answer: Mapping[str, Any], calls: Calls) -> dict[str, Any]:
    choices = answer.get("choices")
    if isinstance(choices, list) and not choices:
        raise CallFailed("empty-choices", "the server answered with no choice")
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        got = calls.quoted(json.dumps(answer))
        raise CallFailed("bad-body", f"expected 'choices' to be a list of objects, got {got}")
    return choices[0]


def _continuation(choice: Mapping[str, Any], stops: tuple[str, ...], cut: bool, spent: Usage) -> Continuation:
    reason, message = choice.get("finish_reason"), choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if reason == "content_filter":
        raise CallFailed("content-filter", "the server's content filter ended the text")
    if not isinstance(text, str):
        raise CallFailed("bad-body", f"expected the choice's text, got {type(text).__name__}")
    if not isinstance(reason, str) or reason not in FINISH:
        raise CallFailed("bad-body", f"expected finish_reason 'stop' or 'length', got {str(reason)[:40]!a}")
    _check_unicode("bad-body", text)
    finish = FINISH[reason]
    if cut:
        ends = [text.index(s) + len(s) for s in stops if s in text]
        if ends:
            text, finish = text[: min(ends)], Finish.BOUNDARY
    elif finish is Finish.STOP:
        named = next((choice[name] for name in NAMED_STOP if choice.get(name) is not None), None)
        if named in stops:
            text, finish = text if text.endswith(named) else text + named, Finish.BOUNDARY
    ends_and_logprobs = _aligned(text, finish, *_tokens(choice), beyond=cut and finish is Finish.BOUNDARY)
    token_ends, logprobs = ends_and_logprobs or (None, None)
    return Continuation(text, finish, token_ends=token_ends, logprobs=logprobs, usage=spent)


def _tokens(choice: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Sampled token texts and their log-probabilities as sent, unchecked; empty where there are none."""
    sent = choice.get("logprobs")
    if not isinstance(sent, dict):
        return [], []
    content = sent.get("content")
    if isinstance(content, list) and all(isinstance(c, dict) for c in content):
        return [c.get("token") for c in content], [c.get("logprob") for c in content]
    tokens, logprobs = sent.get("tokens"), sent.get("token_logprobs")
    return (tokens, logprobs) if isinstance(tokens, list) and isinstance(logprobs, list) else ([], [])


def _aligned(
    text: str, finish: Finish, tokens: list[Any], logprobs: list[Any], *, beyond: bool
) -> tuple[tuple[int, ...], tuple[float, ...]] | None:
    """Token ends and log-probabilities if the token texts spell `text` exactly, else None.

    After the text there may be one end-of-text token, which gets width 0, or, where the text was cut here
    (`beyond`), the tokens that were cut off.
    """
    if not tokens or len(tokens) != len(logprobs):
        return None
    ends: list[int] = []
    at = 0
    for i, token in enumerate(tokens):
        if beyond and at == len(text):
            break
        if isinstance(token, str) and text.startswith(token, at):
            at += len(token)
        elif not (finish is Finish.STOP and at == len(text) and i == len(tokens) - 1):
            return None
        ends.append(at)
    kept = logprobs[: len(ends)]
    if at != len(text) or not all(type(p) in (int, float) and math.isfinite(p) for p in kept):
        return None
    return tuple(ends), tuple(map(float, kept))


def _usage(answer: Mapping[str, Any], choice: Mapping[str, Any]) -> Usage:
    sent = answer.get("usage")
    sent = sent if isinstance(sent, dict) else {}
    details = sent.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens") if isinstance(details, dict) else None) or 0
    prompt = _count(sent.get("prompt_tokens")) or 0
    generated = _count(sent.get("completion_tokens"))
    return Usage(
        generated=len(_tokens(choice)[0]) if generated is None else generated,
        prefilled=max(0, prompt - cached),
        reused=min(cached, prompt),
        calls=1,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
