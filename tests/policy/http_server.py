"""A real HTTP server for tests that does what a function tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def completion(text: str, finish: str = "stop", **choice: Any) -> dict[str, Any]:
    """What a completions endpoint answers."""
    return {
        "choices": [{"index": 0, "text": text, "finish_reason": finish, **choice}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    }


@dataclass
class Call:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    at: float
    http: BaseHTTPRequestHandler = field(repr=False)

    def answer(self, value: Any, status: int = 200, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.start(status, len(data), **headers)
        self.http.wfile.write(data)

    def start(self, status: int, length: int, **headers: str) -> None:
        self.http.send_response(status)
        for name, value in headers.items():
            self.http.send_header(name.replace("_", "-"), value)
        self.http.send_header("Content-Length", str(length))
        self.http.end_headers()

    def drop(self) -> None:
        """Close the connection without another byte."""
        self.http.close_connection = True
        self.http.wfile.flush()
        self.http.connection.shutdown(2)


@dataclass
class Server:
    """`url` is the base URL; `calls` grows as they come; `most` is the highest number at once."""

    url: str
    calls: list[Call] = field(default_factory=list)
    now: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


@contextmanager
def serving(behave: Callable[[Call], None]) -> Iterator[Server]:
    """Serve until the block ends; `behave` answers each POST in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            call = Call(self.path, dict(self.headers), json.loads(raw), raw, time.monotonic(), self)
            with server.lock:
                server.calls.append(call)
                server.now += 1
                server.most = max(server.most, server.now)
            try:
                behave(call)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                with server.lock:
                    server.now -= 1

        def log_message(self, format: str, *args: Any) -> None:
            return None

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            return None

    httpd = Quiet(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{httpd.server_address[1]}/v1")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


@contextmanager
def closed_port() -> Iterator[str]:
    """The base URL of a port that is bound by us but that nobody listens on."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
