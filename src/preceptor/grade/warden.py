"""Wardens: long-lived child processes that run one test of an untrusted program at a time (`warden_child.py`).

Starting an interpreter costs about 100 ms, a fork of one that runs under 10 ms. A warden is used by one thread at
a time; one that dies or does not answer is killed with its group and replaced, and its test has no result. Usable
from any thread and after a fork.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from preceptor.errors import BackendError
from preceptor.grade.sandbox import GRACE, NO_SEAL, STANDARD, START_SECONDS, Sandbox, end_group

CHILD = Path(__file__).with_name("warden_child.py")
USUAL = (
    *(
        "abc",
        "array",
        "base64",
        "contextlib",
        "dataclasses",
        "enum",
        "hashlib",
        "inspect",
        "io",
        "json",
        "numbers",
    ),
    *("struct", "textwrap", "traceback"),
)
"""What programs import besides `STANDARD`."""
IDLE = 4
"""Wardens kept for each kind of sandbox."""


class Warden:
    """One child process."""

    def __init__(self, sandbox: Sandbox):
        if os.name != "posix":
            raise BackendError(NO_SEAL)
        self._home = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._home.name,
            env={},
            start_new_session=True,
        )
        self._read, self._jobs = b"", 0
        first = {
            "modules": [*STANDARD, *USUAL, *sandbox.modules],
            "path": [p for p in sys.path if p] if sandbox.modules else [],
            "unsafe": sandbox.unsafe,
        }
        self._send(first)
        if self._line(START_SECONDS) != {"id": 0}:
            self.kill()
            raise BackendError(
                f"sandbox: {sys.executable} did not start with the modules {list(sandbox.modules)}. Check that "
                "they can be imported."
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """The result of one test; None, after which the warden must be killed, when there is none in time."""
        self._jobs += 1
        self._send({**job, "id": self._jobs})
        reply = self._line(seconds)
        return reply if reply is not None and reply.get("id") == self._jobs else None

    def kill(self) -> None:
        end_group(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._home.cleanup()

    def _send(self, record: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died: there will be no answer
            self._process.stdin.write(json.dumps(record).encode("ascii") + b"\n")
            self._process.stdin.flush()

    def _line(self, seconds: float) -> dict[str, Any] | None:
        """The next line it writes; None when the time is up, the process ended or the line is no record."""
        assert self._process.stdout is not None
        end = time.monotonic() + seconds
        while b"\n" not in self._read:
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            if not more:
                return None
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError:
            return None
        return found if isinstance(found, dict) else None


_idle: defaultdict[tuple[tuple[str, ...], bool], list[Warden]] = defaultdict(list)
_lock = threading.Lock()


def ask(sandbox: Sandbox, job: dict[str, Any]) -> dict[str, Any] | None:
    """The result of one test by any warden of this kind; None when the sandbox failed."""
    kind = (sandbox.modules, sandbox.unsafe)
    limits = {"seconds": sandbox.seconds, "memory": sandbox.memory, "output": sandbox.output}
    while True:
        with _lock:
            waiting = _idle[kind].pop() if _idle[kind] else None
        warden = waiting or Warden(sandbox)
        reply = None
        try:
            reply = warden.ask({**job, **limits}, sandbox.seconds + GRACE + START_SECONDS)
        finally:
            if reply is None:
                warden.kill()
        if reply is not None:
            _put_back(kind, warden)
        if reply is not None or waiting is None:  # one that died while it waited says nothing of this test
            return reply


def _put_back(kind: tuple[tuple[str, ...], bool], warden: Warden) -> None:
    with _lock:
        if len(_idle[kind]) < IDLE:
            _idle[kind].append(warden)
            return
    warden.kill()


def close() -> None:
    """Stop the idle wardens; a later question starts new ones."""
    with _lock:
        found = [warden for wardens in _idle.values() for warden in wardens]
        _idle.clear()
    for warden in found:
        warden.kill()


def _forget() -> None:
    """A forked child must not talk over its parent's pipes, nor end its parent's wardens."""
    global _idle, _lock
    _idle, _lock = defaultdict(list), threading.Lock()


atexit.register(close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
