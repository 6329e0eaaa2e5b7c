"""kill -9 at any moment loses at most the batch in flight, and a second start continues to the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from preceptor.annotate import MathShepherd
from preceptor.store import Store
from tests.annotate.scripted import Scripted
from tests.annotate.worker import ROLLOUTS, TRACES, UNIT, run

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.08
ROLLOUTS_IN_ALL = ROLLOUTS * 5 * len(TRACES)
BATCHES = 2 * len(TRACES) // UNIT
KILLS = 6


def start(store: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.annotate.worker", str(store), str(log), str(SECONDS)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE)


def batches(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def kill_at_random(store: Path, log: Path, moment: random.Random) -> None:
    """Start, and kill somewhere between the first new batch and the one after it, or while it starts up."""
    before, child = len(batches(log)), start(store, log)
    if moment.random() < 0.8:
        while len(batches(log)) <= before and child.poll() is None:
            time.sleep(0.002)
    time.sleep(moment.uniform(0, 1.5 * SECONDS))
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL, "it finished before it could be killed"


@pytest.mark.parametrize("seed", [0, 1])
def test_kill_9_loses_nothing_repeats_nothing_and_changes_no_byte(tmp_path: Path, seed: int):
    store, log, moment = tmp_path / "killed.store", tmp_path / "log", random.Random(seed)
    for _ in range(KILLS):
        kill_at_random(store, log, moment)
        with Store(store) as half:
            assert half.verify() == []
    last = start(store, log)
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said.decode()

    reference = tmp_path / "whole.store"
    run(str(reference), str(tmp_path / "whole.log"), 0.0)
    with Store(store) as killed, Store(reference) as whole:
        source = MathShepherd(Scripted(lambda t: 0.0), rollouts=ROLLOUTS).source
        assert killed.judged(source) == {t.id for t in TRACES}
        assert killed.stats()["rollouts"] == ROLLOUTS_IN_ALL == whole.stats()["rollouts"]
        assert killed.stats()["tokens"] == whole.stats()["tokens"]
        assert killed.verify() == []
        killed.export(tmp_path / "killed.jsonl")
        whole.export(tmp_path / "whole.jsonl")
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()

    asked = batches(log)
    again = Counter(tuple(batch) for batch in asked)
    assert set(again) == {tuple(b) for b in batches(tmp_path / "whole.log")}, "the same batches were formed"
    assert len(again) == BATCHES
    assert len(asked) - BATCHES <= KILLS, "at most the batch in flight at each kill is generated again"
    keys = [key for batch in again for key in batch]
    assert len(keys) == len(set(keys)) == ROLLOUTS_IN_ALL
