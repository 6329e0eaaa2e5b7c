"""`label_with_workers`: the labels and the cost of one process, from several; what a killed one left is finished.

Run: python -m pytest tests/annotate/test_workers.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from preceptor.annotate import FirstErrorSearch, MathShepherd, OmegaPRM
from preceptor.annotate.workers import label_with_workers
from preceptor.errors import BackendError, InputError, ItemError
from preceptor.generation import Continuation
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy import ScriptedPolicy
from preceptor.store import Store
from tests.annotate.rollout.exact import attempts

ROOT = Path(__file__).resolve().parents[2]
POLICY = ScriptedPolicy(error=0.3, repair=0.1)
TRACES = attempts(POLICY, problems=7, samples=3)
MIXED_UP = [t for d in range(3) for t in TRACES[d::3]]
"""The traces of a problem apart from each other."""


def shepherd(store: Store) -> MathShepherd:
    return MathShepherd(POLICY, rollouts=3, store=store)


def omega(store: Store) -> OmegaPRM:
    return OmegaPRM(POLICY, rollouts=2, searches=4, filter=4, store=store)


def search(store: Store) -> FirstErrorSearch:
    return FirstErrorSearch(POLICY, store=store)


class Mortal(MathShepherd):
    """Its process is killed, once, after it has labelled a unit."""

    def judge(self, traces):
        flag = Path(str(self.store.path) + ".killed")
        if not flag.exists() and self.store.judged(self.source):
            flag.write_text("once")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().judge(traces)


def mortal(store: Store) -> Mortal:
    return Mortal(POLICY, rollouts=3, store=store)


class Broken:
    """A policy that cannot be reached."""

    fingerprint = "broken"

    def generate(self, requests) -> list[Continuation]:
        raise BackendError("no server there")


def broken(store: Store) -> MathShepherd:
    return MathShepherd(Broken(), store=store)


class Picky:
    """Fails on every second trace and writes down whom it was asked about."""

    source, question = Source.of("picky"), Question.QUALITY

    def __init__(self, log: Path):
        self.log = log

    def score(self, traces):
        with self.log.open("a") as file:
            file.writelines(f"{t.id}\n" for t in traces)
        return [self._one(t) for t in traces]

    def _one(self, t):
        if t.draw % 2:
            return Judgement(t.id, self.question, self.source, None, error=ItemError("odd", "an odd draw"))
        return Judgement(t.id, self.question, self.source, (1.0,) * len(t.steps))


def picky(log: Path, store: Store) -> Picky:
    return Picky(log)


def costs(labels):
    policy = labels.usage.policy
    return (policy.generated, policy.reused, policy.calls, policy.prefilled)


def exported(make, path: Path, workers: int, traces=TRACES, unit: int = 4):
    """Records of all labels and the store's export, which has everything but the usage."""
    with Store(path / f"{workers}.db") as store:
        labels = label_with_workers(make, traces, store, workers, unit=unit)
        assert store.verify() == []
        out = path / f"{workers}.jsonl"
        store.export(out)
    return labels, out.read_bytes()


@pytest.mark.parametrize("make", [shepherd, omega], ids=["math-shepherd", "omegaprm"])
def test_two_and_three_processes_write_the_bytes_of_one_and_pay_as_much(tmp_path, make):
    one, bytes_one = exported(make, tmp_path, 1)
    assert one.labelled == len(TRACES)
    assert b'"type":"rollout"' in bytes_one.replace(b" ", b"")
    for workers in (2, 3):
        several, bytes_several = exported(make, tmp_path, workers)
        assert bytes_several == bytes_one
        assert [t.id for t in several.traces] == [t.id for t in one.traces] == [t.id for t in TRACES]
        assert costs(several) == costs(one)
        assert (several.labelled, several.failed, several.skipped) == (one.labelled, one.failed, one.skipped)


def test_where_the_traces_of_a_problem_stand_changes_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, together = exported(omega, tmp_path / "a", 1)
    apart, scattered = exported(omega, tmp_path / "b", 2, traces=MIXED_UP, unit=2)
    assert scattered == together
    assert [t.id for t, _ in apart] == [j.trace for _, j in apart] == [t.id for t in MIXED_UP]


def test_what_a_killed_process_left_is_done_by_its_caller(tmp_path):
    _, undisturbed = exported(shepherd, tmp_path, 1)
    (tmp_path / "k").mkdir()
    labels, disturbed = exported(mortal, tmp_path / "k", 2, unit=2)
    assert (tmp_path / "k" / "2.db.killed").exists(), "nobody was killed"
    assert (labels.labelled, labels.failed) == (len(TRACES), 0)
    assert disturbed == undisturbed


def test_a_second_start_loads_everything_and_equal_traces_are_judged_once(tmp_path):
    with Store(tmp_path / "a.db") as store:
        first = label_with_workers(shepherd, [*TRACES, TRACES[0]], store, 2)
        assert (len(first), first.skipped) == (len(TRACES) + 1, 1)
        assert first.judgements[0] == first.judgements[-1]
        again = label_with_workers(shepherd, TRACES, store, 2)
    assert (again.labelled, again.skipped) == (len(TRACES), len(TRACES))
    assert costs(again) == (0, 0, 0, 0)
    assert [j.scores for j in again.judgements] == [j.scores for j in first.judgements[:-1]]


def test_failed_traces_are_tried_once_and_only_they_are_tried_again(tmp_path):
    log = tmp_path / "log"
    odd = {t.id for t in TRACES if t.draw % 2}
    with Store(tmp_path / "a.db") as store:
        first = label_with_workers(partial(picky, log), TRACES, store, 2)
        assert sorted(log.read_text().split()) == sorted(t.id for t in TRACES)
        assert (first.failed, first.errors) == (len(odd), {"odd": len(odd)})
        log.write_text("")
        again = label_with_workers(partial(picky, log), TRACES, store, 2)
    assert set(log.read_text().split()) == odd
    assert again.skipped == len(TRACES) - len(odd)


def test_an_error_of_the_backend_is_raised_once_by_the_caller(tmp_path, capfd):
    with Store(tmp_path / "a.db") as store, pytest.raises(BackendError, match="no server there"):
        label_with_workers(broken, TRACES, store, 2)
    assert "Traceback" not in capfd.readouterr().err


def test_methods_that_judge_all_traces_together_are_refused(tmp_path):
    with Store(tmp_path / "a.db") as store:
        with pytest.raises(InputError, match="first-error-search judges all traces together"):
            label_with_workers(search, TRACES, store, 2)
        with pytest.raises(InputError, match="function of a module"):
            label_with_workers(lambda kept: shepherd(kept), TRACES, store, 2)
        assert list(store.judgements()) == []


SLOW = """
import sys, time
from preceptor.annotate.workers import label_with_workers
from preceptor.annotate import MathShepherd
from preceptor.store import Store
from tests.annotate.test_workers import POLICY, TRACES

class Slow(MathShepherd):
    def judge(self, traces):
        time.sleep(2)
        return super().judge(traces)

def make(store):
    return Slow(POLICY, rollouts=3, store=store)

if __name__ == "__main__":
    with Store(sys.argv[1]) as store:
        label_with_workers(make, TRACES, store, 2, unit=1)
"""


def ended(group: int) -> bool:
    """Within ten seconds no process of the group is left."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_ctrl_c_ends_all_processes_and_the_next_start_goes_on(tmp_path):
    script, path = tmp_path / "slow.py", tmp_path / "a.db"
    script.write_text(SLOW)
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script), str(path)], env=env, stderr=subprocess.PIPE, start_new_session=True
    )
    with Store(path) as store:
        deadline = time.monotonic() + 30
        while not (done := len(list(store.judgements()))) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert 0 < done < len(TRACES)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode != 0
        assert said.decode().count("Traceback") <= 1, "the processes say nothing of their own"
        assert ended(process.pid), "a process is left over"
        assert store.verify() == []
        kept = len(store.judged(shepherd(store).source))
        labels = label_with_workers(shepherd, TRACES, store, 2)
    assert 0 < kept < len(TRACES)
    assert (labels.labelled, labels.skipped) == (len(TRACES), kept)
