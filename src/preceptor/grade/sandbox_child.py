"""The process that runs code written by a model: it gives up what it can do, then runs it.

Run as a file by `sandbox.py`, with nothing but the standard library. Sealed by a system call filter (seccomp): what
is not needed to compute and to write to an open file fails, so no file can be opened, changed or removed, no
socket made, no process started or signalled. Modules are imported before, as nothing can be read afterwards.
Without a filter, and only where that was allowed (`unsafe`): limits, another user and no network, where they can
be had.
"""

import builtins
import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time

UNSEALED = 77
READY = b"!"
"""Written once the process is confined: what happens afterwards is the code's doing."""
_NOBODY = 65534
_NEW_USERS, _NEW_NETWORK = 0x10000000, 0x40000000
_OPEN_FILES = 64
_LINUX = {
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 14, 15, 24, 25, 28, 35, 39, 60, 98, 100, 131, 186, 202)
        + (228, 229, 230, 231, 318),
    ),
    "aarch64": (
        0xC00000B7,
        (57, 62, 63, 64, 80, 93, 94, 98, 101, 113, 114, 115, 124, 132, 135, 139, 153, 165, 172, 178)
        + (214, 215, 216, 222, 226, 233, 278),
    ),
}
"""Architecture: its mark, and the calls for reading and writing open files, memory, clocks and exit."""
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_DENY, _ALLOW = 0x00050001, 0x7FFF0000
_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER = 38, 22, 2


class _Rule(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_ushort),
        ("yes", ctypes.c_ubyte),
        ("no", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.POINTER(_Rule))]


class _Nowhere:
    """What earlier blocks print was shown when they ran first."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return


def limit(seconds: float, memory: int, output: int) -> None:
    def at_most(kind: int, value: int) -> None:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))

    at_most(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)
    at_most(resource.RLIMIT_AS, memory)
    at_most(resource.RLIMIT_FSIZE, output)
    at_most(resource.RLIMIT_CORE, 0)
    at_most(resource.RLIMIT_NPROC, 0)
    at_most(resource.RLIMIT_NOFILE, _OPEN_FILES)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def seal() -> bool:
    """False where the kernel or the machine has no such filter."""
    known = _LINUX.get(os.uname().machine) if sys.platform == "linux" else None
    if known is None:
        return False
    mark, calls = known
    rules = [
        _Rule(_LOAD, 0, 0, 4),
        _Rule(_EQUAL, 1, 0, mark),
        _Rule(_RETURN, 0, 0, _DENY),
        _Rule(_LOAD, 0, 0, 0),
    ]
    rules += [_Rule(_EQUAL, len(calls) - k, 0, call) for k, call in enumerate(calls)]
    rules += [_Rule(_RETURN, 0, 0, _DENY), _Rule(_RETURN, 0, 0, _ALLOW)]
    table = (_Rule * len(rules))(*rules)
    kernel = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(rules), table)
    return (
        kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
        and kernel.prctl(_SET_FILTER, _FILTER, ctypes.byref(program), 0, 0) == 0
    )


def surrender() -> None:
    """For want of a seal: be nobody (the limit on processes does not bind root) and leave the network."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # in a container that knows no such user
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
    if sys.platform == "linux":
        ctypes.CDLL(None).unshare(_NEW_USERS | _NEW_NETWORK)


def confine(unsafe: bool) -> bool:
    """False where the code must not be run."""
    if seal():
        return True
    if unsafe:
        surrender()
    return unsafe


def prepare(modules: list[str], path: list[str]) -> None:
    """Import what the code may import, and forget the environment."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    sys.path += path
    for name in modules:
        importlib.import_module(name)
    sys.path[:] = []
    os.environ.clear()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="replace", closefd=False)


def run(blocks: list[str]) -> None:
    """Each block in the same namespace; an error ends its block and not the next one, as in a notebook."""
    space: dict[str, object] = {"__name__": "__main__", "__builtins__": builtins}
    shown = sys.stdout
    for k, block in enumerate(blocks):
        sys.stdout = shown if k == len(blocks) - 1 else _Nowhere()
        try:
            exec(compile(block, "<code>", "exec"), space)
        except BaseException as problem:  # noqa: BLE001 - the code's own error is its output
            print(f"{type(problem).__name__}: {problem}".rstrip(": "))  # noqa: T201
    sys.stdout = shown


def main() -> None:
    job = json.loads(sys.stdin.read())
    prepare(job["modules"], job["path"])
    limit(job["seconds"], job["memory"], job["output"])
    if not confine(job["unsafe"]):
        os._exit(UNSEALED)
    os.write(job["ready"], READY)
    os.close(job["ready"])
    run(job["blocks"])
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
