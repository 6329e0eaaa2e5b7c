"""Runs Python that a model wrote, in a process that can compute and print and nothing else.

A child per run (`sandbox_child.py`): isolated interpreter, no environment, empty temporary directory, limits on
time, memory, files and processes, output to a file of bounded size, and a system call filter under which no file
can be opened, no socket made and no process started. Its group is killed when the time is up. Where the system has
no such filter nothing is run, unless `unsafe`. "Keeping the namespace" is running the earlier blocks again,
without their output. Cost: 50 ms and what the code takes. Programs with tests: `suite.py`.

Left out: packages outside the standard library unless named (`modules`), and anything they load lazily.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import BackendError, InputError

CHILD = Path(__file__).with_name("sandbox_child.py")
UNSEALED = 77
READY = b"!"
KILLED = (-9, -14, -24)
START_SECONDS = 60.0
GRACE = 1.0
"""Seconds that a process gets to end by its own clock before it is killed."""
NO_SEAL = (
    "sandbox: this system has no system call filter (seccomp on Linux, x86_64 or aarch64), so code that a model "
    "wrote is not run. Do without code, or accept the risk with Sandbox(unsafe=True)."
)
STANDARD = (
    *("bisect", "calendar", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools"),
    *(
        "heapq",
        "itertools",
        "math",
        "operator",
        "random",
        "re",
        "statistics",
        "string",
        "sys",
        "time",
        "typing",
    ),
)


@dataclass(frozen=True)
class Sandbox:
    """`run(blocks)` gives what the last block printed."""

    seconds: float = 5.0
    """Of processor and of wall time, all blocks of a run together."""
    memory: int = 1 << 30
    """Bytes of address space."""
    output: int = 4096
    """Bytes of output that are kept; a program that writes more is stopped."""
    modules: tuple[str, ...] = ()
    """Packages that may be imported besides a part of the standard library, such as "sympy"."""
    unsafe: bool = False
    """Where no seal is to be had, run all the same under limits only: such code can read files and, on some
    systems, reach the network. Changes nothing where the seal works."""

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.memory < 1 or self.output < 1:
            raise InputError(f"sandbox: got {self}, expected seconds, memory and output above 0")

    def run(self, blocks: Sequence[str]) -> str:
        """Errors of the code are part of its output, as a last line `Kind: message`. BackendError where this
        system cannot seal a process."""
        job: dict[str, Any] = {
            "blocks": list(blocks),
            "seconds": self.seconds,
            "memory": self.memory,
            "output": self.output,
            "modules": [*STANDARD, *self.modules],
            "path": [p for p in sys.path if p] if self.modules else [],
            "unsafe": self.unsafe,
        }
        if os.name != "posix":
            raise BackendError(NO_SEAL)
        reading, writing = os.pipe()
        job["ready"] = writing
        with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as shown:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD)],
                stdin=subprocess.PIPE,
                stdout=shown,
                stderr=subprocess.DEVNULL,
                cwd=empty,
                env={},
                pass_fds=[writing],
                start_new_session=True,
            )
            os.close(writing)
            try:
                ready = self._follow(process, json.dumps(job).encode("ascii"), reading)
            finally:
                end_group(process)
                os.close(reading)
            shown.seek(0)
            text = shown.read(self.output).decode("utf-8", "replace")
        return self._told(text, process.returncode, ready)

    def _follow(self, process: subprocess.Popen[bytes], job: bytes, reading: int) -> bool:
        """Hand over the job and wait, by this side's clock: whether the code was reached."""
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin:
            process.stdin.write(job)
        ready = bool(select.select([reading], [], [], START_SECONDS)[0]) and os.read(reading, 1) == READY
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.seconds + GRACE if ready else GRACE)
        return ready

    def _told(self, text: str, status: int, ready: bool) -> str:
        if status == UNSEALED and not ready:
            raise BackendError(NO_SEAL)
        end = ""
        if status in KILLED:
            end = f"TimeoutError: stopped after {self.seconds:g} s"
        elif status != 0:
            end = f"RuntimeError: the process ended with status {status}"
        if not end:
            return text
        return f"{text}\n{end}\n" if text and not text.endswith("\n") else f"{text}{end}\n"

    def to_record(self) -> dict[str, Any]:
        return {
            "seconds": self.seconds,
            "memory": self.memory,
            "output": self.output,
            "modules": list(self.modules),
            **({"unsafe": True} if self.unsafe else {}),
        }


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a session leader and whatever it started in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
