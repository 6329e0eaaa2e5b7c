"""Calls to an HTTP server that is allowed to misbehave: limits, retries with jitter, typed failures.

One `Calls` serves one batch. A call is tried again on 408, 409, 425, 429, 5xx, broken connections and
timeouts, after exponential back-off with full jitter ("Exponential Backoff And Jitter", AWS Architecture
Blog, 2015) on top of whatever `Retry-After` asks for; never on another 4xx. A worker that waits keeps its
slot, so a struggling server sees less traffic, not more. Once a call has failed for good because the server
went away, the calls after it get one attempt each until something answers again.

Left out: streaming, and any knowledge of what is inside the JSON (see `openai.py`).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from preceptor.errors import ServerUnreachable

FIRST_DELAY = 0.5
"""Seconds; the mean wait before the first retry is half of it."""
MAX_DELAY = 30.0
CONNECT_TIMEOUT = 10.0
RETRIED = frozenset({408, 409, 425, 429})
"""Retried client errors; every 5xx is retried too."""
GONE = frozenset({"connection", "timeout"})

T = TypeVar("T")


class CallFailed(Exception):
    """One call failed; `kind` is a constant to count by."""

    def __init__(
        self, kind: str, message: str, *, again: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(kind, message)
        self.kind, self.message, self.again, self.retry_after = kind, message, again, retry_after


def delay(
    attempt: int, retry_after: float | None, uniform: Callable[[float, float], float] = random.uniform
) -> float:
    """Seconds to wait after failed attempt number `attempt` (1 is the first)."""
    ceiling = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(attempt - 1, 30))
    return (retry_after or 0.0) + uniform(0.0, ceiling)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a `Retry-After` header (a number or an HTTP date); None when absent or unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - datetime.fromtimestamp(now, UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def one_line(text: str, limit: int = 300) -> str:
    """Foreign text made safe to show: no control characters, no lone surrogates, at most `limit` long."""
    shown = "".join(c if c.isprintable() else " " for c in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[:limit] + "..."


@dataclass
class Calls:
    """The calls of one batch to one URL."""

    client: httpx.AsyncClient
    url: str
    timeout: float
    """Seconds one attempt may take in all; a server that drips bytes does not stretch it."""
    retries: int
    max_wait: float
    """Seconds one call may take over all attempts and waits."""
    secret: str | None = field(default=None, repr=False)
    """Blacked out wherever a server's words are quoted."""
    reached: bool = False
    """Whether any connection of this batch was established, TLS included."""
    gone: bool = False
    """Whether the last call to fail for good failed because the server went away."""

    async def post(self, body: bytes) -> dict[str, Any]:
        """The JSON object the server answers, or `CallFailed`, or `ServerUnreachable` when no call of
        the batch has ever been connected."""
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            left = self.max_wait - (time.monotonic() - began)
            try:
                return self._read(*await self._attempt(body, min(self.timeout, left)))
            except CallFailed as failure:
                wait = delay(attempt, failure.retry_after)
                tries = 1 if self.gone else 1 + self.retries
                late = time.monotonic() - began + wait >= self.max_wait
                if failure.again and attempt < tries and not late:
                    await asyncio.sleep(wait)
                    continue
                raise self._given_up(failure, attempt, late and failure.again) from failure

    def _given_up(self, failure: CallFailed, attempts: int, late: bool) -> Exception:
        spent = f"{attempts} attempt{'s' if attempts > 1 else ''}"
        if late:
            spent += f"; the next would end after max_wait={self.max_wait:g} s"
        if failure.kind == "connection" and not self.reached:
            return ServerUnreachable(
                f"{self.url}: no request got through ({failure.message}; {spent}). Start the server, or "
                "check host, port, certificate and proxy settings; a base URL looks like http://localhost:8000/v1"
            )
        self.gone = self.gone or failure.kind in GONE
        return CallFailed(failure.kind, f"{failure.message} ({spent})")

    async def _attempt(self, body: bytes, seconds: float) -> tuple[httpx.Response, bytes]:
        request = self.client.build_request(
            "POST",
            self.url,
            content=body,
            headers={"content-type": "application/json"},
            extensions={"trace": self._trace, "timeout": {"connect": min(CONNECT_TIMEOUT, seconds)}},
        )
        try:
            async with asyncio.timeout(seconds):
                response = await self.client.send(request, stream=True)
                try:
                    content = await response.aread()
                except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                    raise CallFailed(
                        "truncated-body", f"the answer broke off: {error}", again=True
                    ) from error
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            kind = "timeout" if self.reached else "connection"
            raise CallFailed(kind, f"no answer within {seconds:.3g} s", again=True) from error
        except httpx.DecodingError as error:
            raise CallFailed("bad-body", f"the answer cannot be decompressed: {error}") from error
        except httpx.TransportError as error:
            why = self.quoted(str(error) or type(error).__name__)
            raise CallFailed("connection", why, again=True) from error
        self.gone = False
        return response, content

    def quoted(self, text: str) -> str:
        """Foreign words for a message: without the key, on one line, short."""
        return one_line(text.replace(self.secret, "[key]") if self.secret else text)

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.reached = True

    def _read(self, response: httpx.Response, content: bytes) -> dict[str, Any]:
        status = response.status_code
        if status != 200:
            words = self.quoted(_error_message(content))
            hint = "; does the base URL end in /v1, and is this the model's name?" if status == 404 else ""
            raise CallFailed(
                f"http-{status}",
                f"{self.url} answered {status}: {words}{hint}",
                again=status in RETRIED or status >= 500,
                retry_after=parse_retry_after(response.headers.get("retry-after"), time.time()),
            )
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            start = self.quoted(content[:200].decode("utf-8", "replace"))
            raise CallFailed("bad-body", f"expected a JSON object, got {start!r} ({error})") from error
        if not isinstance(answer, dict):
            raise CallFailed("bad-body", f"expected a JSON object, got {type(answer).__name__}")
        return answer


def _error_message(content: bytes) -> str:
    """The words of an error answer: `error.message` where there is one, else the start of the body."""
    text = content[:4000].decode("utf-8", "replace")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return text
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) else text


def run_to_end(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a thread and loop of its own, so that it works inside any other loop or thread.

    An exception in the waiting thread (Ctrl-C above all) cancels the coroutine, lets it close what it
    holds, and then goes on.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
    result: Future[T] = Future()

    async def announced() -> T:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((asyncio.get_running_loop(), task))
        return await work()

    def thread() -> None:
        try:
            with asyncio.Runner() as runner:
                result.set_result(runner.run(announced()))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            result.set_exception(error)

    worker = threading.Thread(target=thread, name="preceptor-calls", daemon=True)
    worker.start()
    try:
        return result.result()
    except BaseException:
        if not result.done():
            loop, task = started.result()
            with suppress(RuntimeError):  # the loop closed by itself in the meantime
                loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        worker.join()
