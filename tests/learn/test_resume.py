"""Specifies resuming: a run that was killed ends as if it had not been, whatever it was doing.

Run with `python -m pytest tests/learn/test_resume.py`.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import preceptor.learn.checkpoints as checkpoints
from preceptor.errors import InputError
from preceptor.learn import learn
from preceptor.learn.metrics import MetricsLog
from preceptor.learn.settings import Settings
from preceptor.policy import TransformersPolicy
from tests.learn.toys import HashValue, problems

RUN = {
    "steps": 7,
    "prompts_per_step": 3,
    "generations": 4,
    "max_tokens": 12,
    "lr": 1e-2,
    "kl": 0.05,
    "micro_batch": 6,
    "eval_every": 3,
    "save_every": 2,
}

KILLED = """
import os, signal, sys
from preceptor.grade import GRADERS
from preceptor.learn import learn
from tests.learn.toys import SEVEN, HashValue, problems
from tests.learn.test_resume import RUN
GRADERS["seven"] = SEVEN
def die(step, total, note=""):
    if step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
learn(sys.argv[1], problems(7), out=sys.argv[2], method="progress", scorer=HashValue(), held_out=problems(2),
      progress=die, **RUN)
"""


def run(policy: Path, out: Path, **change):
    options = {"method": "progress", "scorer": HashValue(), "held_out": problems(2), **RUN, **change}
    return learn(policy, problems(7), out=out, **options)


def rows(out: Path) -> list[dict]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


def weights(directory: Path) -> torch.Tensor:
    return torch.cat([p.flatten() for p in TransformersPolicy.load(directory).model.parameters()]).detach()


@pytest.fixture(scope="module")
def whole(tiny_policy_dir, tmp_path_factory):
    """The run that nothing happened to."""
    from preceptor.grade import GRADERS
    from tests.learn.toys import SEVEN

    GRADERS["seven"] = SEVEN
    out = tmp_path_factory.mktemp("whole")
    return out, run(tiny_policy_dir, out)


def same(out: Path, result, whole) -> None:
    there, expected = whole
    assert rows(out) == rows(there)
    assert torch.equal(weights(out / "model"), weights(there / "model"))
    assert (result.before, result.after, result.undecided) == (
        expected.before,
        expected.after,
        expected.undecided,
    )
    assert result.usage.policy.generated == expected.usage.policy.generated
    assert not (out / "checkpoints").exists()


def test_a_process_killed_by_sigkill_and_resumed_gives_the_uninterrupted_run(
    tiny_policy_dir, tmp_path, whole
) -> None:
    """Seven problems in batches of three: the resumed part lies in the second and third pass over them."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tiny_policy_dir), str(tmp_path)], timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    assert rows(tmp_path)[-1]["step"] == 5, (
        "a row that the checkpoint does not know of is there to be cut off"
    )
    assert not (tmp_path / "model").exists()
    told = []
    result = run(tiny_policy_dir, tmp_path, resume=True, progress=lambda done, *_: told.append(done))
    assert told == [5, 6, 7], "what the checkpoint holds is not done again"
    same(tmp_path, result, whole)


class Killed(BaseException):
    """Stands for a kill inside this process: nothing catches it."""


@pytest.mark.parametrize(
    "moment", ["while saving", "before the model is saved", "before the run is marked finished"]
)
def test_a_run_cut_off_at_the_worst_moments_is_resumed_all_the_same(
    tiny_policy_dir, tmp_path, whole, monkeypatch, moment
) -> None:
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "while saving":
            commit = checkpoints.Checkpoints.commit
            patch.setattr(
                checkpoints.Checkpoints, "commit", lambda self, n: die() if n == 4 else commit(self, n)
            )
        elif moment == "before the model is saved":
            patch.setattr("preceptor.learn.directory.replace_directory", die)
        else:
            write = checkpoints.write_json
            patch.setattr(
                "preceptor.learn.directory.write_json",
                lambda path, record: die() if path.name == "result.json" else write(path, record),
            )
        with pytest.raises(Killed):
            run(tiny_policy_dir, tmp_path)
    same(tmp_path, run(tiny_policy_dir, tmp_path, resume=True), whole)


def test_a_finished_run_is_read_and_not_repeated(tiny_policy_dir, tmp_path, whole, monkeypatch) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    monkeypatch.setattr("preceptor.learn.session.Session.train", lambda *_: pytest.fail("trained again"))
    found = run(tiny_policy_dir, out, resume=True)
    assert found.to_record() == whole[1].to_record()
    assert found.model == out / "model"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lr": 1e-3}, "lr: got 0.001, the run has 0.01"),
        ({"method": "pure"}, "method: got 'pure', the run has 'progress'"),
        ({"held_out": problems(3)}, "held_out: got 3, the run has 2"),
        ({"scorer": None, "method": "outcome"}, "scorer: got None"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(tiny_policy_dir, tmp_path, whole, change, message) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=message):
        run(tiny_policy_dir, out, resume=True, **change)
    assert (out / "metrics.jsonl").read_bytes() == before


def test_other_weights_to_start_from_are_another_run(tmp_path, whole) -> None:
    from tests.tiny import save_tiny_policy

    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    with pytest.raises(InputError, match="start: got"):
        run(save_tiny_policy(tmp_path / "other", seed=1), out, resume=True)


def test_how_often_to_save_and_whom_to_tell_may_change(tiny_policy_dir, tmp_path, whole) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    assert run(tiny_policy_dir, out, resume=True, save_every=0).steps == 7


def test_resuming_where_nothing_is_starts_and_not_resuming_starts_anew(tiny_policy_dir, tmp_path) -> None:
    short = {"steps": 1, "eval_every": 0, "held_out": (), "save_every": 1}
    run(tiny_policy_dir, tmp_path, resume=True, **short)
    assert [r["step"] for r in rows(tmp_path)] == [1]
    run(tiny_policy_dir, tmp_path, seed=5, **short)
    assert [r["step"] for r in rows(tmp_path)] == [1]
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 5


def test_a_checkpoint_without_its_mark_is_not_there(tmp_path) -> None:
    store = checkpoints.Checkpoints(tmp_path)
    for step in (2, 10, 12):
        store.path(step).mkdir(parents=True)
    assert store.latest() is None
    store.save_session(10, {"metrics_bytes": 3})
    store.commit(10)
    assert store.latest() == store.path(10)
    assert not store.path(2).exists()
    assert store.session(store.path(10)) == {"metrics_bytes": 3}


def test_a_log_is_cut_back_to_what_is_kept(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.write({"step": 1})
    kept = log.size
    log.write({"step": 2})
    with path.open("a") as file:
        file.write('{"step": 3, "half')
    assert MetricsLog(path, kept).rows() == [{"step": 1}]


def test_each_pass_over_the_problems_has_an_order_of_its_own() -> None:
    from preceptor.learn.session import sampling_order

    plain = dict.fromkeys(("lr", "temperature", "kl"), 1.0) | {
        "max_tokens": 8,
        "eval_every": 0,
        "eval_samples": 0,
    }
    settings = Settings(
        method="rloo", steps=5, prompts_per_step=3, generations=2, micro_batch=6, seed=0, **plain
    )
    order = sampling_order(7, settings)
    assert len(order) == 15
    assert len(set(order[:6])) == len(set(order[6:12])) == 6
    assert order[:6] != order[6:12]
