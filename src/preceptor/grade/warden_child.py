"""The process that runs untrusted programs against tests: it never runs them itself, it forks.

Run as a file by `warden.py`, with nothing but the standard library. One line of JSON in (a program and one test of
it), one out. Each test is run by a fork that is confined as in `sandbox_child.py` before it compiles a single line,
holds no file but its own input, output and report, and is killed with its group when the time is up. What a fork
says counts only if it holds the mark of this test, and expected values are never shown to it.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sandbox_child import UNSEALED, confine, limit, prepare

sys.path.pop(0)
GRACE = 0.5
_REPORT = 3
_KILL_WITH_PARENT = 1
_TIMEOUTS = (signal.SIGALRM, signal.SIGXCPU)
BAD_CODE = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)
"""What compiling can raise."""


def said(problem: BaseException) -> str:
    """Kind and message, without trust in the message."""
    kind = type(problem).__name__
    try:
        return f"{kind}: {problem}".rstrip(": ")[:300]
    except BaseException:  # noqa: BLE001 - an exception class of the program's
        return kind


def attempt(job: dict, test: dict, mark: str) -> None:
    """In the fork: compile, run, report and end."""
    dumps, write, leave = json.dumps, os.write, os._exit

    def tell(outcome: str, message: str = "", value: str = "") -> None:
        record = dumps({"outcome": outcome, "message": message, "value": value})
        write(_REPORT, f"\n{mark}{record}\n".encode("ascii"))
        leave(0)

    whole = "input" in test
    space: dict = {"__name__": "__main__" if whole else "solution", "__builtins__": __builtins__}
    try:
        check = compile(
            test.get("code") or test.get("call", ""), "<test>", "eval" if "call" in test else "exec"
        )
        exec(compile(job["setup"], "<setup>", "exec"), space)
    except BaseException as problem:  # noqa: BLE001 - the tests cannot be used, whatever it is
        tell("bad-tests", said(problem))
    try:
        program = compile(job["program"], "<program>", "exec")
    except BAD_CODE as problem:
        tell("compile", said(problem))
    try:
        exec(program, space)
    except SystemExit as problem:
        if not whole or problem.code not in (None, 0):
            tell("load", said(problem))
    except BaseException as problem:  # noqa: BLE001 - the program's own error is the result
        tell("load", said(problem))
    write(_REPORT, f"\n{mark}loaded\n".encode("ascii"))
    try:
        value = eval(check, space)
        sys.stdout.flush()
        tell("passed" if "code" in test else "value", "", dumps(value) if "call" in test else "")
    except AssertionError as problem:
        tell("failed", said(problem))
    except BaseException as problem:  # noqa: BLE001 - as above
        tell("error", said(problem))


def enter(job: dict, test: dict, given: int, shown: int, report: int) -> None:
    """In the fork: let go of everything but three files, then confine."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_KILL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    nothing = os.open(os.devnull, os.O_WRONLY)
    kept = [os.dup(fd) for fd in (given, shown, nothing, report)]
    for target, fd in enumerate(kept):
        os.dup2(fd, target)
    os.closerange(_REPORT + 1, 1 + max(kept))
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(fd, "r" if fd == 0 else "w", encoding="utf-8", errors="replace", closefd=False)
        for fd in range(3)
    )
    limit(job["seconds"], job["memory"], job["output"])
    if not confine(job["unsafe"]):
        os._exit(UNSEALED)
    os.write(_REPORT, b"confined\n")


def watch(pid: int, seconds: float) -> tuple[int, bool]:
    """Status of the fork, and whether it overran; none of its group is left."""
    end, pause = time.monotonic() + seconds + GRACE, 0.0005
    late = False
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        late = late or (not found and time.monotonic() > end)
        if found or late:
            for act in (os.killpg,) if found else (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    act(pid, signal.SIGKILL)
        if found:
            return status, late
        time.sleep(pause)
        pause = min(2 * pause, 0.01)


def fork(job: dict, test: dict) -> dict:
    """The result of one test."""
    mark = os.urandom(16).hex()
    new = tempfile.TemporaryFile
    with new() as given, new() as shown, new() as report:
        given.write(test.get("input", "").encode("utf-8", "replace"))
        given.seek(0)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                enter(job, test, given.fileno(), shown.fileno(), report.fileno())
                attempt(job, test, mark)
            finally:
                os._exit(1)
        status, late = watch(pid, job["seconds"])
        report.seek(0)
        shown.seek(0)
        notes = report.read(job["output"]).decode("utf-8", "replace")
        result = read(notes, mark, status, late or time.monotonic() - began >= job["seconds"])
        if "input" in test:
            result["value"] = shown.read(job["output"]).decode("utf-8", "replace")
        return result


def read(notes: str, mark: str, status: int, late: bool) -> dict:
    if not notes.startswith("confined\n"):
        why = "unsealed" if os.WIFEXITED(status) and os.WEXITSTATUS(status) == UNSEALED else "not started"
        return {"outcome": "undecided", "message": why, "value": ""}
    marked = [line.removeprefix(mark) for line in notes.split("\n") if line.startswith(mark)]
    told = [line for line in marked if line.startswith("{") and line.endswith("}")]
    if told and status == 0:
        return json.loads(told[0])
    loaded = "loaded" in marked
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if killed in _TIMEOUTS or late:
        return {"outcome": "timeout" if loaded else "load-timeout", "message": "", "value": ""}
    why = f"killed by signal {killed}" if killed else f"ended with status {os.WEXITSTATUS(status)}"
    return {"outcome": "error" if loaded else "load", "message": f"{why} before its test did", "value": ""}


def main() -> None:
    first = json.loads(sys.stdin.readline())
    prepare(first["modules"], first["path"])
    print(json.dumps({"id": 0}), flush=True)  # noqa: T201
    for line in sys.stdin:
        job = json.loads(line)
        result = fork({**job, "unsafe": first["unsafe"]}, job["test"])
        print(json.dumps({"id": job["id"], **result}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
