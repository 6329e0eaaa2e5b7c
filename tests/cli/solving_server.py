"""A server whose answers depend on the request only, in a process of its own that can die; completions and pooling.

python -m tests.cli.solving_server PORT LIVES SECONDS      dies in the middle of call number LIVES (0: never)
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.policy.http_server import Call, completion

ROOT = Path(__file__).resolve().parents[2]


def completed(body: dict[str, Any]) -> dict[str, Any]:
    """A line of arithmetic, or the answer, drawn by the request's seed; a character counts as a token."""
    question, _, written = body["prompt"].partition("\n")
    draw = random.Random(f"{question}|{body['seed']}|{written}")
    numbers = [int(w) for w in question.replace(".", " ").split() if w.isdigit()] or [1]
    lines: list[str] = []
    while not lines or not (body.get("stop") or lines[-1].startswith("Answer")):
        a, b = draw.choices(numbers, k=2)
        ends = written.count("\n") + len(lines) >= draw.choice([1, 2, 2, 3])
        lines.append(f"Answer: {a + b}" if ends else f"{a}+{b}={a + b + draw.choice([0, 0, 1])}")
    text, most = "\n".join(lines), body["max_tokens"]
    answer = completion(text, stop_reason=None if lines[-1].startswith("Answer") else "\n")
    if len(text) > most:
        text, answer = text[:most], completion(text[:most], "length", stop_reason=None)
    answer["usage"] = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(text)}
    return answer


def pooled(body: dict[str, Any]) -> dict[str, Any]:
    """Two probabilities for each step of the conversation, as a served PRM of Qwen's gives them."""
    steps = body["messages"][-1]["content"].split("<extra_0>")[:-1]
    good = [random.Random(step).random() for step in steps]
    item = {"index": 0, "object": "pooling", "data": [[1 - p, p] for p in good]}
    return {"object": "list", "data": [item], "usage": {"prompt_tokens": 9, "total_tokens": 9}}


def answer(call: Call) -> None:
    call.answer(pooled(call.body) if call.path.endswith("/pooling") else completed(call.body))


def serve(port: int, lives: int, seconds: float) -> None:
    import json
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    count, lock = 0, threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            nonlocal count
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                count += 1
                if count == lives:
                    os._exit(1)
            time.sleep(seconds)
            answer(Call(self.path, {}, json.loads(raw), raw, 0.0, self))

        def log_message(self, *args: Any) -> None:
            return None

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    Server(("127.0.0.1", port), Handler).serve_forever()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextmanager
def running(port: int, lives: int = 0, seconds: float = 0.0) -> Iterator[str]:
    """The address of a server process, until it dies or the block ends."""
    command = [sys.executable, "-m", "tests.cli.solving_server", str(port), str(lives), str(seconds)]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        child.kill()
        child.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
