"""Code that a model wrote can compute and print; it cannot touch anything outside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.grade import Sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux's")
BOX = Sandbox(seconds=1.0)


def test_the_last_block_prints_and_sees_the_names_of_earlier_ones():
    assert BOX.run(["import math\nx = 12 * 7\nprint('earlier')", "print(x, math.gcd(x, 36))"]) == "84 12\n"


def test_an_error_is_output_and_ends_its_block_only():
    assert BOX.run(["x = 3\n1 / 0", "print(x)\ny = [][1]"]) == "3\nIndexError: list index out of range\n"
    assert BOX.run(["this is no python"]).startswith("SyntaxError")


def test_nothing_outside_can_be_read_written_reached_or_started(tmp_path: Path):
    victim = tmp_path / "victim.txt"
    victim.write_text("keep")
    code = f"""
import sys
os = sys.modules['os']
def attempt(name, act):
    try:
        act()
        print(name, 'HAPPENED')
    except (OSError, ImportError) as e:
        print(name, 'denied')
attempt('read', lambda: open({str(victim)!r}).read())
attempt('write', lambda: open({str(victim)!r}, 'w'))
attempt('remove', lambda: os.remove({str(victim)!r}))
attempt('make', lambda: os.mkdir({str(tmp_path / "new")!r}))
attempt('fork', lambda: os.fork())
attempt('shell', lambda: os.posix_spawn('/bin/sh', ['sh'], {{}}))
attempt('socket', lambda: __import__('socket').socket())
attempt('kill', lambda: os.kill(os.getppid(), 0))
"""
    said = BOX.run([code]).split("\n")
    assert [line for line in said if "HAPPENED" in line] == []
    assert len([line for line in said if "denied" in line]) == 8
    assert victim.read_text() == "keep"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(60)"])
def test_code_that_does_not_end_is_stopped_and_keeps_what_it_printed(code: str):
    said = Sandbox(seconds=0.3).run([f"print('before', flush=True)\n{code}"])
    assert said == "before\nTimeoutError: stopped after 0.3 s\n"


def test_memory_and_output_are_bounded():
    assert "MemoryError" in BOX.run(["x = bytearray(1 << 32)"])
    assert len(BOX.run(["while True: print('x' * 1000)"])) <= BOX.output + 100


def test_a_sandbox_without_time_is_refused():
    with pytest.raises(InputError, match="seconds"):
        Sandbox(seconds=0)
