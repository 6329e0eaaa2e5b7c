"""`preceptor solve` goes on where it was killed, to the same bytes; a dead server is an error on its problems.

Run: python -m pytest tests/cli/test_solve_resume.py
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preceptor.cli import main
from preceptor.cli.solving import forgetting
from preceptor.errors import BackendError, InputError
from preceptor.generation import Sampling
from preceptor.judgement import Judgement, Question, Source
from preceptor.policy import load_policy, retry
from preceptor.search import BestOfN, Majority, StepBeam, Strategy, resume
from preceptor.search.resume import Solved, solve_into
from preceptor.search.run_log import LOG
from preceptor.trace import Problem
from preceptor.usage import Budget
from tests.cli.solving_server import ROOT, free_port, running
from tests.search.toy import Oracle, TreePolicy, problems

SAME = ("problems.jsonl", "result.json", "solutions.jsonl", "trees.jsonl")
BEAM = ["--strategy", "step-beam", "--keep", "2", "--expand", "2", "--scorer", "world:arithmetic"]
DATA = ["--problems", "world:arithmetic", "--n", "12", "--chunk", "3"]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in SAME}


def beam(out: Path, policy: TreePolicy, n: int = 7, **other) -> Solved:
    settings = {"strategy": StepBeam(2, 2), "scorer": Oracle(), "budget": Budget(tokens=90), "chunk": 2}
    return solve_into(out, policy, problems(n), **{**settings, **other})


# Killed


def test_kill_9_at_any_moment_changes_no_byte(tmp_path):
    moment = random.Random(0)
    with running(free_port(), seconds=0.01) as url:
        words = ["solve", *BEAM, *DATA, "--policy", f"openai:{url}#m", "--budget", "tokens=200", "--out"]
        kills = 0
        for _ in range(3):
            child = started([*words, str(tmp_path / "killed")])
            done = closed(tmp_path / "killed")
            until = moment.choice([1, 0, 1])  # while it starts, or behind a chunk more
            while child.poll() is None and closed(tmp_path / "killed") < done + until:
                time.sleep(0.002)
            time.sleep(moment.uniform(0, 0.1))
            child.kill()
            kills += child.wait() == -signal.SIGKILL
        last = started([*words, str(tmp_path / "killed")])
        assert last.wait(60) == 0
        assert started([*words, str(tmp_path / "whole")]).wait(60) == 0
    assert kills
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not (tmp_path / "killed" / LOG).exists()


def started(words: list[str]) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    code = "from preceptor.cli import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT, env=env, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)  # fmt: skip


def closed(folder: Path) -> int:
    """Chunks that stand in the log."""
    log = folder / LOG
    return log.read_bytes().count(b'{"closed"') if log.exists() else 0


def test_ctrl_c_is_130_and_says_how_to_go_on(tmp_path, capsys):
    with running(free_port(), seconds=0.2) as url:
        words = ["solve", *BEAM, *DATA, "--policy", f"openai:{url}#m", "--out", str(tmp_path / "o")]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", "from preceptor.cli import main; main()", *words]
        child = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while child.poll() is None and not closed(tmp_path / "o"):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        out, said = child.communicate(timeout=30)
        assert child.returncode == 130
        assert out == b""
        assert b"the same command continues" in said
        assert b"Traceback" not in said
        assert closed(tmp_path / "o") >= 1
        assert main(words) == 0


@pytest.mark.parametrize("strategy", [StepBeam(2, 2), BestOfN(3), Majority(None)], ids=str)
def test_a_log_torn_at_any_byte_leads_to_the_same_files(strategy: Strategy, tmp_path):
    class Stopped(TreePolicy):
        def generate(self, requests):
            if any(r.problem.id == "toy6" for r in requests):
                raise KeyboardInterrupt
            return super().generate(requests)

    with pytest.raises(KeyboardInterrupt):
        beam(tmp_path / "log", Stopped(), strategy=strategy)
    whole = beam(tmp_path / "whole", TreePolicy(), strategy=strategy)
    log = (tmp_path / "log" / LOG).read_bytes()
    ends = [i + 1 for i, byte in enumerate(log) if byte == ord("\n")]
    for cut in sorted(
        {0, 1, *ends[::2], *(e - 1 for e in ends[1::3]), *random.Random(1).sample(range(len(log)), 8)}
    ):
        folder = tmp_path / "torn"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / LOG).write_bytes(log[:cut])
        policy = TreePolicy()
        again = beam(folder, policy, strategy=strategy)
        assert contents(folder) == contents(tmp_path / "whole"), cut
        assert repr(again.result) == repr(whole.result)
        kept = log[:cut].count(b'{"closed"') - (
            cut not in ends and log[:cut].rpartition(b"\n")[2].startswith(b'{"closed"')
        )
        asked = {r.problem.id for batch in policy.sent for r in batch}
        assert len(asked) == 7 - 2 * kept, "finished chunks are not searched again"


@pytest.mark.parametrize("name", ["seconds.json", "result.json"])
def test_killed_while_the_final_files_are_written(name, tmp_path, monkeypatch):
    write = resume._write_json

    def killed(path, record):
        if path.name == name:
            raise KeyboardInterrupt
        write(path, record)

    monkeypatch.setattr(resume, "_write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        beam(tmp_path / "a", TreePolicy())
    monkeypatch.undo()
    policy = TreePolicy()
    beam(tmp_path / "a", policy)
    assert policy.sent == []
    beam(tmp_path / "b", TreePolicy())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_finished_run_is_only_read_again_and_nothing_of_it_depends_on_the_clock(tmp_path):
    first = beam(tmp_path / "a", TreePolicy())
    policy = TreePolicy()
    again = beam(tmp_path / "a", policy)
    assert policy.sent == []
    assert again.result.to_record() == first.result.to_record()
    assert again.seconds == first.seconds
    assert [s.to_record() for s in again.result.solutions] == [s.to_record() for s in first.result.solutions]
    assert all(b"seconds" not in text for text in contents(tmp_path / "a").values())
    assert first.seconds["wall"] > 0


def test_what_stands_in_the_files_is_what_solve_gives(tmp_path):
    from preceptor.search import solve

    ours = beam(tmp_path, TreePolicy()).result
    plain = solve(TreePolicy(), problems(7), StepBeam(2, 2), Oracle(), Budget(tokens=90))
    assert [s.to_record() for s in ours.solutions] == [s.to_record() for s in plain.solutions]
    assert [s.tree.to_record() for s in ours.solutions] == [s.tree.to_record() for s in plain.solutions]
    assert [s.grade for s in ours.solutions] == [s.grade for s in plain.solutions]
    assert [[c.trace.grade for c in s.candidates] for s in ours.solutions] == [
        [c.trace.grade for c in s.candidates] for s in plain.solutions
    ]
    assert ours.rounds >= plain.rounds
    same = {k: v for k, v in plain.to_record().items() if k != "rounds"}
    assert {k: v for k, v in ours.to_record().items() if k != "rounds"} == same


def test_the_size_of_the_chunks_may_change_and_the_answers_do_not(tmp_path):
    class Stopped(TreePolicy):
        def generate(self, requests):
            if any(r.problem.id == "toy4" for r in requests):
                raise KeyboardInterrupt
            return super().generate(requests)

    with pytest.raises(KeyboardInterrupt):
        beam(tmp_path / "a", Stopped())
    other = beam(tmp_path / "a", TreePolicy(), chunk=3)
    whole = beam(tmp_path / "b", TreePolicy())
    assert [s.to_record() for s in other.result.solutions] == [s.to_record() for s in whole.result.solutions]


# Another run


@pytest.mark.parametrize(
    "change, said",
    [
        ({"strategy": StepBeam(2, 3)}, "strategy was .*expand=2.* now .*expand=3"),
        ({"budget": Budget(tokens=91)}, "budget was {'tokens': 90}, now {'tokens': 91}"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"scorer": Oracle(constant=0.5), "policy": TreePolicy(fingerprint="other")}, "policy was 'tree', now 'other'"),
        ({"n": 6}, "problems was '7 "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("finished", [True, False])
def test_another_run_is_refused_and_nothing_is_touched(change, said, finished, tmp_path):
    beam(tmp_path, TreePolicy(fails=lambda r: not finished and r.problem.id == "toy1"))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert (LOG in before) is not finished
    with pytest.raises(InputError, match=said):
        beam(tmp_path, **{"policy": TreePolicy(), **change})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_files_that_are_not_ours_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / LOG).write_bytes(b"my notes\nmore notes\n")
    with pytest.raises(InputError, match="do not say which run"):
        beam(tmp_path / "a", TreePolicy())
    assert (tmp_path / "a" / LOG).read_bytes() == b"my notes\nmore notes\n"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trees.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="do not say which run"):
        beam(tmp_path / "b", TreePolicy())


@pytest.mark.parametrize(
    "name, old, new, said",
    [
        ("trees.jsonl", b'"parent":0', b'"parent":99', "expected each behind its parent"),
        ("trees.jsonl", b'"policy":"tree"', b'"police":"tree"', "damaged"),
        ("solutions.jsonl", b'"node":1', b'"node":7777', "damaged"),
        ("solutions.jsonl", b"\n", b"", "solutions.jsonl:1"),
    ],
)
def test_a_finished_run_whose_files_are_damaged_is_refused_in_words(name, old, new, said, tmp_path):
    beam(tmp_path, TreePolicy())
    whole = (tmp_path / name).read_bytes()
    assert old in whole
    (tmp_path / name).write_bytes(whole.replace(old, new))
    with pytest.raises(InputError, match=said):
        beam(tmp_path, TreePolicy())


def test_a_run_with_a_line_less_is_refused(tmp_path):
    beam(tmp_path, TreePolicy())
    trees = (tmp_path / "trees.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "trees.jsonl").write_bytes(b"".join(trees[:-1]))
    with pytest.raises(InputError, match="damaged"):
        beam(tmp_path, TreePolicy())


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", tmp_path / "out" / "cells"):
        with pytest.raises(InputError, match="cannot be made a directory"):
            beam(out, TreePolicy())
    assert (tmp_path / "out").read_text() == "mine"


def test_two_processes_do_not_write_to_one_directory(tmp_path):
    class Second(TreePolicy):
        def generate(self, requests):
            with pytest.raises(InputError, match="another process is writing"):
                beam(tmp_path, TreePolicy())
            return super().generate(requests)

    beam(tmp_path, Second())


# A backend that fails


def test_a_chunk_whose_backend_breaks_down_is_an_error_on_its_problems_and_the_next_start_mends_it(tmp_path):
    class Flaky(TreePolicy):
        broken = True

        def generate(self, requests):
            if self.broken and any(r.problem.id == "toy3" and r.prefix for r in requests):
                raise BackendError("the server fell over")
            return super().generate(requests)

    policy = Flaky()
    found = beam(tmp_path / "a", policy)
    errors = [s.error and s.error.kind for s in found.result.solutions]
    assert errors == [None, None, "backend", "backend", None, None, None]
    assert found.result.decided == 5
    assert "fell over" in found.result.solutions[2].error.message
    assert json.loads((tmp_path / "a" / "result.json").read_text())["failed"] == 2
    policy.broken, policy.sent = False, []
    mended = beam(tmp_path / "a", policy)
    assert {r.problem.id for batch in policy.sent for r in batch} == {"toy2", "toy3"}
    assert all(s.error is None for s in mended.result.solutions)
    beam(tmp_path / "b", TreePolicy())
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_backend_that_never_answers_is_refused_at_once(tmp_path):
    class Dead(TreePolicy):
        def generate(self, requests):
            raise BackendError("nobody there")

    with pytest.raises(BackendError, match="nobody there"):
        beam(tmp_path, Dead())
    elsewhere = TreePolicy(fingerprint="the right address")
    assert beam(tmp_path, elsewhere).result.decided == 7, "what has closed no chunk may be changed"


@pytest.fixture
def quick_retries(monkeypatch):
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.001)


def solved(words: list[str], capsys) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_policy_server_that_dies_fails_its_problems_and_comes_back(tmp_path, capsys, quick_retries):
    port, out = free_port(), str(tmp_path / "o")
    words = ["solve", *BEAM, *DATA, "--out", out, "--policy", f"openai:http://127.0.0.1:{port}/v1#m"]
    with running(port, lives=40):
        first = solved(words, capsys)
    assert 0 < first["failed"] < 12
    assert set(first["errors"]) <= {"connection", "unreachable", "truncated-body"}
    assert first["errors"]["unreachable"] >= 3
    assert first["decided"] == 12 - first["failed"]
    capsys.readouterr()
    assert main(words) == 2, "nobody there any more"
    assert "Start the server" in capsys.readouterr().err
    with running(port):
        second = solved(words, capsys)
        whole = solved([*words[:-3], str(tmp_path / "w"), *words[-2:]], capsys)
    assert (second["failed"], second["errors"]) == (0, {})
    assert second["accuracy"] == whole["accuracy"]
    assert not (tmp_path / "o" / LOG).exists()


def test_a_scorer_server_that_dies_fails_its_problems_and_comes_back(tmp_path, capsys, quick_retries):
    policy, scorer = free_port(), free_port()
    words = ["solve", "--strategy", "best-of-n", "--samples", "2", *DATA, "--policy",
             f"openai:http://127.0.0.1:{policy}/v1#m", "--scorer", f"vllm:http://127.0.0.1:{scorer}#prm",
             "--out", str(tmp_path / "o")]  # fmt: skip
    with running(policy):
        with running(scorer, lives=13):
            first = solved(words, capsys)
        assert first["errors"]["unreachable"] >= 3
        assert first["failed"] == sum(first["errors"].values()) <= 9
        with running(scorer):
            second = solved(words, capsys)
    assert (second["failed"], second["decided"]) == (0, 12)


# Models that remember


class Lengths:
    """Short steps are good; every trace costs its length."""

    source, question = Source("lengths"), Question.QUALITY

    def score(self, traces):
        return [
            Judgement(t.id, self.question, self.source, tuple(1 / len(s) for s in t.step_texts))
            for t in traces
        ]


def test_what_a_model_remembers_of_one_chunk_is_not_to_be_seen_in_the_next(tmp_path, tiny_policy_dir):
    asked = [Problem(f"Mia has 12 boxes with 7 pens each, and {i} more.", "1", id=str(i)) for i in range(6)]
    beam = StepBeam(2, 2, max_steps=3, sampling=Sampling(max_tokens=12, stop=(" ", "\n", "a", "e", "t")))

    def searched(out, stop_before=None, forget=True):
        policy, chunks = load_policy(str(tiny_policy_dir)), 0
        before = forgetting(policy, None)

        def before_chunk():
            nonlocal chunks
            chunks += 1
            if chunks == stop_before:
                raise KeyboardInterrupt
            if forget:
                before()

        solve_into(out, policy, asked, beam, Lengths(), chunk=2, before_chunk=before_chunk)

    searched(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "cut", stop_before=2)
    searched(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    searched(tmp_path / "other", forget=False)
    assert contents(tmp_path / "other") != contents(tmp_path / "whole"), "it would be seen"
