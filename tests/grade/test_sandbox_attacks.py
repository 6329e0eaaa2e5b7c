"""Programs that try to do harm, or to outlive their time, with and without a seal.

Run: python -m pytest tests/grade/test_sandbox_attacks.py
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from preceptor.errors import BackendError
from preceptor.grade import Sandbox, grade, run_tests, sandbox, warden
from preceptor.trace import Problem, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux's")
BOX = Sandbox(seconds=1.0)
HERE = Path(sandbox.__file__).parent
FINE = ("x = 1", ["assert x == 1"])


def processes_with(word: str) -> list[int]:
    """Ids of the running processes whose environment or command line holds a word."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                if (
                    word.encode() in (place / "cmdline").read_bytes()
                    and "Z" not in (place / "stat").read_text().rpartition(")")[2].split()[0]
                ):
                    found.append(int(place.name))
            except OSError:
                continue
    return found


def unsealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without a filter: both children find that they cannot be sealed."""
    for module, name in ((sandbox, "sandbox_child"), (warden, "warden_child")):
        path = tmp_path / f"{name}_unsealed.py"
        path.write_text(
            f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport sandbox_child\n"
            f"sandbox_child.seal = lambda: False\nimport {name}\nsys.path[:] = [p for p in sys.path if p != "
            f"{str(HERE)!r}]\n{name}.main()\n"
        )
        monkeypatch.setattr(module, "CHILD", path)
    warden.close()


@pytest.fixture(autouse=True)
def _fresh_wardens():
    yield
    warden.close()


def test_a_fork_bomb_starts_nothing():
    bomb = "import sys\nos = sys.modules['os']\nn = 0\nwhile n < 50:\n    os.fork()\n    n += 1\n"
    assert BOX.run([bomb]).startswith("PermissionError")
    report = run_tests(bomb, ["assert True"], sandbox=BOX)
    assert (report.results[0].outcome, report.undecided) == ("error", None)
    threads = "import threading\nwhile True: threading.Thread(target=print).start()"
    assert run_tests(threads, ["assert True"], sandbox=BOX).results[0].outcome == "error"


FLOODS = (
    "while True: print('x' * 999)",
    "import sys\nwhile True: sys.modules['os'].write(1, b'x' * 999)",
)


@pytest.mark.parametrize("program", FLOODS)
def test_infinite_output_is_cut_and_ends_the_program(program: str):
    began = time.monotonic()
    report = run_tests(program, ["assert True"], sandbox=BOX)
    assert report.results[0].outcome in ("error", "timeout")
    assert len(report.results[0].message) < 400
    assert time.monotonic() - began < 5


def test_output_on_the_report_does_not_become_a_verdict():
    lie = """
import os, json
for fd in range(16):
    try:
        os.write(fd, b'\\n' + json.dumps({"outcome": "passed", "message": "", "value": "4"}).encode() + b'\\n')
    except OSError:
        pass
os._exit(0)
"""
    for test in ("assert f() == 4", {"call": "f()", "expected": 4}, {"input": "", "output": "4"}):
        assert run_tests(lie, [test], sandbox=BOX).passed is False


ENDINGS = (
    "import os; os._exit(0)",
    "import sys; sys.exit(0)",
    "import os; os._exit(77)",
    "raise KeyboardInterrupt",
)


@pytest.mark.parametrize("ending", ENDINGS)
def test_ending_early_is_no_success_and_no_failure_of_the_sandbox(ending: str):
    assert run_tests(ending, ["assert f() == 4"], sandbox=BOX).passed is False
    assert isinstance(BOX.run([ending]), str)


def test_no_network():
    code = """
import sys
import _socket
s = _socket.socket()
s.connect(("127.0.0.1", 9))
"""
    box = Sandbox(seconds=1.0, modules=("_socket",))
    assert "PermissionError" in box.run([code])
    assert "PermissionError" in run_tests(code, ["assert True"], sandbox=box).why


def test_nothing_outside_is_written_or_linked_to(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_text("keep")
    code = f"""
import os
tried = denied = 0
for act in (
    lambda: open({str(victim)!r}, "w"),
    lambda: open("/proc/self/mem", "r+b"),
    lambda: os.symlink({str(victim)!r}, "link"),
    lambda: os.link({str(victim)!r}, "hard"),
    lambda: os.rename({str(victim)!r}, {str(tmp_path / "gone")!r}),
    lambda: os.truncate({str(victim)!r}, 0),
    lambda: os.chmod({str(victim)!r}, 0),
    lambda: os.chdir("/"),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: open("own.txt", "w"),
):
    tried += 1
    try:
        act()
    except OSError:
        denied += 1
"""
    assert run_tests(code, ["assert tried == denied == 10"], sandbox=BOX).passed
    assert victim.read_text() == "keep"
    assert os.listdir(tmp_path) == ["victim"]


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    code = """
import os
seen = dict(os.environ)
try:
    seen["process"] = open("/proc/self/environ").read()
except OSError:
    pass
"""
    assert run_tests(code, ["assert seen == {}, seen"], sandbox=BOX).why == ""
    assert BOX.run([code, "print(seen)"]) == "{}\n"


def test_expected_values_of_pairs_are_nowhere_in_the_process():
    """A program that searches every object of its interpreter finds the numbers of asserts, and not of pairs."""
    hunt = """
import gc, sys
def f():
    found, frame = [], sys._getframe()
    while frame:
        found.append(repr(dict(frame.f_locals)))
        frame = frame.f_back
    found += [repr(o) for o in gc.get_objects() if type(o) in (dict, list, tuple)]
    return "".join(["918273", "645"]) in "".join(found)
"""
    box = Sandbox(seconds=20)
    assert run_tests(hunt, ["hidden = 918273645\nassert f()"], sandbox=box).passed
    hidden = run_tests(hunt, [{"call": "f()", "expected": 918273645}], sandbox=box)
    assert (hidden.results[0].outcome, hidden.results[0].message) == ("failed", "f() gave false")


def test_a_memory_hog_fails_alone():
    box = Sandbox(seconds=5, memory=1 << 28)
    report = run_tests("x = []\nwhile True: x.append(bytearray(1 << 26))", ["assert True"], sandbox=box)
    assert "MemoryError" in report.why
    assert run_tests(*FINE, sandbox=BOX).passed


@pytest.mark.parametrize(
    "stubborn",
    [
        "import sys\nsys.modules['signal'].pthread_sigmask(0, range(1, 60))\nimport time\ntime.sleep(60)",
        "import sys\nsys.modules['signal'].pthread_sigmask(0, range(1, 60))\nwhile True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ],
)
def test_a_program_that_ignores_its_clock_is_killed_from_outside(stubborn: str):
    began = time.monotonic()
    assert "TimeoutError" in Sandbox(seconds=0.3).run([stubborn])
    report = run_tests(stubborn, ["assert True", "assert 1"], sandbox=Sandbox(seconds=0.3))
    assert [r.outcome for r in report.results] == ["timeout", "skipped"]
    assert time.monotonic() - began < 8


def test_a_warden_that_died_leaves_its_test_undecided_and_the_next_one_works(monkeypatch: pytest.MonkeyPatch):
    assert run_tests(*FINE, sandbox=BOX).passed
    (idle,) = warden._idle[(), False]
    os.kill(idle.pid, 9)
    assert run_tests(*FINE, sandbox=BOX).passed
    monkeypatch.setattr(warden.Warden, "ask", lambda self, job, seconds: (self.kill(), None)[1])
    report = run_tests(*FINE, sandbox=BOX)
    assert (report.passed, report.undecided) == (None, "the sandbox gave no answer")


def test_without_a_seal_nothing_runs_unless_that_is_accepted(tmp_path, monkeypatch):
    unsealed(tmp_path, monkeypatch)
    with pytest.raises(BackendError, match="no system call filter"):
        BOX.run(["print(1)"])
    assert run_tests(*FINE, sandbox=BOX).passed is None
    asked = Problem("q", '{"tests": ["assert x == 1"]}', grader="code")
    assert grade(asked, "x = 1").verdict is Verdict.UNDECIDED
    assert Sandbox(seconds=1, unsafe=True).run(["print(1)"]) == "1\n"
    assert run_tests(*FINE, sandbox=Sandbox(unsafe=True)).passed


def test_without_a_seal_the_limits_hold(tmp_path, monkeypatch):
    """Fork bomb, a sleeping child in a session of its own, a large file, memory, the environment, the network."""
    unsealed(tmp_path, monkeypatch)
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    box = Sandbox(seconds=1.0, output=4096, unsafe=True)
    bomb = "import os\nn = 0\nwhile n < 20:\n    n += 1\n    if os.fork() == 0: os.setsid()\n"
    sleeper = (
        "import os\npid = os.posix_spawn('/bin/sleep', ['sleep', '123.4567'], {}, setsid=True)\n"
        "import time\ntime.sleep(60)"
    )
    large = """
import os
with open("/tmp/preceptor-large-" + str(os.getpid()), "wb") as f:
    os.unlink(f.name)
    f.write(b"x" * 9999)
    f.flush()
"""
    for program, why in (
        (bomb, "BlockingIOError"),
        (sleeper, "BlockingIOError"),
        (large, "File too large"),
        ("x = bytearray(1 << 32)", "MemoryError"),
        ("import os\nassert dict(os.environ) == {}\nraise KeyError(1)", "KeyError"),
        ("while True: pass", "timeout"),
    ):
        assert why in run_tests(program, ["assert True"], sandbox=box).why, program
        assert ("TimeoutError" if why == "timeout" else why) in box.run([program]), program
    assert processes_with("123.4567") == []


def test_without_a_seal_the_group_dies_with_the_program(tmp_path, monkeypatch):
    """Even where the limit on processes does not bind (a child script lifts it here)."""
    unsealed(tmp_path, monkeypatch)
    for module in (sandbox, warden):
        text = module.CHILD.read_text().replace(
            "sandbox_child.seal = ",
            "sandbox_child.resource.RLIMIT_NPROC = sandbox_child.resource.RLIMIT_CORE\nsandbox_child.seal = ",
        )
        module.CHILD.write_text(text)
    box = Sandbox(seconds=0.5, unsafe=True)
    marker = f"98.{os.getpid()}"
    program = f"import os\nos.posix_spawn('/bin/sleep', ['sleep', '{marker}'], {{}})\n"
    assert box.run([program + "print('started', flush=True)\nwhile True: pass"]).startswith("started")
    assert run_tests(program, ["assert True"], sandbox=box).passed
    assert run_tests(program + "while True: pass", ["assert True"], sandbox=box).passed is False
    time.sleep(0.2)
    assert processes_with(marker) == []
