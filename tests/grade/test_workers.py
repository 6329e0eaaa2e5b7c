"""Sympy runs in child processes: a hang costs its own item only, waiting costs nothing, threads are welcome."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from preceptor.grade import equivalent, grade_many, workers
from preceptor.grade.workers import Pool, Reply
from preceptor.trace import Problem, Verdict

HANGS = ["9^{9^{9^9}}", "10^{10^{10}}", "((9!)!)!", r"\binom{10^9}{10^8}"]


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """One worker, one second, in place of the process-wide pool."""
    own = Pool(size=1, seconds=1.0)
    monkeypatch.setattr(workers, "_pool", own)
    yield own
    own.close()


@pytest.mark.parametrize("tower", HANGS)
def test_an_expression_that_hangs_sympy_is_undecided(pool: Pool, tower: str) -> None:
    started = time.monotonic()
    grade = equivalent("math", tower, "5")
    assert grade.verdict is Verdict.UNDECIDED
    assert grade.reason.startswith("timeout: ")
    assert time.monotonic() - started < 60
    assert pool.pids() == []  # the hung worker is gone


def test_a_killed_worker_is_replaced_and_the_next_item_is_graded(pool: Pool) -> None:
    assert pool.ask("math_verify", "2^{10}", "1024") == Reply(True)
    (first,) = pool.pids()
    assert pool.ask("math_verify", HANGS[0], "1").equal is None
    assert pool.ask("math_verify", "2^{11}", "2048") == Reply(True)
    assert pool.pids() != [first]
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_worker_that_dies_in_mid_job_leaves_its_item_undecided() -> None:
    patient = Pool(size=1, seconds=300)
    patient.ask("math_verify", "2^{10}", "1024")
    (pid,) = patient.pids()
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    assert patient.ask("math_verify", HANGS[0], "1") == Reply(None, "worker died")
    assert patient.ask("math_verify", "2^{10}", "1025").equal is False
    (pid,) = patient.pids()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert patient.ask("math_verify", "2^{10}", "1026").why == "worker died"  # died while idle
    assert patient.ask("math_verify", "2^{10}", "1026").equal is False
    patient.close()


def test_an_undecided_item_is_not_remembered_and_a_decided_one_is(pool: Pool) -> None:
    assert pool.ask("math_verify", "2x", "x+x").equal is True
    pool.close()
    assert pool.ask("math_verify", "2x", "x+x").equal is True
    assert pool.pids() == []  # no worker was needed
    assert pool.ask("math_verify", HANGS[0], "1").equal is None
    pool.seconds = 0.0
    assert pool.ask("math_verify", "x", "x+1").why == "timeout"
    pool.seconds = 30.0
    assert pool.ask("math_verify", "x", "x+1").equal is False


def test_waiting_for_a_worker_does_not_count_as_grading_time(pool: Pool) -> None:
    """Fifty threads share one worker whose limit is one second; two items hang; the queue lasts far longer."""
    jobs = [f"{n}^{{2}}" for n in range(2, 40)]
    pool.ask("math_verify", "1", "1+0")
    with ThreadPoolExecutor(50) as threads:
        hung = [threads.submit(pool.ask, "math_verify", tower, "1") for tower in HANGS[:2]]
        right = [
            threads.submit(pool.ask, "math_verify", job, str(n**2)) for n, job in enumerate(jobs, start=2)
        ]
    assert [r.result() for r in hung] == [Reply(None, "timeout")] * 2
    assert [r.result() for r in right] == [Reply(True)] * len(jobs)


def test_fifty_threads_grade_at_once_with_few_processes() -> None:
    shared = Pool(size=2)
    pairs = [(f"{n}\\sqrt{{{n}}}", f"\\sqrt{{{n**3 + n % 2}}}", n % 2 == 0) for n in range(2, 62)]
    with ThreadPoolExecutor(50) as threads:
        replies = list(threads.map(lambda p: shared.ask("math_verify", p[0], p[1]).equal, pairs))
    assert replies == [p[2] for p in pairs]
    assert 1 <= len(shared.pids()) <= 2
    shared.close()


def test_one_hanging_answer_among_many_costs_only_itself(pool: Pool) -> None:
    problem = Problem("q", gold="1024")
    texts = ["\\boxed{2^{10}}", f"\\boxed{{{HANGS[0]}}}", "\\boxed{2^{9}}", "\\boxed{1024}"]
    grades = grade_many([(problem, t) for t in texts])
    assert [g.verdict.value for g in grades] == ["correct", "undecided", "incorrect", "correct"]


def test_a_worker_may_not_take_all_memory() -> None:
    script = "from preceptor.grade.worker import _limit_memory as f; f(); bytearray(3 << 30)"
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "MemoryError" in run.stderr


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "\n", "\r\n{}", "\\end{document}", "\u2028", "}" * 1_000, "\\" * 999]
)
def test_odd_characters_reach_a_worker_and_come_back(text: str) -> None:
    assert workers.ask("math_verify", text, "5").equal is False
    assert workers.ask("difference_is_zero", text, "5").equal is False


def test_an_answer_too_long_for_sympy_is_refused_without_a_worker(pool: Pool) -> None:
    assert pool.ask("math_verify", "1+" * 10_000 + "1", "5") == Reply(False, "too long")
    assert pool.pids() == []


def test_a_script_without_a_main_guard_and_a_forked_child_can_grade() -> None:
    """Workers do not import the caller's script, and a fork does not talk over its parent's pipes."""
    script = (
        "import os\n"
        "from preceptor.grade import equivalent\n"
        "print(equivalent('math', '2^{10}', '1024').verdict.value, flush=True)\n"
        "pid = os.fork()\n"
        "print(equivalent('math', '2^{11}', '2048').verdict.value, flush=True)\n"
        "if pid == 0: os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    run = subprocess.run(
        [sys.executable], input=script, capture_output=True, text=True, timeout=120, check=True
    )
    assert run.stdout.split() == ["correct"] * 3, run


def test_workers_end_with_their_parent_even_if_it_was_killed_while_one_hung() -> None:
    script = (
        "import threading, time\n"
        "from preceptor.grade.workers import Pool\n"
        "pool = Pool(size=1, seconds=1.0)\n"
        "pool.ask('math_verify', 'x', 'x+0')\n"
        "print(pool.pids()[0], flush=True)\n"
        "pool.ask('math_verify', '9^{9^{9^9}}', '1')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(300):
        if not _alive(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by 30 seconds")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
