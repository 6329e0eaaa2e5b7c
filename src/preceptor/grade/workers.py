"""A few child processes that may hang, and a clock that runs only while one works.

Sympy can loop for ever on ten characters, and a signal can stop it only in a main thread. So symbolic
checks run in child processes, started when first needed, at most `Pool.size` at a time. An item waits for a
free worker as long as it must; its time starts when the worker reports that it has begun. A worker that
overruns, dies or answers nonsense is killed and replaced; its item is undecided. Usable from any thread.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass

from preceptor.errors import BackendError
from preceptor.grade.grader import TIMEOUT

START_SECONDS = 300.0
"""How long a worker may take to import sympy on a loaded machine."""
REMEMBERED = 20_000
MAX_JOB = 2_000
"""Characters; longer answers are not sent to sympy and count as different."""


@dataclass(frozen=True)
class Reply:
    """`equal` is None when no verdict was reached; `why` then says so."""

    equal: bool | None
    why: str = ""


class Worker:
    """One child process, used by one thread at a time."""

    def __init__(self) -> None:
        path = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from preceptor.grade.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            encoding="ascii",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._jobs = 0
        threading.Thread(target=self._read, daemon=True, name="grading worker output").start()
        if self._next(START_SECONDS) is None:
            self.kill()
            raise BackendError(
                f"grading worker: {sys.executable} was not ready after {START_SECONDS:.0f} s. Check that "
                "`python -c 'import preceptor.grade.worker, math_verify'` works there."
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, operation: str, given: str, gold: str, seconds: float) -> Reply:
        """The worker's reply, or an undecided one, after which the worker must be killed."""
        assert self._process.stdin is not None
        self._jobs += 1
        job = {"id": self._jobs, "operation": operation, "given": given, "gold": gold, "limit_s": 2 * seconds}
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except OSError:
            return Reply(None, "worker died")
        started = self._next(START_SECONDS)
        if not started:
            return Reply(None, "worker died")
        reply = self._next(seconds)
        if reply is None:
            return Reply(None, TIMEOUT)
        if reply.get("id") != self._jobs:
            return Reply(None, "worker died")
        return Reply(reply["equal"], reply["why"])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:  # an unsent job in the buffer of a dead process
                    continue

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line)
        except ValueError:  # closed by kill()
            return
        finally:
            self._lines.put("{}")

    def _next(self, seconds: float) -> dict | None:
        """The next reply; an empty one when the process has ended; None when the time is up."""
        try:
            return json.loads(self._lines.get(timeout=seconds))
        except queue.Empty:
            return None


class Pool:
    """At most `size` workers, started on demand and reused."""

    def __init__(self, size: int = 2, seconds: float = 10.0):
        """`seconds` is the wall time of one item from its start in a worker."""
        self.size, self.seconds = size, seconds
        self._slots: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)
        self._known: OrderedDict[tuple[str, str, str], Reply] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, operation: str, given: str, gold: str) -> Reply:
        """The verdict of `operation` (see `worker.OPERATIONS`); a decided one is remembered."""
        if max(len(given), len(gold)) > MAX_JOB:
            return Reply(False, "too long")
        key = (operation, given, gold)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        reply = self._work(key)
        if reply.equal is not None:
            with self._lock:
                self._known[key] = reply
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return reply

    def _work(self, key: tuple[str, str, str]) -> Reply:
        worker = self._slots.get()
        healthy = False
        try:
            if worker is None:
                worker = Worker()
            reply = worker.ask(*key, self.seconds)
            healthy = reply.equal is not None
            return reply
        finally:
            if worker is not None and not healthy:
                worker.kill()
                worker = None
            self._slots.put(worker)

    def pids(self) -> list[int]:
        """Process ids of the idle workers."""
        slots = self._idle()
        for worker in slots:
            self._slots.put(worker)
        return [worker.pid for worker in slots if worker is not None]

    def close(self) -> None:
        """Stop idle workers; a later question starts new ones."""
        for worker in self._idle():
            if worker is not None:
                worker.kill()
            self._slots.put(None)

    def _idle(self) -> list[Worker | None]:
        """Every slot that no thread holds, taken out of the queue."""
        slots: list[Worker | None] = []
        while len(slots) < self.size:
            try:
                slots.append(self._slots.get_nowait())
            except queue.Empty:
                break
        return slots


_pool = Pool()


def ask(operation: str, given: str, gold: str) -> Reply:
    """Ask the process-wide pool."""
    return _pool.ask(operation, given, gold)


def pool() -> Pool:
    return _pool


def _forget() -> None:
    """A forked child must not talk over its parent's pipes."""
    global _pool
    _pool = Pool(_pool.size, _pool.seconds)


atexit.register(lambda: _pool.close())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
